// nats_message: headers, also those that a publisher has garbled.
#include <boost/test/unit_test.hpp>
#include <ice/nats_command.hpp>
#include <ice/nats_message.hpp>
#include <string>
#include <vector>

namespace {

// A message with these headers and payload.
ice::nats_message with(const std::string& headers, const std::string& payload = "") {
    ice::detail::nats_layout layout;
    layout.headers_size = static_cast<std::uint32_t>(headers.size());
    layout.payload_size = static_cast<std::uint32_t>(payload.size());
    return {headers + payload, layout};
}

std::vector<std::string> fields(const std::string& headers) {
    std::vector<std::string> all;
    const auto m = with(headers);
    for (const ice::nats_header& one : m.headers())
        all.push_back(std::string(one.name) + "=" + std::string(one.value));
    return all;
}
using strings = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(nats_message)

BOOST_AUTO_TEST_CASE(headers_are_read_in_order) {
    const auto m = with("NATS/1.0\r\nA: 1\r\nb:2\r\nA:  three \t\r\nEmpty:\r\n\r\n", "text");
    BOOST_TEST((m.header("A") == "1"), "the first");
    BOOST_TEST((m.header("b") == "2"));
    BOOST_TEST((m.header("Empty") == ""));
    BOOST_TEST(!m.header("a"));
    BOOST_TEST(m.payload() == "text");
    BOOST_TEST(m.status() == 0);
    BOOST_TEST(m.headers().begin()->name == "A");
    BOOST_TEST(fields("NATS/1.0\r\nA: 1\r\nA: x:y\r\n\r\n") == (strings{"A=1", "A=x:y"}));
    BOOST_TEST(fields("NATS/1.0\r\n\r\n").empty());
    BOOST_TEST(fields("").empty());
}

BOOST_AUTO_TEST_CASE(the_first_line_may_have_a_status) {
    BOOST_TEST(with("NATS/1.0 503\r\n\r\n").status() == 503);
    BOOST_TEST(with("NATS/1.0 503\r\n\r\n").has_no_responders());
    BOOST_TEST(!with("NATS/1.0 503\r\n\r\n", "x").has_no_responders());
    BOOST_TEST(!with("NATS/1.0 404\r\n\r\n").has_no_responders());
    const auto m = with("NATS/1.0 100 Idle Heartbeat\r\nA: 1\r\n\r\n");
    BOOST_TEST(m.status() == 100);
    BOOST_TEST(m.description() == "Idle Heartbeat");
    BOOST_TEST((m.header("A") == "1"));
    for (const char* none : {"", "NATS/1.0", "NATS/1.0 50\r\n", "NATS/1.0 5o3\r\n", "NATS/1.0 5033",
                             "HTTP/1.1 200\r\n"}) {
        BOOST_TEST(with(none).status() == 0, none);
        BOOST_TEST(with(none).description() == "", none);
    }
}

BOOST_AUTO_TEST_CASE(headers_end_at_a_line_that_is_none) {
    // The server passes on what a publisher sends; a subscriber must not end because of it.
    BOOST_TEST(fields("NATS/1.0\r\nA: 1\r\nno colon\r\nB: 2\r\n\r\n") == (strings{"A=1"}));
    BOOST_TEST(fields("NATS/1.0\r\n: 1\r\n\r\n").empty());
    BOOST_TEST(fields("NATS/1.0\r\nA: 1").empty());
    BOOST_TEST(fields("NATS/1.0").empty());
    BOOST_TEST(fields("A: 1\r\n\r\n").empty());
    BOOST_TEST(fields("NATS/1.0\r\nA: 1\r\n") == (strings{"A=1"}), "without an empty line");
}

BOOST_AUTO_TEST_CASE(a_message_that_was_moved_from_is_empty) {
    auto m = with("NATS/1.0\r\nA: 1\r\n\r\n", std::string(100, 'x'));
    const auto taken = std::move(m);
    BOOST_TEST(m.payload() == "");  // NOLINT: that is tested
    BOOST_TEST(m.status() == 0);
    BOOST_TEST(taken.payload().size() == 100U);
    const ice::nats_view view = taken;
    BOOST_TEST((view == taken));
    BOOST_TEST((view.header("A") == "1"));
}

BOOST_AUTO_TEST_CASE(a_reply_goes_to_where_the_message_says) {
    const auto asks = [](const std::string& reply_to) {
        ice::detail::nats_layout layout;
        layout.reply_to_size = static_cast<std::uint16_t>(reply_to.size());
        return ice::nats_message(reply_to, layout);
    };
    BOOST_TEST_REQUIRE(ice::nats_reply(asks("_INBOX.1"), "text").has_value());
    BOOST_TEST(ice::nats_reply(asks("_INBOX.1"), "text")->bytes() == "PUB _INBOX.1 4\r\ntext\r\n");
    // A publisher chooses it, and must not be able to end the connection of those who reply.
    for (const char* bad : {"", "a..b", ">", "a.*"})
        BOOST_TEST(!ice::nats_reply(asks(bad), "text"), bad);
}

BOOST_AUTO_TEST_SUITE_END()
