// The commands of a redis_subscriber, and what the end of a connection means to its subscriptions.
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <stdexcept>

#include "redis_subscriber_state.hpp"

namespace ice {
namespace {

// Beside names and payload: types, lengths and line ends of a push or of a command.
constexpr std::size_t redis_framing = 256;
constexpr std::size_t redis_framed(std::size_t size) noexcept {
    constexpr std::size_t most = redis_framing + redis_subscriber::name_limit;
    return std::max(size, most);
}

// Of each prefix: "$6\r\nPREFIX\r\n" and its own length and line ends.
constexpr std::size_t redis_prefix_framing = 32;

resp_value redis_words_to_command(const std::vector<std::string_view>& words) {
    std::string out;
    detail::append_resp_header('*', static_cast<std::int64_t>(words.size()), out);
    for (const std::string_view word : words) detail::append_resp_bulk(word, out);
    return resp_value(std::move(out));
}

}  // namespace

struct redis_subscriber::logic {
    std::shared_ptr<state> client;
    std::shared_ptr<void> end;  // of the link, which owns this

    void opened(session<resp>& peer) const { client->opened(peer); }
    void operator()(const resp_view& m) const { client->received(m); }
    void closed(session<resp>&, error_code why) const { client->closed(why); }
};

// -- what is sent

void redis_subscriber::state::opened(session<resp>& p) {
    if (is_open) closed(link->why());
    is_open = true;
    p.protocol().take_pushes();
    pings = link->counters().heartbeats;
    last_received = now();
    for_each_topic([this](const auto& t) { ask(t, false, true); });
    push_unsent(&p);
}

void redis_subscriber::state::closed(error_code why) {
    is_open = false;
    retry.clear();
    unsent.clear();
    in_flight.clear();
    opening = 0;
    const bool was_tracking = tracking && tracking->is_subscribed;
    for_each_topic([&](const auto& t) {
        t->is_asked = false;
        if (!std::exchange(t->is_subscribed, false) || t == tracking) return;
        if (!t->lost) t->lost = loss{why, last_received};
        has_loss = true;
    });
    if (was_tracking) drop_all();  // mutant: redis_drop
}

// Of a server that ended before its loop closed the connection as well.
void redis_subscriber::state::link_ended() noexcept {
    link = nullptr;
    is_open = false;
    retry.clear();
}

void redis_subscriber::state::ask(const std::shared_ptr<topic>& t, bool ends, bool opens) {
    unsent.push_back({t, ends, opens});
    t->is_asked = true;
    if (opens) ++opening;
}

// What does not fit into the outbox is sent as replies come, which are then due.
void redis_subscriber::state::push_unsent(session<resp>* peer) {
    while (!is_over && peer != nullptr && !unsent.empty()) {
        note_pings();
        const resp_value bytes = bytes_of(unsent.front());
        in_flight.push_back(unsent.front());
        error_code refused = errc::outbox_full;
        try {
            refused = peer->push(bytes);
        } catch (...) {
            in_flight.pop_back();
            throw;
        }
        if (refused) return in_flight.pop_back();
        unsent.pop_front();
    }
}

// Without memory the connection ends, and the next one begins with all subscriptions.
void redis_subscriber::state::flush() {
    try {
        push_unsent();
    } catch (const std::bad_alloc&) { link->reconnect(); }
}

void redis_subscriber::state::ask_again() {
    try {
        for_each_topic([this](const auto& t) {
            if (!t->is_asked) ask(t);
        });
    } catch (const std::bad_alloc&) { return link->reconnect(); }
    flush();
}

// The link sends heartbeats by itself. Before each further command and each reply, those that it
// has sent since are put in their place.
void redis_subscriber::state::note_pings() {
    for (const std::uint64_t sent = link->counters().heartbeats; pings != sent; ++pings)
        in_flight.push_back({});
}

resp_value redis_subscriber::state::bytes_of(const command& c) {
    const topic& t = *c.of;
    if (t.kind != redis_kind::tracking) {
        const redis_words& words = words_of(t.kind);
        return resp_command(c.ends ? words.unsubscribe : words.subscribe, t.name);
    }
    if (c.ends) return resp_command("CLIENT", "TRACKING", "OFF");
    std::vector<std::string_view> words{"CLIENT", "TRACKING", "ON", "BCAST"};
    for (const auto& prefix : t.prefixes) {
        words.emplace_back("PREFIX");
        words.emplace_back(prefix);
    }
    return redis_words_to_command(words);
}

// -- the user's calls

redis_subscriber::redis_subscriber(server& srv, pool_addresses where,
                                   redis_subscriber_options options) {
    options.login.version = 3;
    state_ = std::make_shared<state>(srv, std::move(options));
    const redis_subscriber_options& o = state_->options;
    const std::size_t message = redis_framed(o.message);
    const std::shared_ptr<void> end(state_.get(), [s = state_](void*) { s->link_ended(); });
    state_->link = &srv.add(tcp_link_action<resp>(std::move(where), o.name)
                                .protocol(resp(o.login, message))
                                .logic(logic{state_, end})
                                .limits({.message = message, .outbox = redis_framed(o.outbox)})
                                .timeouts(o.timeouts)
                                .backoff(o.backoff)
                                .heartbeat(resp_command("PING"), o.heartbeat));
}

// The end of a handler may end the subscription of another: unsubscribe() finds none any more.
redis_subscriber::~redis_subscriber() {
    state& s = *state_;
    s.is_over = true;
    const auto reports =
        std::pair(std::exchange(s.gap_report, nullptr), std::exchange(s.error_report, nullptr));
    const auto invalidate = std::exchange(s.invalidate, nullptr);
    const auto subscriptions = std::exchange(s.subscriptions, {});
    const auto topics = std::exchange(s.topics, {});
    if (session<resp>* const peer = s.current()) {
        error_code refused;
        try {
            for (const auto& words : redis_words_of) {
                if (!refused) refused = peer->push(resp_command(words.unsubscribe));
            }
            if (!refused) refused = peer->push(resp_command("CLIENT", "TRACKING", "OFF"));
        } catch (const std::bad_alloc&) { refused = errc::outbox_full; }
        if (refused) s.link->reconnect();
    }
    // Here, though commands and a handler that runs share the topic.
    for (const auto& [number, t] : subscriptions) t->handlers.clear();
}

// Whatever fails leaves nothing behind.
std::uint64_t redis_subscriber::state::add(redis_kind kind, std::string name, handler handle) {
    if (name.size() > name_limit)
        throw std::invalid_argument(
            fmt::format("redis_subscriber: a name of {} bytes", name.size()));
    const std::uint64_t number = ++last_subscription;
    if (is_over) return number;
    topic_map& map = topics_of(kind);
    const auto known = map.find(name);
    const bool is_new = known == map.end();
    const auto to = is_new ? std::make_shared<topic>() : known->second;
    if (is_new) {
        to->kind = kind;
        to->name = std::move(name);
    }
    to->handlers.add(number, std::move(handle));
    try {
        subscriptions.emplace(number, to);
        if (is_new) map.emplace(to->name, to);
        if (is_new && is_open) ask(to);  // opened() asks for the others
    } catch (...) {                      // no memory
        subscriptions.erase(number);
        to->handlers.remove(number);
        if (is_new) map.erase(to->name);
        throw;
    }
    flush();
    return number;
}

void redis_subscriber::state::end_if_unused(const std::shared_ptr<topic>& t) {
    if (!t->handlers.is_empty()) return;
    topics_of(t->kind).erase(t->name);
    if (!t->is_asked) return;
    try {
        ask(t, true);
    } catch (const std::bad_alloc&) { return; }  // the messages that still come have no handler
    flush();
}

std::uint64_t redis_subscriber::subscribe(std::string channel, handler handle) {
    return state_->add(redis_kind::channel, std::move(channel), std::move(handle));
}
std::uint64_t redis_subscriber::psubscribe(std::string pattern, handler handle) {
    return state_->add(redis_kind::pattern, std::move(pattern), std::move(handle));
}
std::uint64_t redis_subscriber::ssubscribe(std::string channel, handler handle) {
    return state_->add(redis_kind::shard, std::move(channel), std::move(handle));
}

void redis_subscriber::unsubscribe(std::uint64_t subscription) {
    state& s = *state_;
    const auto found = s.subscriptions.find(subscription);
    if (found == s.subscriptions.end()) return;
    const std::shared_ptr<state::topic> from = found->second;
    s.subscriptions.erase(found);
    // The end of the handler may end other subscriptions, and the subscriber: it comes last.
    const auto handle = from->handlers.remove(subscription);
    s.end_if_unused(from);
}

void redis_subscriber::invalidations(std::function<void(std::optional<std::string_view>)> handle,
                                     std::vector<std::string> prefixes) {
    state& s = *state_;
    std::size_t size = 0;
    for (const auto& prefix : prefixes) size += prefix.size() + redis_prefix_framing;
    if (size > name_limit)
        throw std::invalid_argument(fmt::format("redis_subscriber: prefixes of {} bytes", size));
    if (s.is_over) return;
    std::shared_ptr<state::invalidation_handler> function;
    std::shared_ptr<state::topic> next;
    if (handle) {
        function = std::make_shared<state::invalidation_handler>(std::move(handle));
        next = std::make_shared<state::topic>();
        next->kind = redis_kind::tracking;
        next->prefixes = std::move(prefixes);
    }
    s.invalidate.swap(function);  // the end of the one before comes last
    s.tracking.swap(next);
    if (!s.is_open) return;
    try {
        if (next && next->is_asked) s.ask(next, true);
        if (s.tracking) s.ask(s.tracking);
        s.push_unsent();
    } catch (const std::bad_alloc&) { s.link->reconnect(); }
}

bool redis_subscriber::is_subscribed(std::uint64_t subscription) const noexcept {
    const auto found = state_->subscriptions.find(subscription);
    return found != state_->subscriptions.end() && found->second->is_subscribed &&
           state_->current() != nullptr;
}
bool redis_subscriber::is_settled() const noexcept {
    return state_->link != nullptr && state_->link->is_connected() && state_->unsent.empty() &&
           state_->in_flight.empty();
}
bool redis_subscriber::is_tracking() const noexcept {
    return state_->tracking && state_->tracking->is_subscribed && state_->current() != nullptr;
}

void redis_subscriber::on_gap(std::function<void(const redis_gap&)> report) {
    using function = std::function<void(const redis_gap&)>;
    state_->gap_report = report ? std::make_shared<function>(std::move(report)) : nullptr;
}

void redis_subscriber::on_error(std::function<void(std::string_view)> report) {
    using function = std::function<void(std::string_view)>;
    state_->error_report = report ? std::make_shared<function>(std::move(report)) : nullptr;
}

link_base& redis_subscriber::link() const noexcept {
    assert(state_->link != nullptr);
    return *state_->link;
}
redis_subscriber_counters redis_subscriber::counters() const noexcept { return state_->counters; }

}  // namespace ice
