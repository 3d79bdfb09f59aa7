// The accept policy, without sockets: what each error of accept(2) means.
#include <asio/error.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/detail/listener_base.hpp>

namespace {

ice::accept_disposition judge(int error) {
    return ice::judge_accept(std::error_code(error, std::system_category()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(listener_base)

BOOST_AUTO_TEST_CASE(a_lack_of_resources_causes_a_pause) {
    // Trying again at once would take 100 % CPU until a descriptor is free.
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC})
        BOOST_TEST((judge(error) == ice::accept_disposition::back_off), "errno " << error);
}

BOOST_AUTO_TEST_CASE(after_an_aborted_connection_the_next_is_accepted) {
    for (const int error : {ECONNABORTED, EINTR, EPROTO, ENETDOWN, EHOSTUNREACH, EPERM, ETIMEDOUT})
        BOOST_TEST((judge(error) == ice::accept_disposition::next), "errno " << error);
}

BOOST_AUTO_TEST_CASE(an_empty_backlog_means_wait_and_a_closed_listener_give_up) {
    BOOST_TEST((judge(EAGAIN) == ice::accept_disposition::wait));
    for (const int error : {EBADF, EINVAL, ENOTSOCK})
        BOOST_TEST((judge(error) == ice::accept_disposition::give_up), "errno " << error);
}

BOOST_AUTO_TEST_CASE(all_ipv6_addresses_of_a_network_count_as_the_same_peer) {
    // An IPv6 host has 2^64 addresses: counted one by one, the limit would have no effect.
    const auto of = [](const char* host) { return ice::peer_key(ice::address(host, 1)); };
    BOOST_TEST(of("192.0.2.1") == "192.0.2.1");
    BOOST_TEST(of("192.0.2.1") != of("192.0.2.2"));
    BOOST_TEST(of("2001:db8::1") == "2001:db8::/56");
    BOOST_TEST(of("2001:db8::ffff:1:2:3") == "2001:db8::/56");
    BOOST_TEST(of("2001:db8:0:ff::1") == "2001:db8::/56");
    BOOST_TEST(of("2001:db8:0:100::1") == "2001:db8:0:100::/56");
}

BOOST_AUTO_TEST_CASE(the_prefix_of_an_ipv6_peer_can_be_set) {
    const auto of = [](std::size_t bits) {
        return ice::peer_key(ice::address("2001:db8:1:2ff:3:4:5:6", 1), bits);
    };
    BOOST_TEST(of(0) == "::/0");
    BOOST_TEST(of(1) == "::/1");
    BOOST_TEST(of(3) == "2000::/3");
    BOOST_TEST(of(48) == "2001:db8:1::/48");
    BOOST_TEST(of(57) == "2001:db8:1:280::/57");
    BOOST_TEST(of(64) == "2001:db8:1:2ff::/64");
    BOOST_TEST(of(120) == "2001:db8:1:2ff:3:4:5:0/120");
    BOOST_TEST(of(127) == "2001:db8:1:2ff:3:4:5:6/127");
    BOOST_TEST(of(128) == "2001:db8:1:2ff:3:4:5:6");
    BOOST_TEST(of(129) == of(128));
    // Whatever it is, it is counted: all zeros would be this host.
    for (std::size_t bits = 0; bits <= 130; ++bits) {
        const auto one = ice::peer_key(ice::address("::7", 1).ip(), bits);
        BOOST_TEST((one != ice::ip_bytes{}), bits);
    }
}

BOOST_AUTO_TEST_CASE(a_6to4_peer_counts_by_its_ipv4_address) {
    // One IPv4 host has 2^80 addresses there (RFC 3056), in 256 prefixes of /56.
    const auto of = [](const char* ip) { return ice::peer_key(ice::address(ip, 1), 56); };
    BOOST_TEST(of("2002:c000:201::1") == "192.0.2.1");
    BOOST_TEST(of("2002:c000:201:ff00:1:2:3:4") == of("192.0.2.1"));
    BOOST_TEST(of("2002:c000:202::1") == "192.0.2.2");
    BOOST_TEST(of("2001:c000:201::1") == "2001:c000:201::/56");
    BOOST_TEST(of("2003:c000:201::1") == "2003:c000:201::/56");
    BOOST_TEST(ice::peer_key(ice::address("2002:c000:201::1", 1), 128) == "192.0.2.1");
}

BOOST_AUTO_TEST_CASE(a_loopback_address_within_nat64_or_6to4_is_counted) {
    // An address that came through a translator or a tunnel is never this host.
    const auto of = [](const char* ip) { return ice::peer_key(ice::address(ip, 1), 56); };
    for (const auto* own : {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"})
        BOOST_TEST(of(own) == "", own);
    for (const auto* other : {"64:ff9b::127.0.0.1", "2002:7f00:1::1"})
        BOOST_TEST(of(other) == "127.0.0.1", other);
}

BOOST_AUTO_TEST_CASE(a_nat64_peer_counts_by_its_ipv4_address) {
    // Networks without IPv4 reach a server so: all their hosts would count as the same peer.
    const auto of = [](const char* host) { return ice::peer_key(ice::address(host, 1)); };
    BOOST_TEST(of("64:ff9b::192.0.2.1") == "192.0.2.1");
    BOOST_TEST(of("64:ff9b::192.0.2.1") == of("192.0.2.1"));
    BOOST_TEST(of("64:ff9b::192.0.2.2") != of("64:ff9b::192.0.2.1"));
    BOOST_TEST(of("64:ff9b:1::192.0.2.1") != of("64:ff9b:1::192.0.2.2"));
    BOOST_TEST(of("64:ff9b:2::1") == "64:ff9b:2::/56");
}

BOOST_AUTO_TEST_CASE(an_ipv4_peer_of_an_ipv6_socket_counts_by_its_ipv4_address) {
    // These addresses share 64 bits: the first 256 connections would exclude all others.
    const auto of = [](const char* host) { return ice::peer_key(ice::address(host, 1)); };
    BOOST_TEST(of("::ffff:192.0.2.1") == "192.0.2.1");
    BOOST_TEST(of("::ffff:127.0.0.1") == "");
}

BOOST_AUTO_TEST_CASE(an_ipv6_prefix_of_zeros_is_counted_too) {
    // Its bytes resemble the key of no peer, the loopback address, and a mapped IPv4 address.
    const auto of = [](const char* host) { return ice::peer_key(ice::address(host, 1).ip()); };
    BOOST_TEST(of("::7") == of("::8:9"));
    BOOST_TEST(of("::7") != ice::ip_bytes{});
    BOOST_TEST(of("::7") != of("::ffff:0.0.0.56"));
    BOOST_TEST(ice::peer_key(ice::address("::7", 1)) == "::/56");
    BOOST_TEST(ice::peer_key(ice::address("0.0.0.64", 1)) == "0.0.0.64");
}

BOOST_AUTO_TEST_CASE(peers_on_this_host_are_not_counted) {
    // A proxy on this host makes all connections from a single address.
    for (const char* host : {"127.0.0.1", "127.255.0.9", "::1"})
        BOOST_TEST(ice::peer_key(ice::address(host, 1)) == "", host);
    BOOST_TEST(ice::peer_key(ice::address("unix:/run/peer")) == "");
}

BOOST_AUTO_TEST_SUITE_END()
