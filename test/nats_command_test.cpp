// nats_command: the bytes of each command, and what the server would misread.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/nats_command.hpp>
#include <string>

namespace {

const char* const words_that_are_none[] = {"", " ", "a b", "a\tb", "a\r", "\n", "a\x7f"};
const std::string no_subject[] = {".", "a.", ".a", "a..b", std::string("a\0b", 3)};

}  // namespace

BOOST_AUTO_TEST_SUITE(nats_command)

BOOST_AUTO_TEST_CASE(commands_have_the_bytes_of_the_documents) {
    using namespace ice;
    BOOST_TEST(nats_pub("FOO", "Hello NATS!").bytes() == "PUB FOO 11\r\nHello NATS!\r\n");
    BOOST_TEST(nats_pub("FRONT.DOOR", "Knock", "JOKE.22").bytes() ==
               "PUB FRONT.DOOR JOKE.22 5\r\nKnock\r\n");
    BOOST_TEST(nats_pub("NOTIFY", "").bytes() == "PUB NOTIFY 0\r\n\r\n");
    BOOST_TEST(nats_hpub("FOO", {{"Bar", "Baz"}}, "Hello NATS!").bytes() ==
               "HPUB FOO 22 33\r\nNATS/1.0\r\nBar: Baz\r\n\r\nHello NATS!\r\n");
    BOOST_TEST(nats_hpub("FOO", {{"A", "1"}, {"B", ""}}, "", "R").bytes() ==
               "HPUB FOO R 23 23\r\nNATS/1.0\r\nA: 1\r\nB: \r\n\r\n\r\n");
    BOOST_TEST(nats_hpub("FOO", {}, "x").bytes() == "HPUB FOO 12 13\r\nNATS/1.0\r\n\r\nx\r\n");
    BOOST_TEST(nats_sub("FOO", 1).bytes() == "SUB FOO 1\r\n");
    BOOST_TEST(nats_sub("BAR.*.>", UINT64_MAX, "G1").bytes() ==
               "SUB BAR.*.> G1 18446744073709551615\r\n");
    BOOST_TEST(nats_unsub(1).bytes() == "UNSUB 1\r\n");
    BOOST_TEST(nats_unsub(1, 5).bytes() == "UNSUB 1 5\r\n");
    BOOST_TEST(nats_ping().bytes() == "PING\r\n");
    for (const auto& one : {nats_pub("FOO", ""), nats_hpub("FOO", {}, ""), nats_sub("FOO", 1),
                            nats_unsub(1), nats_ping()})
        BOOST_TEST(one.is_encodable(), one.bytes());
    BOOST_TEST(!ice::nats_command().is_encodable());
}

BOOST_AUTO_TEST_CASE(sizes_count_headers_and_payload) {
    BOOST_TEST(ice::nats_pub("a", "12345").payload_size() == 5U);
    BOOST_TEST(!ice::nats_pub("a", "12345").has_headers());
    BOOST_TEST(ice::nats_hpub("a", {{"Bar", "Baz"}}, "12345").payload_size() == 27U);
    BOOST_TEST(ice::nats_hpub("a", {}, "").has_headers());
}

BOOST_AUTO_TEST_CASE(subjects_have_tokens_and_only_patterns_have_wildcards) {
    for (const char* good : {"a", "a.b.c", "$SYS.x", "_INBOX.1", "a*", "a>b.c", "\xc3\xa9", ">a"}) {
        BOOST_TEST(ice::is_nats_subject(good), good);
        BOOST_TEST(ice::is_nats_pattern(good), good);
    }
    for (const char* pattern : {"*", ">", "a.*", "*.a.*", "a.>", "*.>"}) {
        BOOST_TEST(!ice::is_nats_subject(pattern), pattern);
        BOOST_TEST(ice::is_nats_pattern(pattern), pattern);
        BOOST_TEST(!ice::nats_pub(pattern, "").is_encodable(), pattern);
        BOOST_TEST(ice::nats_sub(pattern, 1).is_encodable(), pattern);
    }
    for (const char* bad : {">.a", "a.>.b", ">.>"}) BOOST_TEST(!ice::is_nats_pattern(bad), bad);
    for (const std::string bad : words_that_are_none) {
        BOOST_TEST(!ice::is_nats_subject(bad), bad);
        BOOST_TEST(!ice::is_nats_pattern(bad), bad);
        BOOST_TEST(!ice::nats_sub(bad, 1).is_encodable(), bad);
    }
    for (const std::string& bad : no_subject) {
        BOOST_TEST(!ice::is_nats_pattern(bad), bad);
        BOOST_TEST(!ice::nats_pub(bad, "").is_encodable(), bad);
        BOOST_TEST(!ice::nats_pub("a", "", bad).is_encodable(), bad);
        BOOST_TEST(!ice::nats_hpub(bad, {}, "").is_encodable(), bad);
        BOOST_TEST(!ice::nats_hpub("a", {}, "", bad).is_encodable(), bad);
    }
    BOOST_TEST(!ice::nats_pub("a", "", "b.*").is_encodable());
    BOOST_TEST(!ice::nats_sub("a", 1, "two words").is_encodable());
}

BOOST_AUTO_TEST_CASE(headers_cannot_end_their_line) {
    const auto is_good = [](std::string_view name, std::string_view value) {
        return ice::nats_hpub("a", {{"A", "b"}, {name, value}}, "").is_encodable();
    };
    BOOST_TEST(is_good("Nats-Msg-Id", "1:2 3"));
    BOOST_TEST(is_good("!~", "\xff\x01"));
    for (const char* name : {"", "a b", "a:", "a\r\nb", "\xc3\xa9", "a\x7f"})
        BOOST_TEST(!is_good(name, "x"), name);
    for (const char* value : {"a\r", "a\nb", "\r\n", " a", "a ", "\ta", "a\t", " "})
        BOOST_TEST(!is_good("A", value), fmt::format("{:?}", value));
}

BOOST_AUTO_TEST_CASE(a_line_has_at_most_4096_bytes) {
    const std::size_t rest = std::string_view("SUB  1\r\n").size();
    BOOST_TEST(ice::nats_sub(std::string(4096 - rest, 'a'), 1).is_encodable());
    BOOST_TEST(!ice::nats_sub(std::string(4097 - rest, 'a'), 1).is_encodable());
    BOOST_TEST(ice::nats_pub("a", std::string(10'000, 'x')).is_encodable());
}

BOOST_AUTO_TEST_SUITE_END()
