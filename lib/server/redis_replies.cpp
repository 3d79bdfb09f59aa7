// What a server of Redis sends to a redis_subscriber: replies in the order of the commands, and
// pushes. It calls the handlers.
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "redis_subscriber_state.hpp"

namespace ice {

void redis_subscriber::state::received(const resp_view& m) {
    if (is_over) return;
    last_received = now();
    note_pings();  // mutant: redis_pings
    if (m.type() != resp_type::push) return replied(m);
    std::array<resp_view, 4> part;
    std::size_t count = 0;
    for (const resp_view one : m) {
        if (count < part.size()) part[count++] = one;
    }
    const auto what = part[0].text();
    for (std::size_t i = 0; i < redis_words_of.size(); ++i) {
        const auto kind = static_cast<redis_kind>(i);
        const redis_words& words = words_of(kind);
        const auto name = part[1].text();
        if (what == words.message) {
            if (kind == redis_kind::pattern)
                return deliver(kind, name, {part[2].text(), name, part[3].text()});
            return deliver(kind, name, {name, {}, part[2].text()});
        }
        if (what == words.subscribed) return confirmed(kind, name, false);
        if (what == words.unsubscribed) return confirmed(kind, name, true);
    }
    if (what == "invalidate") return invalidated(part[1]);
    ++counters.ignored;
}

// A reply that is no push: to PING, to CLIENT TRACKING, or a refusal.
void redis_subscriber::state::replied(const resp_view& reply) {
    if (in_flight.empty()) return unexpected(reply.text());
    const command c = in_flight.front();
    const bool is_ping = c.of == nullptr;
    if (!is_ping && !reply.is_error() && c.of->kind != redis_kind::tracking)
        return unexpected(reply.text());
    in_flight.pop_front();
    if (is_ping) return;  // an error, such as LOADING, shows as well that the server lives
    if (!c.ends && reply.is_error()) refused(*c.of, reply.text());
    else if (!c.ends) subscribed(c.of);
    // Its prefixes are still tracked, and Redis refuses new ones that overlap them.
    else if (reply.is_error()) return link->reconnect();
    answered(c);
}

void redis_subscriber::state::confirmed(redis_kind kind, std::string_view name, bool ends) {
    const auto is = [&](const command& c) {
        return c.of && c.ends == ends && c.of->kind == kind && c.of->name == name;
    };
    if (in_flight.empty() || !is(in_flight.front())) {
        const auto& map = topics_of(kind);
        const auto found = map.find(name);
        if (!ends || found == map.end()) return unexpected(name);
        // Of a cluster: the channel has moved to another node.
        const auto t = found->second;
        tell_error(*t, "the server has ended the subscription");
        if (!is_over) link->reconnect();
        return;
    }
    const command c = in_flight.front();
    in_flight.pop_front();
    if (!ends) subscribed(c.of);
    answered(c);
}

void redis_subscriber::state::subscribed(const std::shared_ptr<topic>& t) {
    t->is_subscribed = true;
    t->refusal.clear();
    if (t == tracking) drop_all();
}

void redis_subscriber::state::refused(topic& t, std::string_view text) {
    ++counters.refused;
    t.is_asked = false;
    if (retry.at() == never) retry.set(after(now(), options.retry_interval));
    if (t.refusal == text) return;
    tell_error(t, text);
    t.refusal = text;
}

void redis_subscriber::state::answered(const command& c) {
    if (c.opens) --opening;
    push_unsent();
    if (opening == 0) tell_gap();  // mutant: redis_gap
}

void redis_subscriber::state::unexpected(std::string_view what) {
    ++counters.unexpected;
    write(log_level::error, "unexpected reply of Redis",
          fmt::format("a reply to no command: {}", escaped(what)));
    link->reconnect();
}

void redis_subscriber::state::deliver(redis_kind kind, std::string_view name,
                                      const redis_message_view& m) {
    const auto& map = topics_of(kind);
    const auto found = map.find(name);
    // A handler that subscribes again to a channel that is being left gets nothing of the old
    // subscription: its own begins with its confirmation.
    if (found == map.end() || !found->second->is_subscribed) {  // mutant: redis_begin
        ++counters.ignored;
        return;
    }
    ++counters.messages;
    const std::shared_ptr<topic> to = found->second;
    to->handlers.for_each([&](const handler& handle) {
        if (!is_over) guarded(handle, to->name, m);
    });
}

void redis_subscriber::state::invalidated(const resp_view& keys) {
    if (keys.is_null()) {
        ++counters.invalidations;
        return drop_all();
    }
    const auto handle = invalidate;
    for (const resp_view key : keys) {
        if (is_over || handle == nullptr || handle != invalidate) return;
        ++counters.invalidations;
        guarded(*handle, "invalidations", std::optional(key.text()));
    }
}

void redis_subscriber::state::drop_all() {
    const auto handle = invalidate;
    if (handle) guarded(*handle, "invalidations", std::optional<std::string_view>());
}

void redis_subscriber::state::tell_gap() {
    if (!std::exchange(has_loss, false)) return;  // as for most replies
    std::optional<loss> first;
    for_each_topic([&](const auto& t) {
        if (!t->lost) return;
        if (!t->is_subscribed) {  // it is refused, and keeps its gap
            has_loss = true;
            return;
        }
        if (!first || t->lost->last_received < first->last_received) first = t->lost;
        t->lost.reset();
    });
    if (!first) return;
    const redis_gap gap{first->why, first->last_received, now()};
    ++counters.gaps;
    if (const auto tell = gap_report) return guarded(*tell, "on_gap", gap);
    const std::chrono::duration<double> span = gap.subscribed - gap.last_received;
    write(log_level::warning, "messages of Redis may be missing",
          fmt::format("messages of {:.3f} s may be missing: {}", span.count(), gap.why.message()));
}

void redis_subscriber::state::tell_error(const topic& t, std::string_view text) {
    const bool is_tracking = t.kind == redis_kind::tracking;
    const std::string told = is_tracking ? fmt::format("CLIENT TRACKING: {}", escaped(text))
                                         : fmt::format("{} '{}': {}", words_of(t.kind).subscribe,
                                                       escaped(t.name), escaped(text));
    if (const auto tell = error_report) return guarded(*tell, "on_error", std::string_view(told));
    write(log_level::error, "error of Redis", told);
}

void redis_subscriber::state::threw(std::string_view what) noexcept {
    ++counters.handler_threw;
    try {
        write(log_level::error, "handler of Redis threw",
              fmt::format("a handler of '{}' threw: {}", escaped(what),
                          detail::what_of(std::current_exception())));
    } catch (...) {  // no memory for a line
    }
}

void redis_subscriber::state::write(log_level level, std::string_view kind, std::string_view text) {
    log.write(now(), level, kind, fmt::format("link '{}': {}", options.name, text));
}

}  // namespace ice
