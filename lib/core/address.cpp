// Reads and writes the three forms of an address, and checks each.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ice/address.hpp>
#include <stdexcept>

namespace ice {
namespace {

enum class fault {
    empty = 1,
    no_port,
    bad_port,
    no_host,
    bad_host,
    host_too_long,
    bracket,
    bare_v6,
    no_path,
    bad_path,
    path_too_long,
    bad_v6,
    bad_zone,
};

class fault_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "ice.address"; }
    std::string message(int value) const override {
        switch (static_cast<fault>(value)) {
            case fault::empty: return "it is empty; write host:port, [v6]:port or unix:/path";
            case fault::no_port: return "it has no port; write host:port";
            case fault::bad_port: return "its port is not a number from 0 to 65535";
            case fault::no_host: return "it has no host; write host:port";
            case fault::bad_host: return "its host has a character that no name or address has";
            case fault::host_too_long: return "its host has more than 253 characters";
            case fault::bracket: return "its brackets do not match; write [v6]:port";
            case fault::bare_v6: return "an IPv6 address needs brackets; write [v6]:port";
            case fault::no_path: return "it has no path; write unix:/path";
            case fault::bad_path: return "its path has a NUL in it";
            case fault::path_too_long: return "its path has more than 107 bytes";
            case fault::bad_v6: return "its host has a colon and is no IPv6 address";
            case fault::bad_zone: return "its zone is no name or number of a network interface";
        }
        return "unknown fault";
    }
};
const fault_category faults;

error_code make(fault f) { return {static_cast<int>(f), faults}; }

// Whether the kernel accepts it as the name of an interface, restricted to printable characters, or
// it is the number of one.
bool is_zone(std::string_view zone) {
    if (zone.empty() || zone.size() >= IFNAMSIZ || zone == "." || zone == "..") return false;
    // Linux refuses "/", ":" and blanks in a name (dev_valid_name()). "%", "[" and "]" would end
    // the zone in the text of an address.
    const auto allowed = [](char c) {
        return c > ' ' && c <= '~' && std::string_view("/:%[]").find(c) == std::string_view::npos;
    };
    if (!std::all_of(zone.begin(), zone.end(), allowed)) return false;
    // Digits alone are a number, which must fit into the 32 bits of sin6_scope_id.
    std::uint32_t number = 0;
    const auto read = std::from_chars(zone.data(), zone.data() + zone.size(), number);
    return read.ptr != zone.data() + zone.size() || read.ec == std::errc();
}

// A host is a name (RFC 1123, with the underscore that is used in practice), an IPv4 address, or an
// IPv6 address with or without a zone.
error_code check_host(std::string_view host) {
    if (host.empty()) return make(fault::no_host);
    const std::size_t percent = host.find('%');
    const std::string ip(host.substr(0, percent));
    if (ip.ends_with('.') ? ip.size() > 254 : ip.size() > 253)  // RFC 1035, 2.3.4
        return make(fault::host_too_long);
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view(".-_:").find(c) != std::string_view::npos;
    };
    if (!std::all_of(ip.begin(), ip.end(), allowed)) return make(fault::bad_host);
    // inet_pton(3) accepts no zone, so `ip` is without it. A colon occurs in no host name: with
    // one, the host is an IPv6 address or nothing.
    in6_addr v6{};
    const bool is_v6 = ::inet_pton(AF_INET6, ip.c_str(), &v6) == 1;
    if (!is_v6 && ip.find(':') != ip.npos) return make(fault::bad_v6);
    if (percent == host.npos) return {};
    // Only an IPv6 address has a zone (RFC 4007).
    if (!is_v6) return make(fault::bad_host);
    return is_zone(host.substr(percent + 1)) ? error_code() : make(fault::bad_zone);
}

error_code check_path(std::string_view path) {
    if (path.empty()) return make(fault::no_path);
    // sun_path needs room for the NUL behind the path (unix(7)). A NUL in the path would cut it,
    // and one at its beginning would name an abstract socket.
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return make(fault::path_too_long);
    if (path.find('\0') != path.npos) return make(fault::bad_path);
    return {};
}

}  // namespace

address::address(std::string host, std::uint16_t port) : host_(std::move(host)), port_(port) {
    if (const auto ec = check_host(host_))
        throw std::invalid_argument(
            fmt::format("address '{}' port {}: {}", host_, port, ec.message()));
}

address::address(std::string_view text) {
    auto parsed = parse(text);
    if (!parsed)
        throw std::invalid_argument(
            fmt::format("address '{}': {}", text, parsed.error().message()));
    *this = *std::move(parsed);
}

// The last colon separates host and port. An IPv6 address has colons itself, so it needs brackets.
result<address> address::parse(std::string_view text) {
    if (text.empty()) return make(fault::empty);
    address a;
    if (text.starts_with("unix:")) {
        text.remove_prefix(5);
        if (const auto ec = check_path(text)) return ec;
        a.path_ = text;
        a.unix_ = true;
        return a;
    }
    const std::size_t colon = text.rfind(':');
    auto host = text.substr(0, colon);
    if (text.front() == '[') {
        const std::size_t close = text.find(']');
        if (close == text.npos) return make(fault::bracket);
        if (close + 1 == text.size()) return make(fault::no_port);
        if (close + 1 != colon) return make(fault::bracket);
        host = text.substr(1, close - 1);
    } else if (colon == text.npos) {
        return make(fault::no_port);
    } else if (host.find(':') != host.npos) {
        return make(fault::bare_v6);
    }
    if (const auto ec = check_host(host)) return ec;
    const auto port = text.substr(colon + 1);
    if (port.empty()) return make(fault::no_port);
    const auto read = std::from_chars(port.data(), port.data() + port.size(), a.port_);
    if (read.ec != std::errc() || read.ptr != port.data() + port.size())
        return make(fault::bad_port);
    a.host_ = host;
    return a;
}

address address::of(const sockaddr& from) {
    address a;
    char text[INET6_ADDRSTRLEN] = "";
    // Copies the structure: to read it through a cast of `from` would break the rules of aliasing.
    if (from.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &from, sizeof v4);
        a.host_ = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        a.port_ = ntohs(v4.sin_port);
    } else if (from.sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &from, sizeof v6);
        a.host_ = ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
        a.port_ = ntohs(v6.sin6_port);
        char name[IFNAMSIZ] = "";
        // A link-local address has a scope (ipv6(7)), without which nothing can connect to it. The
        // zone is a number if the interface is gone or has a name that parse() refuses: so parse()
        // accepts every text that an address makes.
        if (v6.sin6_scope_id == 0) return a;
        const bool named = ::if_indextoname(v6.sin6_scope_id, name) != nullptr && is_zone(name);
        a.host_ += '%';
        a.host_ += named ? std::string(name) : std::to_string(v6.sin6_scope_id);
    }
    return a;
}

ip_bytes address::ip() const {
    ip_bytes found{};
    in_addr v4{};
    if (::inet_pton(AF_INET, host_.c_str(), &v4) == 1) {
        // The IPv4-mapped form (RFC 4291, 2.5.5.2): addresses of both families compare as 16 bytes.
        found[10] = found[11] = 0xff;
        std::memcpy(found.data() + 12, &v4, sizeof v4);
    } else if (host_.find(':') != host_.npos) {
        const std::string without_zone = host_.substr(0, host_.find('%'));
        if (::inet_pton(AF_INET6, without_zone.c_str(), found.data()) != 1) found = {};
    }
    return found;
}

// Puts the host in brackets wherever parse() would misread it.
std::string address::text() const {
    if (unix_) return "unix:" + path_;
    const bool misread = host_.find(':') != host_.npos || host_ == "unix";  // "unix:80" is a path
    if (misread) return fmt::format("[{}]:{}", host_, port_);
    return fmt::format("{}:{}", host_, port_);
}

}  // namespace ice
