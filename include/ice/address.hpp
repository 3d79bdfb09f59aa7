// address: where to listen or to connect: a host and a port, or the path of a Unix socket. It keeps
// host names as they are written, and looks none up. A value; any thread may use its own copy.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <ice/result.hpp>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <ice/detail/export.hpp>

struct sockaddr;

namespace ice {

// An IPv6 address, or an IPv4 address mapped into IPv6 (RFC 4291, 2.5.5.2), in network byte order.
// All zero means that there is none.
using ip_bytes = std::array<std::uint8_t, 16>;

class ICE_API address {
public:
    // address("example.com", 80), address("::1", 80), address("127.0.0.1", 0).
    // `host` is a name, an IPv4 address or an IPv6 address (without brackets). An IPv6 address may
    // have a zone: the name or the number of an interface, "fe80::1%eth0" (RFC 4007). Whether there
    // is such an interface is checked when the address is used. A name has at most 253 characters
    // and perhaps a final dot. Port 0 means any free port when listening. Throws
    // std::invalid_argument if `host` is none of these.
    //
    // A listener on "::" accepts IPv4 too, whatever net.ipv6.bindv6only says (IPV6_V6ONLY is off).
    address(std::string host, std::uint16_t port);

    // Reads "host:port", "[v6]:port" or "unix:/path". limits::socket_mode has the permissions of a
    // Unix socket. Throws std::invalid_argument; its text has the address and what is wrong.
    explicit address(std::string_view text);

    // The same without throwing, for input of users: the error's message says what is wrong.
    //     auto where = ice::address::parse(argv[1]);
    //     if (!where) ice::print_error(where.error().message());
    static result<address> parse(std::string_view text);

    bool is_unix() const noexcept { return unix_; }
    // The host as it was written, without brackets; empty for a Unix socket.
    const std::string& host() const noexcept { return host_; }
    // In host byte order; 0 for a Unix socket.
    std::uint16_t port() const noexcept { return port_; }
    // The path of a Unix socket, at most 107 bytes (unix(7)); empty for host and port.
    const std::string& path() const noexcept { return path_; }

    // The address of a socket as the kernel gives it, of AF_INET or AF_INET6 (accept(2),
    // getsockname(2)). It accepts every such address. Its zone is the number of the interface if
    // the interface's name has a character that parse() does not accept.
    static address of(const sockaddr&);

    // The host if it is an IP address, without its zone; all zero if it is a name or a path.
    ip_bytes ip() const;

    // The form that parse() reads: parse(a.text()) equals a.
    std::string text() const;

    // Compares the texts: "localhost" and "127.0.0.1" are different addresses.
    friend bool operator==(const address&, const address&) = default;

private:
    address() = default;

    std::string host_;
    std::string path_;
    std::uint16_t port_ = 0;
    bool unix_ = false;
};

}  // namespace ice

// Prints text(). There are no format options: "{}".
template <>
struct fmt::formatter<ice::address> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(const ice::address& a, Context& context) const {
        const std::string text = a.text();
        return std::copy(text.begin(), text.end(), context.out());
    }
};
