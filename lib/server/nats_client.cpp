// Subscriptions, requests and the end of a server that leaves, on one link.
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <chrono>
#include <ice/detail/deadline.hpp>
#include <ice/event.hpp>
#include <ice/nats_client.hpp>
#include <map>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace ice {
namespace {

constexpr std::uint64_t nats_inbox_sid = 1;  // those of users follow

// Beside headers and payload: the line of a message, and its line end.
constexpr std::size_t nats_framing = nats::line_limit + 2;
constexpr std::size_t nats_framed(std::size_t payload) noexcept {
    return payload > unlimited - nats_framing ? unlimited : payload + nats_framing;
}

// One caller of request(), in its frame.
struct nats_request {
    explicit nats_request(const asio::any_io_executor& executor) : ended(executor) {}

    void end(error_code with) {
        why = with;
        ended.set();
    }

    event ended;
    std::optional<nats_message> reply;
    error_code why;
};

}  // namespace

struct nats_client::state {
    struct subscription {
        std::string pattern, queue;
        handler_function handle;
    };

    state(server& s, nats_client_options o)
        : net(s.within(no_timeout)), log(s.log()), options(std::move(o)),
          inbox(fmt::format("_INBOX.{:016x}", net.net().random())) {}

    nats_command subscribes(std::uint64_t sid, const subscription& s) const {
        return nats_sub(s.pattern, sid, s.queue);
    }
    void link_ended() {
        link = nullptr;
        end_requests(errc::stopped);
    }
    // Null without a connection.
    session<nats>* current() const noexcept { return link != nullptr ? link->current() : nullptr; }
    // If it does not fit into the outbox, or opened() still subscribes, the next message without a
    // handler tells the server.
    void unsubscribe(std::uint64_t sid) {
        session<nats>* const peer = current();
        if (peer != nullptr && !peer->push(nats_unsub(sid))) last_unsubscribed = sid;
    }
    void deliver(const nats_view& m, session<nats>& peer);
    void reply_came(const nats_view& m);
    void error_came(const nats_view& m);
    void info_came(session<nats>& peer);
    void leave(session<nats>& peer);
    void leave_if_done();
    void end_requests(error_code why) {
        for (auto& [token, request] : std::exchange(requests, {})) request->end(why);
    }

    time_limit net;  // its transport
    ice::log& log;   // of the server, which outlives the link's logic
    nats_client_options options;
    std::string inbox;
    ice::link<nats>* link = nullptr;  // null again when the server has ended
    std::map<std::uint64_t, std::shared_ptr<subscription>> subscriptions;
    std::unordered_map<std::uint64_t, nats_request*> requests;
    std::uint64_t last_sid = nats_inbox_sid;
    std::uint64_t last_token = 0;
    std::uint64_t last_unsubscribed = 0;
    std::function<void(std::string_view)> report;
    nats_counters counters;
    bool is_leaving = false;  // the server is in lame duck mode
    bool has_all = false;     // and has sent all of the subscriptions
    bool is_over = false;     // the client was destroyed
};

// -- what the server sends

struct nats_client::logic {
    std::shared_ptr<state> client;
    std::shared_ptr<void> end;  // of the link, which owns this: see link_ended()

    task<> opened(session<nats>& peer) const {
        state& s = *client;
        s.is_leaving = s.has_all = false;
        peer.protocol().take_infos();
        peer.protocol().take_pongs();
        s.info_came(peer);
        nats_command next = nats_sub(s.inbox + ".*", nats_inbox_sid);
        // By number: while one is sent, others may come or go.
        for (std::uint64_t sid = nats_inbox_sid;;) {
            if (peer.push(next)) {  // the outbox is full
                auto sent = peer.send(std::move(next));
                if (co_await std::move(sent)) co_return;
            }
            const auto found = s.subscriptions.upper_bound(sid);
            if (found == s.subscriptions.end()) co_return;
            sid = found->first;
            next = s.subscribes(sid, *found->second);
        }
    }

    void operator()(nats_view m, session<nats>& peer) const {
        state& s = *client;
        switch (m.type()) {
            case nats_type::message: s.deliver(m, peer); break;
            case nats_type::error: s.error_came(m); break;
            case nats_type::info: s.info_came(peer); break;
            case nats_type::pong:
                if (s.is_leaving && peer.protocol().pings() == 0) s.has_all = true;
                s.leave_if_done();
        }
    }

    void closed(session<nats>&, error_code why) const {
        client->counters.lost += client->requests.size();
        client->end_requests(why);
    }
};

void nats_client::state::deliver(const nats_view& m, session<nats>& to) {
    if (m.sid() == nats_inbox_sid) return reply_came(m);
    const auto found = subscriptions.find(m.sid());
    if (found == subscriptions.end()) {  // it has just ended, or unsubscribe() could not tell
        if (last_unsubscribed != m.sid() && !to.push(nats_unsub(m.sid())))
            last_unsubscribed = m.sid();
        return;
    }
    const auto kept = found->second;  // the handler may end its own subscription
    const auto answer = kept->handle(m);
    if (!answer) return;
    if (const error_code refused = to.push(*answer)) {
        ++counters.unsent_replies;
        log.write(net.net().now(), log_level::error, "reply not sent",
                  fmt::format("link '{}': a reply to '{}' cannot be sent: {}", options.name,
                              m.subject(), refused.message()));
    }
}

void nats_client::state::reply_came(const nats_view& m) {
    std::uint64_t token = 0;
    const auto digits = m.subject().substr(std::min(inbox.size() + 1, m.subject().size()));
    const char* const end = digits.data() + digits.size();
    const auto [read, wrong] = std::from_chars(digits.data(), end, token);
    const auto found = wrong == std::errc() && read == end ? requests.find(token) : requests.end();
    if (found == requests.end()) {
        ++counters.late;
        return;
    }
    nats_request& request = *found->second;
    if (m.has_no_responders()) {
        ++counters.no_responders;
        request.end(errc::no_responders);
    } else {
        request.reply.emplace(m);
        ++counters.replies;
        request.end({});
    }
    requests.erase(found);
    leave_if_done();
}

void nats_client::state::error_came(const nats_view& m) {
    ++counters.errors;
    if (report) return report(m.text());
    log.write(net.net().now(), log_level::error, "error of NATS",
              fmt::format("link '{}': {}", options.name, m.text()));
}

void nats_client::state::info_came(session<nats>& from) {
    const nats_info& info = from.protocol().server();
    std::vector<address> servers;
    for (const std::string& url : info.connect_urls) {
        try {
            servers.emplace_back(url);
        } catch (const std::invalid_argument&) {  // of a server that has no port, such as a socket
        }
    }
    if (!info.connect_urls.empty()) link->learn_addresses(servers);
    if (info.lame_duck && !is_leaving && link->addresses().size() > 1) leave(from);
}

// The PONG behind UNSUB comes after all that the server has sent to the subscriptions. Replies of
// requests may still come: the server closes its connections seconds later.
void nats_client::state::leave(session<nats>& from) {
    is_leaving = true;
    error_code refused;
    for (const auto& [sid, one] : subscriptions) {
        if (!refused) refused = from.push(nats_unsub(sid));
    }
    if (!refused) refused = from.push(nats_ping());
    if (refused) has_all = true;  // it does not read: nothing is gained by waiting
    leave_if_done();
}

void nats_client::state::leave_if_done() {
    if (link != nullptr && is_leaving && has_all && requests.empty()) link->reconnect();
}

// -- the user's calls

nats_client::nats_client(server& srv, pool_addresses where, nats_client_options options)
    : state_(std::make_shared<state>(srv, std::move(options))) {
    const nats_client_options& o = state_->options;
    const std::shared_ptr<void> end(state_.get(), [s = state_](void*) { s->link_ended(); });
    state_->link = &srv.add(tcp_link_action<nats>(std::move(where), o.name)
                                .protocol(nats(o.login, o.payload))
                                .logic(logic{state_, end})
                                .limits({.message = nats_framed(o.payload),
                                         .outbox = nats_framed(std::max(o.outbox, o.payload)),
                                         .queue = o.queue})
                                .timeouts(o.timeouts)
                                .backoff(o.backoff)
                                .heartbeat(nats_ping(), o.heartbeat));
}

nats_client::~nats_client() {
    state_->is_over = true;
    const auto report = std::exchange(state_->report, nullptr);
    const auto subscriptions = std::exchange(state_->subscriptions, {});
    try {
        for (const auto& [sid, one] : subscriptions) state_->unsubscribe(sid);
    } catch (const std::bad_alloc&) {  // the messages that still come have no handler
    }
    state_->end_requests(errc::stopped);
}

error_code nats_client::push(const nats_command& command) {
    return state_->link != nullptr ? state_->link->push(command) : errc::stopped;
}

std::uint64_t nats_client::add(std::string pattern, std::string queue, handler_function handle) {
    if (!nats_sub(pattern, state_->last_sid + 1, queue).is_encodable())
        throw std::invalid_argument(fmt::format(
            "nats_client: no subscription can have '{}' and queue '{}'", pattern, queue));
    const std::uint64_t sid = ++state_->last_sid;
    const auto made = std::make_shared<state::subscription>();
    *made = {std::move(pattern), std::move(queue), std::move(handle)};
    state_->subscriptions.emplace(sid, made);
    // Without a connection, or before opened() has returned, opened() subscribes.
    session<nats>* const peer = state_->current();
    if (peer == nullptr || state_->is_leaving) return sid;
    if (peer->push(state_->subscribes(sid, *made))) state_->link->reconnect();
    return sid;
}

void nats_client::unsubscribe(std::uint64_t sid) {
    // The end of the handler may end other subscriptions: it comes last.
    const auto ended = state_->subscriptions.extract(sid);
    if (!ended.empty()) state_->unsubscribe(sid);
}

task<result<nats_message>> nats_client::request(std::string_view subject, std::string_view payload,
                                                duration timeout) {
    return request(state_, std::string(subject), std::string(payload), timeout);
}

task<result<nats_message>> nats_client::request(std::shared_ptr<state> s, std::string subject,
                                                std::string payload, duration timeout) {
    struct waiting {
        waiting(state& c, time_limit& net)
            : client(c), request(net.net().executor()),
              timer(
                  net.net().deadlines(),
                  [](void* self) {
                      auto& me = *static_cast<waiting*>(self);
                      if (me.client.requests.erase(me.token) == 0) return;
                      ++me.client.counters.timeouts;
                      me.request.end(errc::request_timeout);
                      me.client.leave_if_done();
                  },
                  this) {}
        ~waiting() {
            if (client.requests.erase(token) != 0) client.leave_if_done();  // it was cancelled
        }

        state& client;
        std::uint64_t token = 0;
        nats_request request;
        deadline timer;
    };

    session<nats>* const peer = s->current();
    error_code refused;
    if (s->is_over || s->link == nullptr) refused = errc::stopped;
    else if (peer == nullptr) refused = errc::not_connected;
    else if (s->requests.size() >= s->options.requests) refused = errc::outbox_full;
    waiting mine(*s, s->net);
    if (!refused) {
        mine.token = ++s->last_token;
        const auto inbox = fmt::format("{}.{}", s->inbox, mine.token);
        refused = peer->push(nats_pub(subject, payload, inbox));
    }
    if (refused) {
        ++s->counters.refused;
        co_return refused;
    }
    ++s->counters.requests;
    mine.timer.set(after(s->net.net().now(), timeout));
    s->requests.emplace(mine.token, &mine.request);
    const error_code cancelled = co_await mine.request.ended.wait();
    if (mine.request.reply) co_return *std::move(mine.request.reply);
    if (mine.request.why) co_return mine.request.why;
    co_return cancelled;
}

void nats_client::on_error(std::function<void(std::string_view)> report) {
    state_->report = std::move(report);
}

link<nats>& nats_client::link() const noexcept {
    assert(state_->link != nullptr);
    return *state_->link;
}
std::size_t nats_client::in_flight() const noexcept { return state_->requests.size(); }
nats_counters nats_client::counters() const noexcept { return state_->counters; }

}  // namespace ice
