// Limits and timeouts of listeners and pools, with their defaults. Sizes are in bytes. A timeout
// takes any unit of std::chrono; one of 0 or less expires at once. `unlimited` is the size without
// a bound, `no_timeout` (duration.hpp) the time without one. docs/limits.md lists all of them.
#pragma once

#include <cstddef>
#include <ice/duration.hpp>
#include <limits>
#include <optional>

namespace ice {

inline constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// Limits of one listener. srv.add(tcp_server_action{..}.limits({.connections = 100}));
struct limits {
    // Connections that are open at once. At this number the listener stops accepting, and further
    // peers wait in the kernel's backlog. All listeners of a process together also keep to what
    // RLIMIT_NOFILE leaves beside its pools (connections_allowed()): at that number all of them
    // stop accepting. Of the listeners of a server that wait, the one that was added first gets the
    // next free descriptor; servers in other threads check for one every 100 ms. Lower this limit
    // where one listener must not take the descriptors of another.
    std::size_t connections = 10'000;

    // Connections of one peer that are open at once. The listener closes one more at once, so that
    // one peer cannot take all of `connections`. Peers on this host are not counted. Behind a proxy
    // on another host all connections come from the proxy: set `unlimited` there.
    std::size_t connections_per_peer = 256;

    // connections_per_peer counts IPv6 addresses that agree in this many leading bits as one peer.
    // Values above 128 mean 128. Networks usually assign a /56 to each customer (RFC 6177), and one
    // host can use every address of it. Each IPv4 address is one peer, also behind the well-known
    // prefix of NAT64 (RFC 6052) and in 6to4 (RFC 3056).
    std::size_t ipv6_prefix = 56;

    // Bytes of an unfinished message. Beyond it the listener closes the connection with
    // errc::message_too_large. A protocol may have a lower maximum (ice::line: 8 KiB).
    std::size_t message = 1024 * 1024;

    // Bytes that are received and not parsed. Beyond it the session reads nothing until the logic
    // has consumed some of them; an unfinished message may still grow to `message`.
    std::size_t inbox = 64 * 1024;

    // Bytes that are not sent yet, those of the message that push() adds included. Beyond it push()
    // returns errc::outbox_full, as the peer does not read or the message alone is too large.
    std::size_t outbox = 1024 * 1024;

    // Messages of one connection that are answered before other connections are served. The
    // answers leave in one write, so this is also the largest burst that one write answers.
    std::size_t batch = 64;

    // Messages of one connection that a logic which waits works on at once. The answers leave in
    // the order of the messages: one that takes long holds back those after it. 1: the logic gets
    // a message when the answer to the one before is made, so it sees them one after the other.
    // With more, each message is copied, timeouts::logic applies to each, the logic must not call
    // session::receive(), and what it sends by push() or send() leaves before answers that wait.
    // At this number the session reads nothing. It applies to no logic that returns plain answers,
    // to no converse(), and to no protocol with handle() or whose messages cannot be copied: there
    // the messages stay one after the other. Values below 1 mean 1.
    std::size_t in_flight = 1;

    // Whether a connection stays open when its peer has closed only its sending side, as nc -N does
    // after its request, to wait for the answers. With false the connection ends when the peer
    // closes its sending side or resets while the session reads nothing: the logic is cancelled as
    // at the end of timeouts::logic, its answer, those not sent yet and the messages that the logic
    // has not begun are lost, and closed() gets errc::closed. A logic that asks upstreams so stops
    // to work for a client that has left, but TCP cannot tell such a client from one that waits for
    // its answers. It applies to no logic that returns plain answers.
    bool allow_half_open = true;

    // Bytes of answers that are gathered for one write. The answer that reaches it is the last one,
    // and the session parses the next message when all of them are sent. So a peer that requests
    // large answers and does not read them makes the server hold this and one answer, however many
    // requests it sends. Larger writes than 64 KiB gain nothing.
    std::size_t batch_bytes = 64 * 1024;

    // Connections that the listener accepts in a row before the loop serves established ones.
    std::size_t accepts = 64;

    // Permissions of the file of a Unix socket, as for chmod(2): 0660 (octal) lets its user and
    // group connect, which takes the write bit (unix(7)). The file has them from its creation,
    // whatever the umask is. Without a value it has 0777 less the umask, as bind(2) makes it.
    // server::add() throws if a bit beyond 0777 is set, as in a decimal 660, and where /proc is not
    // mounted (glibc needs it for fchmodat()). Give the owner the write bit: without it a server
    // that is started again cannot tell whether another one still listens. TCP ignores it.
    std::optional<unsigned> socket_mode = std::nullopt;
};

// Timeouts of one listener. When one expires, the listener closes the connection and counts it in
// listener_counters::timeouts; `linger` alone ends without an error.
struct timeouts {
    // The time from accepting a connection to the end of the protocol's handshake.
    duration handshake = std::chrono::seconds(10);

    // The time from the first byte of a message to its last. Further bytes do not extend it, so a
    // peer that sends a byte now and then (slowloris) cannot hold a connection.
    duration message = std::chrono::seconds(30);

    // The time without a byte between two messages. It is longer than clients usually keep idle
    // connections, so that the client closes first.
    duration idle = std::chrono::seconds(75);

    // The time in which the peer's system acknowledges no byte while some wait to be sent.
    duration write = std::chrono::seconds(30);

    // The time for one answer of a logic that waits, for its opened() and for its closed(), and for
    // handle() of a protocol. For a message that is not the first of a burst the logic may take up
    // to twice as long, as the session does not read the clock for each. At its end the session
    // cancels the logic (see logic_for). A logic that goes on all the same loses its connection a
    // second later, whatever it does.
    duration logic = std::chrono::seconds(30);

    // The time from the end of this side's stream to the end of the peer's. If the session closed
    // at once while bytes of the peer are unread, the kernel would send a reset, which can destroy
    // the last answer on its way.
    duration linger = std::chrono::seconds(1);
};

// Limits of one pool. The name in parentheses is the counter of pool_counters.
struct pool_limits {
    // Callers that wait for a connection. The pool refuses one more with errc::pool_full (refused).
    // A few connections serve 1024 callers within pool_timeouts::acquire if a reply takes some
    // milliseconds; in a longer queue most callers would wait and then time out.
    std::size_t max_waiters = 1024;

    // Bytes of an unfinished reply. Beyond it the pool closes the connection (bad_replies). A
    // protocol may have a lower maximum. As limits::message.
    std::size_t message = 1024 * 1024;

    // Bytes of requests on one shared connection that are not sent yet. While there are so many,
    // it takes no further request, and callers wait as for a connection (waited). One
    // request of any size is sent if none is unsent. Applies to push() on a lease too, which then
    // returns errc::outbox_full. As limits::outbox; 0 means 1.
    std::size_t outbox = 1024 * 1024;

    // Connections that the pool keeps open without requests: when one ends, it opens another. It
    // opens more, up to its size, while callers wait, and closes those after pool_timeouts::idle
    // (expired). The default is 0, as an idle connection costs the upstream too.
    std::size_t min_connections = 0;

    // Connections that the pool opens at the start, and when the upstream is back, before the first
    // request, which then need not wait for one (connects). `unlimited`: the pool's size.
    std::size_t preconnect = unlimited;

    // Requests that share a connection and do not wait for the replies to earlier ones. Set more
    // than 1 only if the upstream replies in the order of the requests, as Redis and memcached do:
    // the pool assigns replies by that order alone. A request takes a free connection if there is
    // one. If not, it shares a connection that has room. If there is none either, the caller waits,
    // and the pool opens another connection, up to its size (waited).
    std::size_t pipeline = 1;

    // Requests that the pool sends again because their connection was lost before a byte of them
    // was sent, in percent of all requests, and ten more (retries). So by default an upstream
    // in trouble gets at most a tenth more load. 0: the caller gets the failure at once.
    unsigned retries = 10;
};

// Timeouts of one pool. The name in parentheses is the counter of pool_counters.
struct pool_timeouts {
    // Looking up the name and connecting, for all addresses of the name together
    // (connect_failures). 3 s: the kernel sends a lost SYN again after one second (RFC 6298), which
    // must be in time.
    duration connect = std::chrono::seconds(3);

    // The protocol's handshake on a new connection (connect_failures), and each reset() after a
    // lease. As timeouts::handshake.
    duration handshake = std::chrono::seconds(10);

    // Waiting for a free connection (refused). The request's own timeout ends this wait too, and
    // has the same default. Lower this one to detect an undersized pool sooner.
    duration acquire = std::chrono::seconds(5);

    // The whole request, waiting and connecting included (timeouts); request(m, timeout) sets
    // another. 5 s: it outlives one attempt to connect, and is short enough for interactive users.
    // In a longer request the connection ends with errc::write_timeout if its upstream takes no
    // byte for 30 s (timeouts::write).
    duration request = std::chrono::seconds(5);

    // The pool closes a connection that was unused for this long (expired). Shorter than the idle
    // timeouts of servers (ice: 75 s), so that a request seldom meets a connection that the
    // upstream is closing.
    duration idle = std::chrono::seconds(30);

    // While the upstream cannot be reached, requests cause an attempt to connect at most once in
    // this time, and fail at once in between (refused). Once attempts have failed for twice this
    // time, the pause between them is 4 to 14 times as long, at random, so that a thousand pools do
    // not overload an upstream that comes back. Values below 1 ms mean 1 ms.
    duration retry_interval = std::chrono::milliseconds(500);

    // The reply to a health check; without one in time the pool closes the connection
    // (checks_failed). There is no health check by default: only the user knows which message is
    // one, and the pool sees by itself when an upstream closes an idle connection.
    duration check = std::chrono::seconds(1);

    // The pool replaces a connection that is older (aged), so that the load follows the balancer of
    // the upstream within this time. It connects first and closes the old one then, at once or when
    // its caller gives it back: an old connection stays as long as no other one can be made. So
    // there may be a quarter more connections than the size, at least one more. Each connection is
    // replaced up to a quarter earlier, at random: they do not all end together.
    duration max_lifetime = std::chrono::minutes(30);

    // The pool looks its host names up again after this time (lookups), and sooner when an address
    // of the name refuses connections. Each address that a name resolves to is an upstream of its
    // own; one that the name no longer resolves to gets no new connection, and its connections end
    // when others have replaced them. If a lookup fails, the pool keeps the addresses. 30 s, as
    // common times to live of such records are 30 to 60 s. Each lookup comes up to a quarter
    // earlier, at random. `no_timeout`: only when an address refuses connections.
    duration refresh = std::chrono::seconds(30);
};

// Limits of one link. The name in parentheses is the counter of link_counters.
struct link_limits {
    // Bytes of an unfinished message. Beyond it the link closes the connection with
    // errc::message_too_large, and connects again (broken). As limits::message.
    std::size_t message = 1024 * 1024;

    // Bytes that are not sent yet, those of the message that push() adds included. Beyond it push()
    // returns errc::outbox_full (outbox_full). While so many are unsent, the link receives nothing.
    // As limits::outbox.
    std::size_t outbox = 1024 * 1024;

    // Messages of push() that wait while the link is not connected (queued). It sends them, in
    // order, after opened() of the logic. 0: push() returns errc::not_connected (not_connected), as
    // what is sent late is often worse than what is refused.
    std::size_t queue = 0;

    // Messages that a logic which waits works on at once. As limits::in_flight.
    std::size_t in_flight = 1;
};

// Timeouts of one link. When one expires, the link closes the connection and makes another, after a
// pause (backoff_limits). The name in parentheses is the counter of link_counters.
struct link_timeouts {
    // Looking up the name and connecting (connect_failures). As pool_timeouts::connect.
    duration connect = std::chrono::seconds(3);

    // The protocol's handshake on a new connection (connect_failures). As timeouts::handshake.
    duration handshake = std::chrono::seconds(10);

    // The time from the first byte of a message to its last (broken). As timeouts::message. There
    // is no idle timeout, as a link may wait for messages for hours: a heartbeat finds a peer that
    // has gone without a word.
    duration message = std::chrono::seconds(30);

    // The time in which the peer acknowledges no byte while some wait to be sent (broken). As
    // timeouts::write.
    duration write = std::chrono::seconds(30);

    // The time for one message of a logic that waits, for its opened() and for its closed()
    // (broken). As timeouts::logic.
    duration logic = std::chrono::seconds(30);

    // In a drain, the time for the end of the connection, closed() of the logic and what it pushes
    // included. At its end the link closes the connection, so a peer that does not read holds the
    // server no longer.
    duration drain = std::chrono::seconds(1);
};

// Pauses before the next attempt to connect (backoff.hpp). With a `first` of 0 the first attempt
// comes at once, and the pause grows from 1 ms; a `cap` of 0 means no pause. Counted: connects,
// connect_failures. `first` is 50 ms, as a restart may take no longer and one attempt in that time
// is no load. `cap` is 30 s: that is how long a repaired upstream may stay unused.
struct backoff_limits {
    duration first = std::chrono::milliseconds(50);
    duration cap = std::chrono::seconds(30);
};

// When a pool stops sending requests to an address that accepts connections (breaker.hpp).
// Counted: breaker_open, and upstream_state::trips.
struct breaker_limits {
    // Requests that failed in a row: no reply in time, a connection that ended before the reply was
    // whole, or bytes that are not the protocol. If a shared connection fails, that counts once.
    // A timeout counts if the upstream was silent for half of pool_timeouts::request, at most 5 s.
    // What a caller causes (an unencodable message, cancelling, a lease of a session, a reply that
    // is too large or that its logic refuses) does not count. 5: a request that fails now and then
    // does not open the breaker. `unlimited`: it never opens.
    std::size_t failures = 5;

    // The pause is drawn at random between zero and `first`, or, once the outage has lasted longer,
    // between zero and the length of the outage; never more than `cap`. 500 ms, as
    // pool_timeouts::retry_interval.
    duration first = std::chrono::milliseconds(500);
    duration cap = std::chrono::seconds(30);
};

// How many connections listeners may open: `wanted`, or what a limit of `descriptors`
// (RLIMIT_NOFILE) leaves beside pools of `pooled` connections, if that is less. 64 descriptors, or
// a quarter if that is fewer, are reserved for files, listening sockets, lookups and the loop. The
// pools get their part of the rest first, but at most half of it, so that a pool that is too large
// for the process does not shut out all peers.
constexpr std::size_t connections_allowed(std::size_t wanted, std::size_t descriptors,
                                          std::size_t pooled = 0) noexcept {
    const std::size_t kept = descriptors / 4 < 64 ? descriptors / 4 : 64;
    const std::size_t rest = descriptors - kept;
    const std::size_t left = rest - (pooled < rest / 2 ? pooled : rest / 2);
    return wanted < left ? wanted : left;
}

}  // namespace ice
