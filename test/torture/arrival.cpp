// A separate file, as linux/tcp.h, whose tcp_info has more members, cannot be included beside
// netinet/tcp.h.
#include "arrival.hpp"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace torture {
namespace {

constexpr int descriptors = 256;  // more than a world has

// The ports of a socket and of its peer; 0 and 0 if it is no TCP connection.
std::pair<std::uint16_t, std::uint16_t> ports_of(int fd) noexcept {
    sockaddr_in own{}, other{};
    socklen_t size = sizeof own;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) return {};
    size = sizeof other;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &size) != 0) return {};
    if (own.sin_family != AF_INET) return {};
    return {own.sin_port, other.sin_port};
}

// Nothing of a Unix socket.
std::optional<tcp_info> info_of(int fd) noexcept {
    tcp_info known{};
    socklen_t size = sizeof known;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &known, &size) != 0) return std::nullopt;
    return known;
}

}  // namespace

// Bytes that are not acknowledged may have arrived: a kernel may acknowledge late what its process
// has not read. The queue of a Unix socket gets bytes at once.
bool all_arrived(int fd) noexcept {
    int left = 0;
    if (::ioctl(fd, SIOCOUTQ, &left) != 0) return false;
    const auto mine = info_of(fd);
    if (left == 0 || !mine) return true;
    const auto [here, there] = ports_of(fd);
    for (int end = 0; end < descriptors; ++end) {
        if (ports_of(end) != std::pair(there, here)) continue;
        const auto theirs = info_of(end);
        return theirs && mine->tcpi_notsent_bytes == 0 &&
               theirs->tcpi_bytes_received >= mine->tcpi_bytes_sent;
    }
    return false;
}

}  // namespace torture
