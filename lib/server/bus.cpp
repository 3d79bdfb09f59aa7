// Local delivery, and the numbers by which subscribers count what they have lost.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <ice/bus.hpp>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "handler_list.hpp"
#include "recent_map.hpp"

namespace ice {
namespace {

constexpr std::string_view bus_header = "Ice-Bus";

// Of the headers of a message: "NATS/1.0", the name, an id and two numbers of 20 digits.
constexpr std::size_t bus_header_size = 128;

// No process loses so many messages: a larger gap is a forged number, after which each true one
// would be late.
constexpr std::uint64_t bus_largest_gap = std::uint64_t{1} << 20;

// Where a message stands among those of its process on its topic. A process that has forgotten how
// many it has published begins another stream, at 1.
struct bus_position {
    std::uint64_t stream = 0;
    std::uint64_t number = 0;
};

struct bus_origin {
    std::uint64_t id = 0;
    bus_position at{};
};

// The value of the header: "0123456789abcdef 0 1".
std::optional<bus_origin> bus_origin_of(std::string_view value) {
    bus_origin found;
    const char* at = value.data();
    const char* const end = at + value.size();
    const auto take = [&](std::uint64_t& n, int base, char behind) {
        const auto [read, wrong] = std::from_chars(at, end, n, base);
        if (wrong != std::errc() || (behind == 0) != (read == end)) return false;
        at = read;
        return behind == 0 || *at++ == behind;
    };
    const bool is_good =
        take(found.id, 16, ' ') && take(found.at.stream, 10, ' ') && take(found.at.number, 10, 0);
    return is_good && found.at.number != 0 ? std::optional(found) : std::nullopt;
}

}  // namespace

struct bus::state : std::enable_shared_from_this<state> {
    struct topic {
        std::string name;
        std::uint64_t number = 0;  // not used again when all have unsubscribed
        std::uint64_t sid = 0;     // of the client's subscription
        handler_list<std::string_view> handlers;
    };
    struct nested_message {
        std::shared_ptr<topic> to;
        std::string text;
    };

    state(server& srv, bus_options o)
        : server_(srv), options(std::move(o)), number(srv.transport().random()),
          id(fmt::format("{:016x}", number)), own(options.topics), others(options.publishers) {
        if (!is_nats_subject(subject("topic")))
            throw std::invalid_argument(
                fmt::format("bus: no subject begins with '{}'", options.prefix));
    }

    std::string subject(std::string_view name) const { return options.prefix + std::string(name); }
    bool is_good(std::string_view name) const {
        return is_nats_subject(name) && options.prefix.size() + name.size() <= subject_limit;
    }

    error_code publish(std::string_view name, std::string_view message);
    error_code push(std::string_view name, std::string_view message);
    bus_position next(std::string_view name);
    void received(const std::shared_ptr<topic>& to, const nats_view& m);
    bool note(const topic& to, const bus_origin& from);
    void lost(const topic& of, std::uint64_t count);
    void deliver(std::shared_ptr<topic> to, std::string_view message);
    void call(topic& to, std::string_view message);
    std::shared_ptr<topic> add(std::string name);
    void end_if_unused(topic&);
    template <class F, class... A>
    void guarded(const F& f, const topic& of, A... arguments) noexcept;
    void write(log_level level, std::string_view kind, const std::string& text) {
        server_.log().write(server_.now(), level, kind, text);
    }

    server& server_;
    bus_options options;
    std::uint64_t number;
    std::string id;
    std::unique_ptr<nats_client> nats;  // none if it is alone
    std::map<std::string, std::shared_ptr<topic>, std::less<>> topics;
    std::map<std::uint64_t, std::shared_ptr<topic>> subscriptions;
    recent_map<std::string, bus_position> own;
    std::uint64_t own_streams = 0;  // the stream of a topic that begins now
    recent_map<std::pair<std::uint64_t, std::uint64_t>, bus_position> others;  // topic, process
    std::shared_ptr<std::function<void(std::string_view, std::uint64_t)>> report;
    std::deque<nested_message> nested;
    std::size_t nested_count = 0;  // since the delivery began
    std::uint64_t last_topic = 0, last_subscription = 0;
    bus_counters counters;
    bool is_delivering = false;
    bool is_over = false;  // the bus was destroyed
};

// -- what is published

error_code bus::state::publish(std::string_view name, std::string_view message) {
    if (!is_good(name)) return errc::unencodable;
    if (message.size() > options.message) return errc::message_too_large;
    const auto found = topics.find(name);
    const bool is_nested = is_delivering && found != topics.end();
    if (is_nested && nested_count == options.nested) return errc::outbox_full;
    if (is_nested) {
        nested.push_back({found->second, std::string(message)});
        ++nested_count;
    }
    ++counters.published;
    // Before the handlers, which may publish: other processes get the messages in the same order.
    const error_code refused = nats ? push(name, message) : error_code();
    if (refused) ++counters.refused;
    if (found != topics.end() && !is_nested) deliver(found->second, message);
    return refused;
}

error_code bus::state::push(std::string_view name, std::string_view message) {
    const bus_position at = next(name);
    const std::string value = fmt::format("{} {} {}", id, at.stream, at.number);
    return nats->push(nats_hpub(subject(name), {{bus_header, value}}, message));
}

// Counts also what the link refuses: the subscribers of other processes have lost it.
bus_position bus::state::next(std::string_view name) {
    if (bus_position* const known = own.find(name)) {
        ++known->number;
        return *known;
    }
    const bus_position first{own_streams, 1};
    if (own.add(std::string(name), first)) ++own_streams;
    return first;
}

// -- what other processes have published

void bus::state::received(const std::shared_ptr<topic>& to, const nats_view& m) {
    const auto self = shared_from_this();
    const auto value = m.header(bus_header);
    const auto from = value ? bus_origin_of(*value) : std::nullopt;
    if (from && from->id == number) return;  // of a server that does not know "echo"
    if (!from) ++counters.unnumbered;
    else if (!note(*to, *from)) return;
    ++counters.received;
    deliver(to, m.payload());
}

// Returns whether the message is delivered.
bool bus::state::note(const topic& to, const bus_origin& from) {
    bus_position* const known = others.find(std::pair(to.number, from.id));
    if (known == nullptr) {
        if (others.add({to.number, from.id}, from.at)) ++counters.forgotten;
        return true;
    }
    const auto order = [](const bus_position& p) { return std::tie(p.stream, p.number); };
    if (order(from.at) <= order(*known)) {
        ++counters.late;
        return false;
    }
    const bool is_same = from.at.stream == known->stream;
    const std::uint64_t missing = from.at.number - 1 - (is_same ? known->number : 0);
    if (missing >= bus_largest_gap || from.at.stream - known->stream >= bus_largest_gap) {
        ++counters.unnumbered;
        return true;
    }
    *known = from.at;
    if (missing != 0) lost(to, missing);
    return true;
}

void bus::state::lost(const topic& of, std::uint64_t count) {
    counters.lost += count;
    ++counters.gaps;
    if (const auto tell = report) return guarded(*tell, of, std::string_view(of.name), count);
    write(log_level::warning, "bus has lost messages",
          fmt::format("bus: {} messages of '{}' were lost, {} of all topics", count, of.name,
                      counters.lost));
}

// -- subscribers of this process

// In a handler, publish() only adds to `nested`: each subscriber gets the messages in the order in
// which they were published, and handlers that publish need no further stack.
void bus::state::deliver(std::shared_ptr<topic> to, std::string_view message) {
    struct delivery {
        explicit delivery(state& s) : self(s.shared_from_this()) { self->is_delivering = true; }
        ~delivery() {
            self->is_delivering = false;
            self->nested.clear();
            self->nested_count = 0;
        }
        std::shared_ptr<state> self;
    };
    const delivery current(*this);
    call(*to, message);
    while (!nested.empty()) {
        const nested_message next = std::move(nested.front());
        nested.pop_front();
        call(*next.to, next.text);
    }
}

void bus::state::call(topic& to, std::string_view message) {
    to.handlers.for_each([&](const auto& handle) {
        if (!is_over) guarded(handle, to, message);
    });
}

template <class F, class... A>
void bus::state::guarded(const F& f, const topic& of, A... arguments) noexcept {
    try {
        f(arguments...);
    } catch (...) {
        ++counters.handler_threw;
        try {
            write(log_level::error, "handler of a bus threw",
                  fmt::format("bus: a handler of '{}' threw: {}", of.name,
                              detail::what_of(std::current_exception())));
        } catch (...) {  // no memory for a line
        }
    }
}

// -- the user's calls

bus::bus(server& srv, bus_options options) : bus(srv, std::vector<address>(), std::move(options)) {}

bus::bus(server& srv, pool_addresses where, bus_options options)
    : state_(std::make_shared<state>(srv, std::move(options))) {
    if (where.all.empty()) return;
    nats_client_options o = state_->options.nats;
    // What other clients of NATS publish may be larger, and must not end the connection.
    const std::size_t most = std::min(state_->options.message, unlimited - bus_header_size);
    o.payload = std::max(o.payload, most + bus_header_size);
    o.login.echo = false;  // publish() has called the subscribers of this process
    state_->nats = std::make_unique<nats_client>(srv, std::move(where), std::move(o));
}

// The end of a handler may end the subscription of another: unsubscribe() finds none any more.
bus::~bus() {
    state_->is_over = true;
    const auto report = std::exchange(state_->report, nullptr);
    const auto topics = std::exchange(state_->topics, {});
    const auto subscriptions = std::exchange(state_->subscriptions, {});
    state_->nats.reset();
}

error_code bus::publish(std::string_view topic, std::string_view message) {
    const auto s = state_;  // a handler may destroy the bus
    return s->publish(topic, message);
}

std::uint64_t bus::subscribe(std::string name, std::function<void(std::string_view)> handle) {
    state& s = *state_;
    if (!s.is_good(name))
        throw std::invalid_argument(fmt::format("bus: '{}' is no topic", escaped(name)));
    const auto known = s.topics.find(name);
    const auto to = known != s.topics.end() ? known->second : s.add(std::move(name));
    const std::uint64_t subscription = ++s.last_subscription;
    try {
        to->handlers.add(subscription, std::move(handle));
        s.subscriptions.emplace(subscription, to);
    } catch (...) {  // no memory
        to->handlers.remove(subscription);
        s.end_if_unused(*to);
        throw;
    }
    return subscription;
}

// Its NATS subscription comes last: only it has an effect outside.
std::shared_ptr<bus::state::topic> bus::state::add(std::string name) {
    auto to = std::make_shared<topic>();
    to->name = std::move(name);
    to->number = ++last_topic;
    const auto added = topics.emplace(to->name, to).first;
    try {
        if (nats)
            to->sid = nats->subscribe(subject(to->name),
                                      [this, at = std::weak_ptr(to)](const nats_view& m) {
                                          if (const auto t = at.lock()) received(t, m);
                                      });
    } catch (...) {
        topics.erase(added);
        throw;
    }
    return to;
}

void bus::unsubscribe(std::uint64_t subscription) {
    state& s = *state_;
    const auto found = s.subscriptions.find(subscription);
    if (found == s.subscriptions.end()) return;
    const std::shared_ptr<state::topic> from = found->second;
    s.subscriptions.erase(found);
    // The end of the handler may end other subscriptions: it comes last.
    const auto handle = from->handlers.remove(subscription);
    s.end_if_unused(*from);
}

void bus::state::end_if_unused(topic& t) {
    if (!t.handlers.is_empty()) return;
    const auto sid = t.sid;
    others.erase({t.number, 0}, {t.number, std::numeric_limits<std::uint64_t>::max()});
    topics.erase(t.name);
    if (nats) nats->unsubscribe(sid);
}

void bus::on_gap(std::function<void(std::string_view, std::uint64_t)> report) {
    using function = std::function<void(std::string_view, std::uint64_t)>;
    state_->report = report ? std::make_shared<function>(std::move(report)) : nullptr;
}

std::string_view bus::id() const noexcept { return state_->id; }
bool bus::is_connected() const noexcept {
    return state_->nats != nullptr && state_->nats->link().is_connected();
}
nats_client* bus::client() const noexcept { return state_->nats.get(); }
bus_counters bus::counters() const noexcept { return state_->counters; }

}  // namespace ice
