// redis_subscriber: subscriptions to channels of Redis, Valkey and KeyDB that outlive a connection,
// on a link, and the invalidations of client-side caching. It tells when messages may be missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/detail/link_base.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/resp.hpp>
#include <ice/server.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ice {

// How a redis_subscriber logs in, and its bounds.
struct redis_subscriber_options {
    std::string name = "redis";  // of its link: unique among the links of a server
    resp_login login{};          // its version is always 3
    // Bytes of one message with its framing. A larger one ends the connection, and so makes a gap:
    // Redis takes up to 512 MiB of whoever may publish. 1 MiB, as limits::message.
    std::size_t message = 1024 * 1024;
    // Bytes of commands that are not sent yet. Further commands wait for the replies to those
    // before them. 1 MiB, as limits::outbox.
    std::size_t outbox = 1024 * 1024;
    // A server that is silent for so long is sent a PING: see tcp_link_action::heartbeat(). A
    // server that has gone is found within three of them, and so long a cache may be stale. 10 s:
    // half a minute in all, and no load.
    duration heartbeat = std::chrono::seconds(10);
    // A subscription that the server has refused is asked for again after so long, as an
    // administrator may have changed its permissions, and a script that made it busy has ended.
    duration retry_interval = std::chrono::seconds(10);
    link_timeouts timeouts{};
    backoff_limits backoff{};
};

// What was published. The views are valid until the handler returns.
struct redis_message_view {
    std::string_view channel;
    std::string_view pattern;  // of psubscribe(); empty for the others
    std::string_view payload;
};

// Messages may be missing: a connection had ended, and its subscriptions are effective again.
struct redis_gap {
    error_code why;  // the connection ended
    // When the last message or reply of that connection was handled. What was published before has
    // come, except what was still on its way or waited behind a slow handler.
    time_point last_received;
    time_point subscribed;  // when the server had replied to all subscriptions of the new one
};

// Events of one subscriber since it was made. link().counters() has those of its connections.
struct redis_subscriber_counters {
    std::uint64_t messages = 0;       // delivered to at least one handler
    std::uint64_t gaps = 0;           // see on_gap()
    std::uint64_t refused = 0;        // replies that refused a subscription or tracking
    std::uint64_t invalidations = 0;  // keys, and those of "all" that the server has sent
    std::uint64_t ignored = 0;        // messages that have no handler any more, unknown pushes
    std::uint64_t unexpected = 0;     // replies to no command: they end the connection
    std::uint64_t handler_threw = 0;
};

// Adds a link to a server when it is made. Use it on the loop's thread. It may be destroyed within
// each of its handlers, and before the server: its handlers are not called any more then. The link
// stays until the server drains or stops. It may also outlive the server, but not the loop.
//     ice::redis_subscriber redis(srv, ice::address("127.0.0.1:6379"));
//     redis.subscribe("news", [](const ice::redis_message_view& m) { use(m.payload); });
//     redis.on_gap([](const ice::redis_gap&) { read_the_news_from_the_database(); });
//
// At most once: Redis keeps no message for a subscriber without a connection, and numbers none. So
// nobody can count what was lost. The subscriber tells that and when messages may be missing. It
// needs RESP3, so Redis 6; link().why() has the words with which an older server refuses HELLO.
// With several addresses it is connected to one at a time: those of replicas, which pass on all
// that is published on their primary, but also tell nobody of what they have missed. Of a Redis
// Cluster, ssubscribe() is refused with MOVED by each node that does not have the channel.
//
// A handler must not wait. The log has what it throws, and other handlers are called all the same.
// A server closes the connection of a subscriber that reads too slowly
// (client-output-buffer-limit), which is a gap as well.
class ICE_API redis_subscriber {
public:
    using handler = std::function<void(const redis_message_view&)>;

    // Bytes of the name of a channel or pattern, and of all prefixes of invalidations().
    static constexpr std::size_t name_limit = 4 * 1024;

    // Throws as server::add() of a link.
    redis_subscriber(server& srv, pool_addresses where, redis_subscriber_options options = {});
    // Unsubscribes.
    ~redis_subscriber();
    redis_subscriber(const redis_subscriber&) = delete;
    redis_subscriber& operator=(const redis_subscriber&) = delete;

    // Calls `handle` with each message of a channel (SUBSCRIBE), of all channels that match a
    // pattern (PSUBSCRIBE, such as "news.*"), or of a shard channel (SSUBSCRIBE, Redis 7), on each
    // connection from now on. One subscription of the server serves all handlers of a name. Returns
    // the number of the subscription. Throws std::invalid_argument for a name beyond name_limit.
    std::uint64_t subscribe(std::string channel, handler handle);
    std::uint64_t psubscribe(std::string pattern, handler handle);
    std::uint64_t ssubscribe(std::string channel, handler handle);
    // Ends a subscription: its handler is not called any more. No effect if there is none.
    void unsubscribe(std::uint64_t subscription);

    // Whether the server has confirmed a subscription on the current connection: each message that
    // is published from now on comes, or its loss makes a gap. False if there is none.
    bool is_subscribed(std::uint64_t subscription) const noexcept;
    // Whether the link is connected and the server has replied to all that was asked for.
    bool is_settled() const noexcept;

    // Is called when messages may be missing, as soon as the subscriptions of the lost connection
    // are effective again: so what is read from elsewhere now has all that came before, and the
    // messages from now on have the rest. Several connections that end before that make one gap.
    // The first connection makes none. Without it the log has them.
    void on_gap(std::function<void(const redis_gap&)> report);

    // Is called with the text of each refusal of the server, such as "SUBSCRIBE 'secret': NOPERM
    // this user has no permissions ..", unless the last one of this subscription had the same text.
    // The subscription is asked for again (redis_subscriber_options::retry_interval). Without it
    // the log has the text.
    void on_error(std::function<void(std::string_view)> report);

    // Client-side caching: CLIENT TRACKING ON BCAST. Calls `handle` with each key that was written,
    // has expired or was evicted, of those that begin with one of `prefixes` (all keys if there is
    // none), whoever has read it over whatever connection, in any database; with std::nullopt all
    // keys are meant. A second call replaces the first, and an empty function ends it. Throws
    // std::invalid_argument beyond name_limit. One prefix must not begin with another.
    //
    // A cache is correct if it does all of this:
    // 1. It drops the key, or all. All are meant when the server was flushed, when the connection
    //    has ended, and when tracking has begun, as what was read before is not tracked.
    // 2. It stores nothing unless is_tracking().
    // 3. It notes before each request which key it reads, and stores the reply only if no
    //    invalidation of that key, or of all, came in between. The connection of the request and
    //    that of the invalidation are two, so the reply may come after the invalidation that makes
    //    it stale.
    // 4. It keeps no entry for ever: a server whose machine is gone is found within three intervals
    //    of the heartbeat, and until then no invalidation comes.
    void invalidations(std::function<void(std::optional<std::string_view> key)> handle,
                       std::vector<std::string> prefixes = {});
    bool is_tracking() const noexcept;

    // Its state, its counters, and connected(). Requires: the server lives.
    link_base& link() const noexcept;
    redis_subscriber_counters counters() const noexcept;

private:
    struct state;
    struct logic;
    std::shared_ptr<state> state_;
};

}  // namespace ice
