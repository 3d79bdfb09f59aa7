// address: where to listen or to connect: a host and a port, or the path of a Unix socket. It keeps
// names as they are written, and looks none up.
#pragma once

#include <array>
#include <cstdint>
#include <ice/result.hpp>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <ice/detail/export.hpp>

struct sockaddr;

namespace ice {

// An IPv6 address, or an IPv4 one mapped into IPv6 (RFC 4291 2.5.5.2). All zero: none.
using ip_bytes = std::array<std::uint8_t, 16>;

class ICE_API address {
public:
    // `host` is a name, an IPv4 or an IPv6 address (without brackets), which may have a zone: the
    // name or the number of an interface, "fe80::1%eth0" (RFC 4007). Whether there is such an
    // interface is checked when it is used. A name has at most 253 characters and perhaps a final
    // dot. Port 0 means any free port when listening. Throws std::invalid_argument if the host
    // cannot be one.
    //
    // A listener on "::" takes IPv4 too, whatever net.ipv6.bindv6only says (IPV6_V6ONLY is off).
    address(std::string host, std::uint16_t port);

    // From "host:port", "[v6]:port" or "unix:/path" (limits::socket_mode has its permissions).
    // Throws std::invalid_argument; its text has the address and what is wrong with it.
    explicit address(std::string_view text);

    // The same without throwing: the error's message says what is wrong.
    static result<address> parse(std::string_view text);

    bool is_unix() const noexcept { return unix_; }
    const std::string& host() const noexcept { return host_; }  // empty for a Unix socket
    std::uint16_t port() const noexcept { return port_; }       // 0 for a Unix socket
    const std::string& path() const noexcept { return path_; }  // empty for host and port

    // What the kernel says of a socket, of AF_INET or AF_INET6: it is never refused. Its zone is
    // the interface's number if its name has a character that parse() would not take.
    static address of(const sockaddr&);

    // The host if it is an IP address and no name; without its zone.
    ip_bytes ip() const;

    // In the form that parse() reads.
    std::string text() const;

    friend bool operator==(const address&, const address&) = default;

private:
    address() = default;

    std::string host_;
    std::string path_;
    std::uint16_t port_ = 0;
    bool unix_ = false;
};

}  // namespace ice

template <>
struct fmt::formatter<ice::address> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(const ice::address& a, Context& context) const {
        const std::string text = a.text();  // std::string itself is formatted by fmt/format.h alone
        return fmt::format_to(context.out(), "{}", fmt::string_view(text.data(), text.size()));
    }
};
