// Errors: each has a text of its own, and a test knows which of them equal not_executed.
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <ice/error.hpp>
#include <set>
#include <string>
#include <vector>

namespace {

using ice::errc;

// -Wswitch names an errc that is missing here, in a build where warnings are errors.
constexpr bool not_executed(errc e) {
    switch (e) {
        case errc::closed:
        case errc::truncated:
        case errc::bad_message:
        case errc::message_too_large:
        case errc::message_timeout:
        case errc::idle_timeout:
        case errc::write_timeout:
        case errc::logic_timeout:
        case errc::stopped:
        case errc::request_timeout:
        case errc::pipeline_stalled:
        case errc::reply_refused: return false;
        case errc::unencodable:
        case errc::handshake_timeout:
        case errc::handshake_failed:
        case errc::draining:
        case errc::pool_full:
        case errc::acquire_timeout:
        case errc::connect_timeout:
        case errc::host_not_found:
        case errc::name_resolution_failed:
        case errc::upstream_closes:
        case errc::outbox_full:
        case errc::breaker_open:
        case errc::not_connected:
        case errc::no_responders:
        case errc::not_sent: return true;
    }
    return false;
}

constexpr int last = static_cast<int>(errc::no_responders);

}  // namespace

BOOST_AUTO_TEST_SUITE(error)

BOOST_AUTO_TEST_CASE(every_error_has_a_text_of_its_own) {
    // Two errors with one text, or with none, cannot be told apart in a log.
    std::set<std::string> texts;
    for (int value = 1; value <= last; ++value) {
        const ice::error_code ec = static_cast<errc>(value);
        BOOST_TEST(ec.value() == value);
        BOOST_TEST(&ec.category() == &ice::category());
        const std::string text = ec.message();
        BOOST_TEST(!text.empty());
        BOOST_TEST(text.find_first_of("\r\n") == text.npos);
        BOOST_TEST(text != ice::category().message(0));
        BOOST_TEST(texts.insert(text).second, text << " is the text of two errors");
    }
    BOOST_TEST(ice::category().message(last + 1) == "unknown error of ice");
    BOOST_TEST(ice::category().message(-1) == "unknown error of ice");
    BOOST_TEST(std::string(ice::category().name()) == "ice");
}

BOOST_AUTO_TEST_CASE(a_text_names_no_cause_that_the_error_does_not_know) {
    // A text that blames the peer sends its reader to the wrong end. A message that alone exceeds
    // the outbox needs no peer; a network may lose what a peer would read; and a session stops by
    // its own close() as well as with its server.
    for (const errc e : {errc::outbox_full, errc::write_timeout})
        BOOST_TEST(make_error_code(e).message().find("does not read") == std::string::npos);
    BOOST_TEST(make_error_code(errc::outbox_full).message() ==
               "the message does not fit into the outbox");
    BOOST_TEST(make_error_code(errc::stopped).message().find("server") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(no_error_of_ice_is_zero) {
    // Zero is success for every error_code.
    static_assert(static_cast<int>(errc::closed) == 1);
    for (int value = 1; value <= last; ++value)
        BOOST_TEST(bool(make_error_code(static_cast<errc>(value))));
    BOOST_TEST(!ice::error_code());
}

BOOST_AUTO_TEST_CASE(only_errors_from_before_sending_equal_not_executed) {
    // One wrong error here, and an order is executed twice.
    for (int value = 1; value <= last; ++value) {
        const auto e = static_cast<errc>(value);
        const ice::error_code ec = e;
        BOOST_TEST((ec == ice::condition::not_executed) == not_executed(e), ec.message());
    }
    BOOST_TEST((ice::error_code(last + 1, ice::category()) != ice::condition::not_executed));
    BOOST_TEST((ice::error_code() != ice::condition::not_executed));
    // The same numbers in another category.
    for (int value = 1; value <= last; ++value) {
        const ice::error_code theirs(value, std::system_category());
        BOOST_TEST((theirs != ice::condition::not_executed));
    }
}

BOOST_AUTO_TEST_CASE(a_socket_error_does_not_equal_not_executed) {
    // A reset after the request was sent says nothing about what the upstream did.
    for (const int e : {ECONNRESET, EPIPE, ECONNREFUSED, ETIMEDOUT})
        BOOST_TEST((ice::error_code(e, std::system_category()) != ice::condition::not_executed));
}

BOOST_AUTO_TEST_CASE(a_connect_error_keeps_its_cause_and_equals_not_executed) {
    // From connecting, ECONNREFUSED means that nothing was sent.
    const ice::error_code cause(ECONNREFUSED, std::system_category());
    const auto ec = ice::connect_error(cause);
    BOOST_TEST((ec == ice::condition::not_executed));
    BOOST_TEST((ec == std::errc::connection_refused));
    BOOST_TEST((ec != std::errc::timed_out));
    BOOST_TEST(ec.message() == "cannot connect: " + cause.message());
    BOOST_TEST(std::string(ec.category().name()) == "ice.connect");
    BOOST_TEST(ec.value() == ECONNREFUSED);
    for (const errc e : {errc::connect_timeout, errc::host_not_found, errc::name_resolution_failed})
        BOOST_TEST(make_error_code(e).message().starts_with("cannot connect"));
}

BOOST_AUTO_TEST_CASE(the_condition_has_a_text) {
    // Programs print error conditions, too.
    const std::error_condition c = ice::condition::not_executed;
    BOOST_TEST(c.message() == "the request was not executed");
    BOOST_TEST(std::string(c.category().name()) == "ice.condition");
}

BOOST_AUTO_TEST_CASE(a_refusal_has_the_text_of_the_upstream) {
    const ice::error_code ec = ice::refusal_error("WRONGPASS no");
    BOOST_TEST(ec);
    BOOST_TEST(ec.message() == "WRONGPASS no");
    BOOST_TEST((ec == ice::refusal_error("WRONGPASS no")));
    BOOST_TEST((ec != ice::refusal_error("WRONGPASS yes")));
    BOOST_TEST((ec != ice::condition::not_executed));
    // The upstream chooses the bytes, and logs go to terminals.
    BOOST_TEST(ice::refusal_error("a\r\n\x1b[2J\xff").message() == "a???[2J?");
    BOOST_TEST(ice::refusal_error(std::string(256, 'x')).message().size() == 256U);
    BOOST_TEST(ice::refusal_error(std::string(257, 'x')).message().size() == 256U);
}

BOOST_AUTO_TEST_CASE(an_upstream_cannot_fill_the_memory_with_refusals) {
    int kept = 0;
    for (int i = 0; i < 100; ++i) {
        const auto ec = ice::refusal_error("refusal " + std::to_string(i));
        if (ec == ice::errc::handshake_failed) continue;
        BOOST_TEST(ec.message() == "refusal " + std::to_string(i));
        ++kept;
    }
    BOOST_TEST(kept <= 64);
    BOOST_TEST((ice::refusal_error("one more") == ice::errc::handshake_failed));
    BOOST_TEST(ice::refusal_error("WRONGPASS no").message() == "WRONGPASS no", "it is known");
}

BOOST_AUTO_TEST_SUITE_END()
