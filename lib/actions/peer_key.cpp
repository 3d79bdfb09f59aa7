// Decides which addresses belong to one peer: limits::connections_per_peer counts them together.
#include <fmt/format.h>

#include <algorithm>
#include <asio/ip/address.hpp>
#include <ice/detail/listener_base.hpp>

namespace ice {
namespace {

constexpr ip_bytes nobody{};
constexpr ip_bytes loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr ip_bytes v4_mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr ip_bytes nat64{0, 0x64, 0xff, 0x9b};              // RFC 6052
constexpr ip_bytes local_nat64{0, 0x64, 0xff, 0x9b, 0, 1};  // RFC 8215

constexpr ip_bytes six_to_four{0x20, 0x02};  // RFC 3056

// The IPv4 address in the four bytes at `ipv4`, in its mapped form.
ip_bytes mapped(ip_bytes::const_iterator ipv4) noexcept {
    ip_bytes ip = v4_mapped;
    std::copy_n(ipv4, 4, ip.begin() + 12);
    return ip;
}

bool begins_as(const ip_bytes& ip, const ip_bytes& prefix, std::ptrdiff_t bytes) noexcept {
    return std::equal(ip.begin(), ip.begin() + bytes, prefix.begin());
}

// How many leading bits of an IPv6 address identify its peer. A local NAT64 prefix (RFC 8215) may
// have its IPv4 address anywhere behind it, so there all bits count.
std::size_t bits_of_peer(const ip_bytes& ip, std::size_t ipv6_prefix) noexcept {
    return begins_as(ip, local_nat64, 6) ? 128 : std::min<std::size_t>(ipv6_prefix, 128);
}

}  // namespace

ip_bytes peer_key(ip_bytes ip, std::size_t ipv6_prefix) noexcept {
    if (begins_as(ip, v4_mapped, 12)) return ip[12] == 127 ? nobody : ip;
    // 127.0.0.1 within a NAT64 or 6to4 address is not this host: it counts as a peer.
    if (begins_as(ip, nat64, 12)) return mapped(ip.begin() + 12);
    if (begins_as(ip, six_to_four, 2)) return mapped(ip.begin() + 2);
    if (ip == loopback || ip == nobody) return nobody;
    const std::size_t bits = bits_of_peer(ip, ipv6_prefix);
    if (bits == 128) return ip;
    ip[bits / 8] &= static_cast<std::uint8_t>(0xff00U >> (bits % 8));
    std::fill(ip.begin() + static_cast<std::ptrdiff_t>(bits / 8) + 1, ip.end(), std::uint8_t{0});
    // A prefix of zeros would be `nobody`, which is not counted. loopback is no key of other peers.
    return ip == nobody ? loopback : ip;
}

std::string peer_key(const address& peer, std::size_t ipv6_prefix) {
    ip_bytes one = peer_key(peer.ip(), ipv6_prefix);
    if (one == nobody) return {};
    const asio::ip::address_v6 ip(one == loopback ? nobody : one);
    if (ip.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, ip).to_string();
    const std::size_t bits = bits_of_peer(one, ipv6_prefix);
    return bits == 128 ? ip.to_string() : fmt::format("{}/{}", ip.to_string(), bits);
}

}  // namespace ice
