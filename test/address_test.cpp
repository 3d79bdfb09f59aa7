// address: its three forms, and the error of every other text. It resolves nothing.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/address.hpp>
#include <stdexcept>
#include <string>

namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// What parse() says is wrong with it, or "".
std::string fault(std::string_view text) {
    const auto made = ice::address::parse(text);
    return made ? "" : made.error().message();
}

constexpr auto empty = "it is empty; write host:port, [v6]:port or unix:/path";
constexpr auto no_port = "it has no port; write host:port";
constexpr auto bad_port = "its port is not a number from 0 to 65535";
constexpr auto no_host = "it has no host; write host:port";
constexpr auto bad_host = "its host has a character that no name or address has";
constexpr auto host_too_long = "its host has more than 253 characters";
constexpr auto bracket = "its brackets do not match; write [v6]:port";
constexpr auto bare_v6 = "an IPv6 address needs brackets; write [v6]:port";
constexpr auto no_path = "it has no path; write unix:/path";
constexpr auto bad_path = "its path has a NUL in it";
constexpr auto path_too_long = "its path has more than 107 bytes";
constexpr auto bad_v6 = "its host has a colon and is no IPv6 address";
constexpr auto bad_zone = "its zone is no name or number of a network interface";

}  // namespace

BOOST_AUTO_TEST_SUITE(address)

BOOST_AUTO_TEST_CASE(host_and_port_are_parsed) {
    // A name stays as written: an address resolves nothing.
    const ice::address a("localhost:9999");
    BOOST_TEST(!a.is_unix());
    BOOST_TEST(a.host() == "localhost");
    BOOST_TEST(a.port() == 9999);
    BOOST_TEST(a.path() == "");
    BOOST_TEST(a.text() == "localhost:9999");
    BOOST_TEST((a == ice::address("localhost", 9999)));
    BOOST_TEST((a != ice::address("localhost", 9998)));
    BOOST_TEST((a != ice::address("LOCALHOST", 9999)));
}

BOOST_AUTO_TEST_CASE(an_ip_address_has_bytes_and_a_name_has_none) {
    // The limit per peer counts by these bytes: two forms of a host must not count as two peers.
    const ice::ip_bytes v4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
    const ice::ip_bytes v6{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
    BOOST_TEST(ice::address("192.0.2.1", 80).ip() == v4);
    BOOST_TEST(ice::address("::ffff:192.0.2.1", 80).ip() == v4);
    BOOST_TEST(ice::address("2001:db8::7", 80).ip() == v6);
    BOOST_TEST(ice::address("2001:db8::7%eth0", 80).ip() == v6);
    for (const char* host : {"localhost", "1.2.3", "a.b.c.d"})
        BOOST_TEST(ice::address(host, 80).ip() == ice::ip_bytes{}, host);
    BOOST_TEST(ice::address("unix:/192.0.2.1").ip() == ice::ip_bytes{});
}

BOOST_AUTO_TEST_CASE(an_ipv6_address_needs_brackets) {
    // Without brackets it is ambiguous where the port begins.
    const ice::address a("[2001:db8::1]:80");
    BOOST_TEST(a.host() == "2001:db8::1");
    BOOST_TEST(a.port() == 80);
    BOOST_TEST(a.text() == "[2001:db8::1]:80");
    BOOST_TEST((a == ice::address("2001:db8::1", 80)));
    BOOST_TEST(ice::address("[fe80::1%eth0]:80").host() == "fe80::1%eth0");
}

BOOST_AUTO_TEST_CASE(a_path_of_a_unix_socket_is_an_address_too) {
    // All that follows "unix:" is the path, with colons and brackets in it.
    const ice::address a("unix:/run/a:b[1].sock");
    BOOST_TEST(a.is_unix());
    BOOST_TEST(a.path() == "/run/a:b[1].sock");
    BOOST_TEST(a.host() == "");
    BOOST_TEST(a.port() == 0);
    BOOST_TEST(a.text() == "unix:/run/a:b[1].sock");
    BOOST_TEST((a != ice::address("unix:/run/other")));
}

BOOST_AUTO_TEST_CASE(the_text_of_an_address_is_parsed_as_the_same_address) {
    // Programs write the text into logs and configuration, and read it back.
    const ice::address made[] = {ice::address("localhost", 0),     ice::address("127.0.0.1", 65535),
                                 ice::address("::1", 1),           ice::address("fe80::1%2", 80),
                                 ice::address("_service.x-y", 80), ice::address("unix:/tmp/x"),
                                 ice::address("unix:relative")};
    for (const auto& a : made) {
        const auto again = ice::address::parse(a.text());
        BOOST_TEST_REQUIRE(again.has_value(), a.text());
        BOOST_TEST((*again == a), a.text());
        BOOST_TEST(again->text() == a.text());
    }
}

BOOST_AUTO_TEST_CASE(a_host_named_unix_is_no_path) {
    // Found by fuzzing: its text was "unix:80", which is the path "80".
    const ice::address a("unix", 80);
    BOOST_TEST(a.text() == "[unix]:80");
    BOOST_TEST((ice::address::parse(a.text()).value() == a));
}

BOOST_AUTO_TEST_CASE(a_port_is_a_number_from_0_to_65535_and_nothing_else) {
    // A port that wraps around, or is parsed only in part, is another service.
    BOOST_TEST(ice::address("h:0").port() == 0);
    BOOST_TEST(ice::address("h:1").port() == 1);
    BOOST_TEST(ice::address("h:65535").port() == 65535);
    BOOST_TEST(ice::address("h:00080").port() == 80);
    for (const auto text : {"h:65536", "h:65616", "h:4294967376", "h:99999999999999999999", "h:-1",
                            "h:-0", "h:+1", "h: 80", "h:80 ", "h:8 0", "h:0x50", "h:http", "h:8.0"})
        BOOST_TEST(fault(text) == bad_port, text);
    BOOST_TEST(fault("h:80\0"sv) == bad_port);
    BOOST_TEST(fault("h:") == no_port);
    BOOST_TEST(fault("[::1]:65536") == bad_port);
    BOOST_TEST(fault("[::1]:") == no_port);
}

BOOST_AUTO_TEST_CASE(each_fault_has_a_text) {
    // A text such as "invalid argument" would not help a user.
    BOOST_TEST(fault("") == empty);
    BOOST_TEST(fault("localhost") == no_port);
    BOOST_TEST(fault("[::1]") == no_port);
    BOOST_TEST(fault(":80") == no_host);
    BOOST_TEST(fault("[]:80") == no_host);
    BOOST_TEST(fault("http://localhost:80") == bare_v6);
    BOOST_TEST(fault("local host:80") == bad_host);
    BOOST_TEST(fault("a/b:80") == bad_host);
    BOOST_TEST(fault("h\n:80") == bad_host);
    BOOST_TEST(fault("h\0:80"sv) == bad_host);
    BOOST_TEST(fault("h\xc3\xa9:80") == bad_host);
    BOOST_TEST(fault("::1]:80") == bare_v6);
    BOOST_TEST(fault("h]:80") == bad_host);
    BOOST_TEST(fault("[::1:80") == bracket);
    BOOST_TEST(fault("[::1]80") == bracket);
    BOOST_TEST(fault("[::1]x:80") == bracket);
    BOOST_TEST(fault("[[::1]]:80") == bracket);
    BOOST_TEST(fault("[") == bracket);
    BOOST_TEST(fault("::1") == bare_v6);
    BOOST_TEST(fault("::1:80") == bare_v6);
    BOOST_TEST(fault("unix:") == no_path);
    BOOST_TEST(fault("unix:/a\0b"sv) == bad_path);
}

BOOST_AUTO_TEST_CASE(a_host_has_at_most_253_characters) {
    // A name that is cut would be another host.
    const std::string longest(253, 'a');
    const std::string longer = longest + 'a';
    BOOST_TEST(fault(longest + ":80") == "");
    BOOST_TEST(fault(longer + ":80") == host_too_long);
    BOOST_TEST(fault("[" + longest + "]:80") == "");
    BOOST_TEST(fault("[" + longer + "]:80") == host_too_long);
    BOOST_TEST(ice::address(longest, 80).host() == longest);
    BOOST_CHECK_THROW(ice::address(longer, 80), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_final_dot_does_not_count) {
    // The dot says that the name is complete (RFC 1034, 3.1), and is no character of it.
    const std::string longest(253, 'a');
    BOOST_TEST(fault(longest + ".:80") == "");
    BOOST_TEST(fault(longest + "a.:80") == host_too_long);
    BOOST_TEST(fault(longest + "..:80") == host_too_long);
}

BOOST_AUTO_TEST_CASE(a_zone_is_the_name_or_the_number_of_an_interface) {
    // A wrong zone that was parsed up to its first letter was another interface, or all of them.
    for (const char* zone : {"0", "4", "4294967295", "eth0", "4typo", "br-1.2", "a+b", "a_b"})
        BOOST_TEST(fault(fmt::format("[fe80::1%{}]:80", zone)) == "", zone);
    for (const char* zone : {"", "4294967296", "4294967300", "sixteen-letters!", ".", "..", "a/b",
                             "a b", "a%b", "a:b", "\x7f"})
        BOOST_TEST(fault(fmt::format("[fe80::1%{}]:80", zone)) == bad_zone, zone);
    BOOST_TEST(fault("localhost%eth0:80") == bad_host);
    BOOST_TEST(fault("127.0.0.1%eth0:80") == bad_host);
    for (const char* host : {"1::2::3", "host:port", ":", "::g", "1:2:3:4:5:6:7:8:9"})
        BOOST_TEST(fault(fmt::format("[{}]:80", host)) == bad_v6, host);
}

BOOST_AUTO_TEST_CASE(every_address_from_the_kernel_has_a_text_that_can_be_parsed) {
    // An interface named a+b ended a listener for good.
    sockaddr_in6 from{};
    from.sin6_family = AF_INET6;
    from.sin6_port = htons(80);
    from.sin6_addr.s6_addr[0] = 0xfe;
    from.sin6_addr.s6_addr[1] = 0x80;
    from.sin6_addr.s6_addr[15] = 1;
    from.sin6_scope_id = 4'000'000;  // no such interface: its number
    const auto seen = ice::address::of(reinterpret_cast<const sockaddr&>(from));
    BOOST_TEST(seen.text() == "[fe80::1%4000000]:80");
    BOOST_TEST((ice::address::parse(seen.text()).value() == seen));
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(0x7f000001);
    BOOST_TEST(ice::address::of(reinterpret_cast<const sockaddr&>(v4)).text() == "127.0.0.1:0");
}

BOOST_AUTO_TEST_CASE(a_path_has_at_most_107_bytes) {
    // sockaddr_un has 108 with the NUL: cut short, the socket would be another file.
    const std::string longest = "/" + std::string(106, 'a');
    BOOST_TEST(fault("unix:" + longest) == "");
    BOOST_TEST(ice::address("unix:" + longest).path() == longest);
    BOOST_TEST(fault("unix:" + longest + "a") == path_too_long);
}

BOOST_AUTO_TEST_CASE(the_exception_contains_the_address_and_the_reason) {
    // The constructor throws while a server starts: its operator sees only this text.
    const auto says = [](std::string text) {
        return [text](const std::invalid_argument& e) {
            BOOST_TEST(e.what() == text);
            return true;
        };
    };
    BOOST_CHECK_EXCEPTION(ice::address("localhost:99999"), std::invalid_argument,
                          says("address 'localhost:99999': "s + bad_port));
    BOOST_CHECK_EXCEPTION(ice::address(""), std::invalid_argument, says("address '': "s + empty));
    BOOST_CHECK_EXCEPTION(ice::address("a b", 80), std::invalid_argument,
                          says("address 'a b' port 80: "s + bad_host));
    BOOST_CHECK_EXCEPTION(ice::address("", 80), std::invalid_argument,
                          says("address '' port 80: "s + no_host));
    BOOST_CHECK_EXCEPTION(ice::address("[::1]", 80), std::invalid_argument,
                          says("address '[::1]' port 80: "s + bad_host));
}

BOOST_AUTO_TEST_CASE(fmt_prints_what_parse_accepts) {
    // Lines of the log contain addresses.
    BOOST_TEST(fmt::format("{}", ice::address("localhost", 1)) == "localhost:1");
    BOOST_TEST(fmt::format("<{}>", ice::address("::1", 65535)) == "<[::1]:65535>");
    BOOST_TEST(fmt::format("{}", ice::address("unix:/run/x")) == "unix:/run/x");
}

BOOST_AUTO_TEST_CASE(every_single_byte_is_allowed_in_a_host_or_refused) {
    // A control character or a quote would get into logs and shell scripts.
    constexpr auto allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"sv;
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const auto otherwise = c == ':' ? bad_v6 : bad_host;
        const auto expected = allowed.find(c) != allowed.npos ? "" : otherwise;
        if (c == ']') continue;  // it closes the bracket
        BOOST_TEST(fault("[a"s + c + "b]:80") == expected, "byte " << byte);
    }
}

BOOST_AUTO_TEST_SUITE_END()
