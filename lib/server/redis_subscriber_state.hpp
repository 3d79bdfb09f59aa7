// The state of a redis_subscriber, which the logic of its link shares.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <ice/detail/deadline.hpp>
#include <ice/link.hpp>
#include <ice/redis_subscriber.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "handler_list.hpp"

namespace ice {

enum class redis_kind : std::uint8_t { channel, pattern, shard, tracking };

struct redis_words {
    std::string_view subscribe, unsubscribe;    // commands
    std::string_view subscribed, unsubscribed;  // pushes that confirm them
    std::string_view message;
};
inline constexpr std::array<redis_words, 3> redis_words_of{
    {{"SUBSCRIBE", "UNSUBSCRIBE", "subscribe", "unsubscribe", "message"},
     {"PSUBSCRIBE", "PUNSUBSCRIBE", "psubscribe", "punsubscribe", "pmessage"},
     {"SSUBSCRIBE", "SUNSUBSCRIBE", "ssubscribe", "sunsubscribe", "smessage"}}};
// Requires: it is not tracking.
inline const redis_words& words_of(redis_kind kind) noexcept {
    return redis_words_of[static_cast<std::size_t>(kind)];
}

struct redis_subscriber::state {
    struct loss {
        error_code why;
        time_point last_received;
    };
    // One subscription of the server; for redis_kind::tracking the only one, without handlers here.
    struct topic {
        redis_kind kind = redis_kind::channel;
        std::string name;
        std::vector<std::string> prefixes;
        handler_list<const redis_message_view&> handlers;
        std::string refusal;         // the server's last words
        bool is_asked = false;       // on this connection, and was not refused
        bool is_subscribed = false;  // on this connection
        std::optional<loss> lost;    // was subscribed on an earlier one, which has ended
    };
    struct command {
        std::shared_ptr<topic> of;  // null: PING
        bool ends = false;          // UNSUBSCRIBE
        bool opens = false;         // of those that begin a connection
    };
    using invalidation_handler = std::function<void(std::optional<std::string_view>)>;
    using topic_map = std::map<std::string, std::shared_ptr<topic>, std::less<>>;

    state(server& s, redis_subscriber_options o)
        : net(s.within(no_timeout)), log(s.log()), options(std::move(o)),
          retry(
              net.net().deadlines(), [](void* self) { static_cast<state*>(self)->ask_again(); },
              this) {}

    time_point now() const { return net.net().now(); }
    // Null without a connection.
    session<resp>* current() const noexcept { return link != nullptr ? link->current() : nullptr; }
    topic_map& topics_of(redis_kind kind) noexcept {
        return topics[static_cast<std::size_t>(kind)];
    }
    template <class F>
    void for_each_topic(F f) {
        for (auto& map : topics) {
            for (auto& [name, t] : map) f(t);
        }
        if (tracking) f(tracking);
    }

    // what is sent
    void opened(session<resp>& p);
    void closed(error_code why);
    void link_ended() noexcept;
    void ask(const std::shared_ptr<topic>& t, bool ends = false, bool opens = false);
    void push_unsent() { push_unsent(current()); }
    void push_unsent(session<resp>* peer);
    void flush();
    void ask_again();
    void note_pings();
    static resp_value bytes_of(const command& c);
    // what comes
    void received(const resp_view& m);
    void replied(const resp_view& reply);
    void confirmed(redis_kind kind, std::string_view name, bool ends);
    void subscribed(const std::shared_ptr<topic>& t);
    void refused(topic& t, std::string_view text);
    void answered(const command& c);
    void unexpected(std::string_view what);
    void deliver(redis_kind kind, std::string_view name, const redis_message_view& m);
    void invalidated(const resp_view& keys);
    void drop_all();
    void tell_gap();
    void tell_error(const topic& t, std::string_view text);
    // the user's calls
    std::uint64_t add(redis_kind kind, std::string name, handler handle);
    void end_if_unused(const std::shared_ptr<topic>& t);

    template <class F, class... A>
    void guarded(const F& f, std::string_view what, const A&... arguments) noexcept {
        try {
            f(arguments...);
        } catch (...) { threw(what); }
    }
    void threw(std::string_view what) noexcept;  // within a catch
    void write(log_level level, std::string_view kind, std::string_view text);

    time_limit net;  // its transport
    ice::log& log;   // of the server, which outlives the link's logic
    redis_subscriber_options options;
    deadline retry;                   // set while a subscription is refused
    ice::link<resp>* link = nullptr;  // null again when the server has ended
    bool is_open = false;  // from opened() to closed(), which is not called without memory
    std::array<topic_map, 3> topics;
    std::shared_ptr<topic> tracking;
    std::map<std::uint64_t, std::shared_ptr<topic>> subscriptions;
    std::uint64_t last_subscription = 0;
    std::deque<command> unsent, in_flight;  // Redis replies in the order of the commands
    std::size_t opening = 0;                // commands that begin the connection, without a reply
    std::uint64_t pings = 0;                // of the link, that in_flight has had
    time_point last_received{};
    std::shared_ptr<invalidation_handler> invalidate;
    std::shared_ptr<std::function<void(const redis_gap&)>> gap_report;
    std::shared_ptr<std::function<void(std::string_view)>> error_report;
    redis_subscriber_counters counters;
    bool has_loss = false;  // some topic has
    bool is_over = false;   // the subscriber was destroyed
};

}  // namespace ice
