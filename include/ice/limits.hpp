// The one table of bounds: how much, and how long. Sizes are bytes; times are of any unit of
// std::chrono, and over at once if they are 0 or less. Each is enforced, counted where it bites,
// and can be set; `unlimited` and `no_timeout` (see duration.hpp) say in words that there is none.
#pragma once

#include <cstddef>
#include <ice/duration.hpp>
#include <limits>
#include <optional>

namespace ice {

inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// Of one listener. srv.add(tcp_server_action{..}.limits({.connections = 100}));
struct limits {
    // Open at once; at this number the listener stops accepting, and the others wait in the
    // kernel's backlog. All listeners of the process together have no more than RLIMIT_NOFILE
    // leaves beside its pools (see connections_allowed): at that number each of them stops. Lower
    // this where one listener must not take the room of another.
    std::size_t connections = 10'000;

    // Open at once from one peer: one more is closed, so that one peer alone cannot take all of
    // `connections`. Peers on this host are not counted. Behind a proxy on another host, where all
    // connections are its own, this is `unlimited`.
    std::size_t connections_per_peer = 256;

    // IPv6 addresses that agree in so many leading bits are one peer of connections_per_peer; more
    // than 128 are 128. 56: one site has as many addresses as it likes of a /64, and most often of
    // a /56 (RFC 6177), of which each customer of a network gets one. An IPv4 address is a peer by
    // itself, also behind the well-known prefix of NAT64 (RFC 6052) and in 6to4 (RFC 3056).
    std::size_t ipv6_prefix = 56;

    // An unfinished message; the protocol's own maximum may be lower (a line: 8 KiB).
    std::size_t message = 1024 * 1024;

    // Received and not yet parsed, while messages are whole: beyond it nothing is read.
    std::size_t inbox = 64 * 1024;

    // Not yet sent when push() is called: beyond it push() refuses, as the peer does not read.
    std::size_t outbox = 1024 * 1024;

    // Messages answered in one turn before the other connections have theirs. A turn ends in one
    // write, so this is also the largest burst that is answered at once.
    std::size_t turn = 64;

    // Bytes of answers gathered in one turn; the answer that passes it is the last of the turn. The
    // next message is looked at when all of them are sent, so a peer that asks for large answers
    // and does not read holds this and one answer, however many requests it has sent.
    // 64 KiB: larger writes gain nothing.
    std::size_t turn_bytes = 64 * 1024;

    // Connections accepted in one turn.
    std::size_t accepts = 64;

    // Who may connect to a Unix socket: the permissions of its file, as of chmod(2), such as 0660
    // (octal) for its user and group, who need the write bit. They hold from the first moment on,
    // whatever the umask is. Bits beyond 0777 are refused: 660 without the 0 is another number.
    // None: 0777 less the umask, as bind(2) does it. Other listeners do not use it.
    std::optional<unsigned> socket_mode = std::nullopt;
};

// Of one listener.
struct timeouts {
    duration handshake = std::chrono::seconds(10);

    // From the first byte of a message to its last. Not from the last byte received: a peer that
    // sends a byte now and then (slowloris) gains nothing.
    duration message = std::chrono::seconds(30);

    // Without any byte, between two messages.
    duration idle = std::chrono::seconds(75);

    // Without any progress in sending.
    duration write = std::chrono::seconds(30);

    // For one answer of a logic that waits, or twice that when it is not the first of a burst; then
    // its connection is closed.
    duration logic = std::chrono::seconds(30);

    // After we have said goodbye, for the peer to have read it and to close: closing at once
    // with bytes unread would make the kernel send a reset, which can destroy the last answer.
    duration linger = std::chrono::seconds(1);
};

// Of one pool. What each has done stands in pool_counters, whose name is given.
struct pool_limits {
    // Callers that wait for a connection; one more is refused with errc::pool_full (refused).
    // 1024: what a few connections work off within pool_timeouts::wait when a reply takes some
    // milliseconds; of more than that most would wait in vain, and make it worse.
    std::size_t waiters = 1024;

    // An unfinished reply; the protocol's own maximum may be lower. A longer one ends its
    // connection (bad_replies). As limits::message: what a server takes, it can be asked for.
    std::size_t message = 1024 * 1024;

    // Stay open although nobody asks: when one of them ends, another is opened. Those beyond it,
    // up to the pool's size, are opened while callers wait, and end after pool_timeouts::idle
    // (expired). None: what nobody uses costs the upstream as well.
    std::size_t keep = 0;

    // Opened before anyone asks, at the start and when the upstream is back, so that the first
    // requests need not wait for it (connects). `unlimited`: as many as the pool's size.
    std::size_t preconnect = unlimited;

    // Requests that share a connection without waiting for the replies before theirs. It needs an
    // upstream that answers in the order of the requests, as Redis and memcached do; then replies
    // are given out by that order alone. A free connection is used before one is shared, and one is
    // shared before another is opened. Who finds no room waits for it (waited).
    std::size_t pipeline = 1;

    // Requests that are sent again, in percent of all requests, and ten more: those whose
    // connection was lost before a byte of them was sent (retries). A tenth is all that an upstream
    // in trouble gets of them on top of its load. 0: the caller is told at once.
    unsigned retries = 10;
};

// Of one pool; counters as above.
struct pool_timeouts {
    // Name resolution and connecting, over all addresses of the name (connect_failures). A first
    // SYN that is lost is sent again after one second: that must be in time.
    duration connect = std::chrono::seconds(3);

    // The protocol's handshake after it (connect_failures). As timeouts::handshake of the server.
    duration handshake = std::chrono::seconds(10);

    // For a free connection (refused); the request's own time ends this wait too. As long as that:
    // who wants to know earlier that a pool is too small sets it.
    duration wait = std::chrono::seconds(5);

    // For the whole request, waiting included; request(m, timeout) sets another (timeouts). Longer
    // than connecting: a caller sees one attempt through, and one who waits at a screen is there.
    // An upstream that takes no byte of it for 30 s (timeouts::write) ends it before.
    duration request = std::chrono::seconds(5);

    // Unused for so long, a connection is closed (expired): shorter than servers' own (ice's is
    // 75 s), so that a request seldom meets a connection which the other side is just closing.
    duration idle = std::chrono::seconds(30);

    // Between two attempts that callers cause while the upstream cannot be reached; others fail
    // at once meanwhile. So it bounds how soon an upstream is used again that was away for a
    // moment: for three such times. Later it is 4 to 14 of them, by chance: a thousand pools that
    // ask twice a second would trample whoever comes back. Less than 1 ms is 1 ms.
    duration probe = std::chrono::milliseconds(500);

    // The reply to a health check: an idle connection whose upstream takes longer for the least of
    // all requests is not worth a real one. There is none by default: which message asks for
    // health only the protocol's user knows, and a dead idle connection is noticed by itself when
    // its other end has closed it (checks_failed).
    duration check = std::chrono::seconds(1);

    // No connection is lent after it, so that the load moves with the name of the upstream, or
    // behind its balancer (aged): within half an hour, for next to no connecting. Each ends up to a
    // quarter earlier, by chance: never all at once.
    duration age = std::chrono::minutes(30);
};

// How long to wait before the next attempt to connect: see backoff.hpp.
// With a first of 0 the first attempt comes at once, and then it grows from 1 ms. A cap of 0 means
// never to wait. Counted: connects, connect_failures.
// 50 ms: a restart is over soon, and one connect in that time is no load. 30 s: nobody who has
// repaired an upstream waits longer until it is used.
struct backoff_limits {
    duration first = std::chrono::milliseconds(50);
    duration cap = std::chrono::seconds(30);
};

// When an upstream that takes connections is not asked for a while: see breaker.hpp. Of each
// address of a pool. Counted: breaker_open, and upstream_state::ejections.
struct breaker_limits {
    // Requests in a row that have failed: no reply in time, closed before or in the middle of it,
    // or not the protocol. A connection that many callers share fails once, and what is a caller's
    // own doing (a message that cannot be packed, cancelling, a lease) does not count. 5: two
    // rounds of a pool of three, so that callers of an upstream that hangs wait twice for their
    // timeout, and not for ever; yet a reply lost now and then is no reason. `unlimited`: it is
    // always asked.
    std::size_t failures = 5;

    // The pause after it: any time from zero to this, and once it has lasted longer, to what it has
    // lasted; at most the cap, which is that of the back-off. As long as pool_timeouts::probe: a
    // restart takes about that.
    duration first = std::chrono::milliseconds(500);
    duration cap = std::chrono::seconds(30);
};

// `wanted`, or what a limit of `descriptors` (RLIMIT_NOFILE) leaves for the connections of
// listeners when there are pools of `pooled` connections. 64 descriptors, or a quarter if that is
// fewer, are kept for files, listeners, lookups and the loop itself. Of the rest the pools have
// first what they may open, at most half: a pool that is larger than the process can bear must not
// shut out all peers.
constexpr std::size_t connections_allowed(std::size_t wanted, std::size_t descriptors,
                                          std::size_t pooled = 0) noexcept {
    const std::size_t kept = descriptors / 4 < 64 ? descriptors / 4 : 64;
    const std::size_t rest = descriptors - kept;
    const std::size_t left = rest - (pooled < rest / 2 ? pooled : rest / 2);
    return wanted < left ? wanted : left;
}

}  // namespace ice
