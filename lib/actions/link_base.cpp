// Connecting, and how the connections of a link end.
#include <fmt/format.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <ice/detail/link_base.hpp>
#include <new>
#include <stdexcept>

#include "session_completion.hpp"

namespace ice {
namespace {

// A connection that lasted so long has worked, so the pauses begin anew. One that the peer closes
// at once, as it refuses the client, must not be repeated at the shortest pause.
constexpr duration proven = std::chrono::seconds(1);

constexpr duration one_year = std::chrono::hours(24 * 365);

// The shortest interval of heartbeats, so that a setting of 0 does not spin.
constexpr duration least_heartbeat = std::chrono::milliseconds(1);

link_options checked(link_options o) {
    if (o.addresses.empty())
        throw std::invalid_argument(fmt::format("link '{}': no address", o.name));
    o.heartbeat = std::max(o.heartbeat, least_heartbeat);
    return o;
}

error_code out_of_memory() noexcept { return std::make_error_code(std::errc::not_enough_memory); }

}  // namespace

std::string_view to_string(link_state s) noexcept {
    switch (s) {
        case link_state::waiting: return "waits for its next attempt";
        case link_state::connecting: return "connecting";
        case link_state::connected: return "connected";
        case link_state::closing: return "closing";
        case link_state::ended: return "ended";
    }
    return "unknown";
}

link_base::link_base(std::shared_ptr<server_context> context, link_options o)
    : context_(std::move(context)),
      net_(context_->transport_for(fmt::format("link '{}'", o.name), o.transport)),
      options_(checked(std::move(o))), backoff_(options_.backoff),
      attempts_(net_->executor(), [this] { one_ended(); }),
      timer_(
          net_->deadlines(), [](void* self) { static_cast<link_base*>(self)->tick(); }, this),
      drain_ends_(
          net_->deadlines(),
          [](void* self) {
              auto& me = *static_cast<link_base*>(self);
              me.is_late_ = true;  // mutant: link_is_late
              if (me.session_ != nullptr) me.session_->end_logic();
              me.one_ended();
          },
          this),
      changed_(net_->executor()), configured_(options_.addresses.size()) {
    settings_.link = this;
    settings_.limits.message = options_.limits.message;
    settings_.limits.outbox = options_.limits.outbox;
    settings_.limits.in_flight = options_.limits.in_flight;
    settings_.duplex_below = options_.limits.outbox;  // mutant: link_is_duplex
    settings_.timeouts.handshake = options_.timeouts.handshake;
    settings_.timeouts.message = options_.timeouts.message;
    settings_.timeouts.idle = no_timeout;
    settings_.timeouts.write = options_.timeouts.write;
    settings_.timeouts.logic = options_.timeouts.logic;
    settings_.spawned_threw = [](session_base& s, std::exception_ptr thrown) noexcept {
        of(s).threw(s, std::move(thrown));
        s.close();
    };
    settings_.hold_owner = [](session_base& s) -> std::shared_ptr<void> {
        return of(s).shared_from_this();
    };
    net_->budget().reserve(1);
}

link_base& link_base::of(session_base& s) noexcept {
    return *static_cast<const link_settings&>(s.settings()).link;
}

link_base::~link_base() { net_->budget().unreserve(1); }

template <class Text>
void link_base::write(log_level level, std::string_view kind, Text text) noexcept {
    try {
        context_->write(level, kind, fmt::format("link '{}': {}", name(), text()));
    } catch (...) {  // no memory for a line, or the log is what throws
    }
}

// -- connecting

// Many programs that have the same addresses begin at different ones.
void link_base::start() {
    at_ = net_->random() % options_.addresses.size();  // mutant: link_spreads
    timer_.set(net_->now());
}

void link_base::tick() noexcept {
    timer_.set(net_->now() + one_year);
    if (state_ == link_state::waiting) connect();
    else if (is_connected() && options_.heartbeat != no_timeout) beat();
}

void link_base::connect() noexcept {
    state_ = link_state::connecting;
    try {
        const auto self = shared_from_this();
        attempts_.spawn(connect_once(self), [self](std::exception_ptr thrown) {
            self->broke(std::move(thrown));
            self->attempt_failed(errc::handshake_failed);
        });
    } catch (const std::bad_alloc&) { attempt_failed(out_of_memory()); }
}

task<> link_base::connect_once(std::shared_ptr<link_base> me) {
    const time_point until = after(me->net_->now(), me->options_.timeouts.connect);
    auto made = co_await me->net_->connect(me->where(), until);
    if (me->ending_) co_return;
    if (made) me->begin(*std::move(made));
    else me->attempt_failed(made.error());
}

// Throws what make_session() throws, such as the copy of the protocol.
void link_base::begin(std::unique_ptr<channel> bytes) {
    auto signal = std::make_unique<asio::cancellation_signal>();
    registration known(shared_from_this(), make_session(std::move(bytes), context_->next_uid()));
    known.session().bytes().cancels(signal.get());
    try {
        asio::co_spawn(net_->executor(), run_session(std::move(known)),
                       throws_nothing_cancelled{{}, std::move(signal)});
    } catch (const std::bad_alloc&) {  // the destructor of its registration has ended the session
    }
}

task<> link_base::run_session(registration known) {
    try {
        known.why = co_await talk(known.session());
    } catch (...) { broke(std::current_exception()); }
}

task<error_code> link_base::talk(session_base& peer) {
    error_code why;
    bool opened = false;
    try {
        why = co_await open(peer, opened);
        if (!why) why = co_await serve_established(peer);
    } catch (...) { why = threw(peer, std::current_exception()); }
    if (is_connected() && !ending_) changed_.clear();
    state_ = link_state::closing;
    peer.no_logic_runs();
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    std::exception_ptr thrown;
    co_await close(peer, opened, why, thrown);
    if (thrown) why = threw(peer, std::move(thrown));
    co_await peer.finish(why);
    co_return why;
}

task<error_code> link_base::serve_established(session_base& peer) {
    if (ending_) co_return errc::draining;
    established();
    if (queued() != 0 && peer.is_established()) peer.start(send_queued(peer));
    co_return co_await serve_messages(peer);
}

task<> link_base::send_queued(session_base& peer) {
    while (queued() != 0 && !peer.bytes().cancelled() && !peer.failed()) {
        if (push_oldest(peer)) continue;
        auto room = peer.bytes().wait_for_room();
        if (co_await std::move(room)) co_return;
    }
}

void link_base::attempt_failed(error_code why) noexcept {
    if (ending_) return;
    ++counters_.connect_failures;
    why_ = why;
    if (!std::exchange(is_logged_, true))  // mutant: link_logs_once
        write(log_level::warning, "link is down",
              [&] { return fmt::format("{}: {}", where(), why.message()); });
    if (ending_) return one_ended();  // by what takes the log's lines
    try_again(++failed_in_a_row_ < options_.addresses.size());
}

void link_base::try_again(bool at_once) noexcept {
    state_ = link_state::waiting;
    at_ = (at_ + 1) % options_.addresses.size();  // mutant: link_next_address
    duration pause{};
    if (!at_once) {  // mutant: link_tries_all
        failed_in_a_row_ = 0;
        pause = backoff_.next(net_->random());  // mutant: link_pauses
    }
    timer_.set(after(net_->now(), pause));
}

void link_base::learn_addresses(const std::vector<address>& learnt) {
    const auto& old = options_.addresses;
    std::vector<address> all(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(configured_));
    const auto index = [&](const address& a) {
        return static_cast<std::size_t>(std::find(all.begin(), all.end(), a) - all.begin());
    };
    const auto add = [&](const address& a) {
        if (all.size() < addresses_limit && index(a) == all.size()) all.push_back(a);
    };
    if (state_ != link_state::waiting) add(where());  // mutant: learn_where
    for (const address& a : learnt) add(a);           // mutant: learn_all
    const std::size_t here = index(where());
    at_ = here == all.size() ? 0 : here;
    options_.addresses = std::move(all);
}

// -- connections

link_base::registration::registration(std::shared_ptr<link_base> l,
                                      std::unique_ptr<session_base> s) noexcept
    : why(errc::stopped), link_(std::move(l)), session_(std::move(s)) {
    link_->session_ = session_.get();
    link_->connected_since_ = never;  // mutant: link_attempt
}

link_base::registration::~registration() {
    if (!session_) return;
    link_->session_ = nullptr;  // mutant: link_forgets
    link_->counters_.unsent_bytes += session_->bytes().unsent();
    session_base::destroy(std::move(session_));
    link_->session_ended(why);
}

void link_base::established() {
    state_ = link_state::connected;
    why_ = {};
    ++counters_.connects;
    failed_in_a_row_ = 0;
    is_logged_ = false;
    const time_point now = net_->now();
    connected_since_ = now;
    consumed_ = session_->bytes().consumed();
    beats_ = false;
    timer_.set(after(now, std::min(options_.heartbeat, one_year)));
    changed_.set();
    write(log_level::info, "link is up", [&] { return fmt::format("connected to {}", where()); });
}

void link_base::session_ended(error_code why) noexcept {
    const bool was_connected = connected_since_ != never;
    if (ending_) {
        why_ = why;
        return one_ended();
    }
    if (!was_connected) return attempt_failed(why);
    why_ = why;
    const bool is_asked = std::exchange(reconnects_, false);  // mutant: reconnect_once
    const bool has_lasted = net_->now() - connected_since_ >= proven;
    if (is_asked) ++counters_.reconnects;
    else if (why == errc::closed) ++counters_.closed;
    else ++counters_.broken;
    write(is_asked ? log_level::info : log_level::warning, "connection lost", [&] {
        return fmt::format("the connection to {} has ended: {}", where(), why.message());
    });
    if (ending_) return one_ended();
    if (has_lasted) backoff_.reset();  // mutant: link_proven
    // No spin between two upstreams that both ask for it.
    try_again(is_asked && has_lasted && options_.addresses.size() > 1);  // mutant: link_replaces
}

void link_base::reconnect() {
    if (ending_ || established_session() == nullptr) return;
    reconnects_ = true;
    session_->close();
}

// What has arrived shows that the peer lives, read or unread: a logic may be busy.
void link_base::beat() noexcept {
    channel& bytes = session_->bytes();
    const time_point next = after(net_->now(), options_.heartbeat);
    const std::uint32_t consumed = bytes.consumed();
    const bool has_consumed = std::exchange(consumed_, consumed) != consumed;
    // Bytes that wait to be sent have a timeout of their own.
    if (has_consumed || bytes.unsent() != 0 || !bytes.has_no_input()) {  // mutant: link_hears
        beats_ = false;
    } else if (beats_) {
        ++counters_.heartbeats_lost;
        return bytes.cancel(errc::idle_timeout);  // mutant: link_is_silent
    } else {
        try {
            const error_code refused = push_heartbeat();
            beats_ = !refused;
            if (beats_) ++counters_.heartbeats;
            else
                write(log_level::error, "heartbeat cannot be sent", [&] {
                    return fmt::format("its heartbeat cannot be sent: {}", refused.message());
                });
        } catch (...) { threw(*session_, std::current_exception()); }
    }
    if (!ending_) timer_.set(std::min(next, net_->now() + one_year));
}

// -- messages

session_base* link_base::established_session() const noexcept {
    return is_connected() ? session_ : nullptr;  // mutant: link_is_established
}

error_code link_base::refuse() noexcept {
    if (settings_.stopped) return errc::stopped;
    if (ending_) return errc::draining;
    if (is_connected()) {  // the queue is still being sent
        ++settings_.outbox_full;
        return errc::outbox_full;
    }
    ++counters_.not_connected;
    return errc::not_connected;
}

bool link_base::can_enqueue() const noexcept {
    return !ending_ && queued() < options_.limits.queue;  // mutant: link_queue_bound
}

void link_base::drop_queued(error_code why) noexcept {
    ++counters_.queue_refused;
    write(log_level::error, "message cannot be sent",
          [&] { return fmt::format("a message of its queue cannot be sent: {}", why.message()); });
}

task<error_code> link_base::connected() {
    while (!is_connected()) {
        if (ending_) co_return settings_.stopped ? errc::stopped : errc::draining;
        const error_code cancelled = co_await changed_.wait();
        if (cancelled) co_return cancelled;
    }
    co_return error_code();
}

// -- the end

void link_base::drain() {
    if (ending_) return;
    ending_ = true;
    attempts_.cancel();
    timer_.clear();
    changed_.set();
    if (session_ == nullptr) return one_ended();
    session_->bytes().drain(errc::draining);
    drain_ends_.set(after(net_->now(), options_.timeouts.drain));
}

void link_base::stop() {
    if (std::exchange(settings_.stopped, true)) return;
    ending_ = true;
    attempts_.cancel();
    timer_.clear();
    drain_ends_.clear();
    changed_.set();
    // Before the session, which they use: see listener_base::stop().
    for (auto& [session, work] : settings_.spawned) work.group.cancel();
    if (session_ != nullptr) session_->end_logic();
    else one_ended();
}

bool link_base::is_over() const noexcept {
    return ending_ && (is_late_ || (session_ == nullptr && attempts_.size() == 0));
}

void link_base::one_ended() noexcept {
    if (!is_over()) return;
    if (session_ == nullptr) {
        state_ = link_state::ended;
        timer_.clear();
        drain_ends_.clear();
    }
    if (when_empty_) when_empty_();
}

// -- what it tells

// A logic that was cancelled has not failed.
error_code link_base::threw(session_base& peer, std::exception_ptr thrown) noexcept {
    const error_code cancelled = peer.bytes().cancelled();
    if (cancelled && is_aborted(thrown)) return cancelled;
    ++counters_.logic_threw;
    write(log_level::error, "logic threw",
          [&] { return "its logic threw: " + detail::what_of(std::move(thrown)); });
    return errc::stopped;
}

void link_base::broke(std::exception_ptr thrown) noexcept {
    write(log_level::error, "link threw", [&] { return detail::what_of(std::move(thrown)); });
}

link_counters link_base::counters() const noexcept {
    link_counters all = counters_;
    all.messages = settings_.messages;
    all.outbox_full = settings_.outbox_full;
    all.unencodable = settings_.unencodable;
    return all;
}

std::string link_base::report() const {
    const link_counters c = counters();
    return fmt::format(
        "link '{}': {} ({}){}; {} connects, {} attempts failed, {} messages; ended: {} closed, {} "
        "broken, {} of them without a heartbeat, {} to reconnect; {} logics threw, {} answers "
        "unencodable; pushes: "
        "{} refused as not connected, {} as the outbox was full; {} messages in the queue, {} were "
        "there; {} bytes lost unsent",
        name(), to_string(state_), where(), why_ ? ": " + why_.message() : "", c.connects,
        c.connect_failures, c.messages, c.closed, c.broken, c.heartbeats_lost, c.reconnects,
        c.logic_threw, c.unencodable, c.not_connected, c.outbox_full, queued(), c.queued,
        c.unsent_bytes);
}

}  // namespace ice
