// Accepting, and how conversations end.
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/this_coro.hpp>
#include <cerrno>
#include <ice/listener.hpp>

#include "session_completion.hpp"

namespace ice {
namespace {

constexpr auto back_off = std::chrono::milliseconds(100);  // ten failures a second: no load at all

constexpr std::size_t shown_bytes = 64;  // of what a peer sent, in a line of the log

}  // namespace

accept_disposition judge_accept(error_code ec) noexcept {
    switch (ec.value()) {
        case EAGAIN: return accept_disposition::wait;
        case EBADF:
        case EINVAL:
        case ENOTSOCK: return accept_disposition::give_up;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case ENOSPC: return accept_disposition::back_off;  // ENOSPC: of epoll's watches
        default: return accept_disposition::next;  // accept(2): aborted, or an error of the network
    }
}

listener_base::listener_base(std::shared_ptr<server_context> context, const address& where,
                             const limits& l, const timeouts& t, std::shared_ptr<transport> own)
    : settings_{l, t}, context_(std::move(context)),
      net_(context_->transport_for(fmt::format("listener {}", where), std::move(own))),
      acceptor_(net_->listen(where, l.socket_mode)), endpoint_(acceptor_->local()),
      descriptors_(net_->descriptors()), room_(net_->executor()),
      look_again_(
          net_->deadlines(), [](void* p) { static_cast<listener_base*>(p)->room_.set(); }, this),
      again_(net_->deadlines(), accept_again, this) {
    settings_.spawned_threw = [](session_base& s, std::exception_ptr thrown) noexcept {
        s.owner().threw(s, std::move(thrown));
        s.close();
    };
    settings_.listener = this;
    settings_.hold_owner = [](session_base& s) -> std::shared_ptr<void> {
        return s.owner().shared_from_this();
    };
    // Each end of a connection makes room for all listeners of the server, so they know each other.
    context_->listeners_.push_back(this);
}

listener_base::~listener_base() { std::erase(context_->listeners_, this); }

// 136 years fit.
std::uint32_t listener_base::whole_seconds(time_point t) noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch());
    return static_cast<std::uint32_t>(since.count());
}

std::size_t listener_base::allowed() const noexcept {
    return std::min(settings_.limits.connections, net_->budget().allowed(descriptors_));
}

void listener_base::start() {
    spawn(context_, accept_all(shared_from_this()), fmt::format("listener {}", endpoint_));
    context_->write(log_level::info, "listening",
                    fmt::format("listening on {}, at most {} connections", endpoint_, allowed()));
}

// An exception, as of waiting without memory, ends it; it begins again with the deadline.
task<> listener_base::accept_all(std::shared_ptr<listener_base> self) {
    try {
        co_await accept_until_end(*self);
    } catch (...) {
        self->accepting_threw();
        if (!self->ending_) self->again_.set(after(self->net_->now(), back_off));
    }
}

void listener_base::accept_again(void* self) {
    auto& me = *static_cast<listener_base*>(self);
    try {
        spawn(me.context_, accept_all(me.shared_from_this()),
              fmt::format("listener {}", me.endpoint_));
    } catch (...) { me.again_.set(after(me.net_->now(), back_off)); }
}

// Called where the exception is caught. It must not end accepting, whatever it is.
void listener_base::accepting_threw() noexcept {
    ++counters_.accept_errors;
    try {
        context_->write(log_level::error, "accepting threw",
                        fmt::format("listener {}: accepting threw: {}", endpoint_,
                                    detail::what_of(std::current_exception())));
    } catch (...) {  // no memory for the text, or the log is what throws
    }
}

task<> listener_base::accept_until_end(listener_base& me) {
    while (!me.ending_) {
        if (!me.has_room()) {
            co_await me.wait_for_room();
            continue;
        }
        const error_code closed = co_await me.acceptor_->ready();
        if (closed || me.ending_) break;
        // The backlog is not empty, so ready() would return at once and the loop would spin.
        if (!me.accept_some()) co_await me.net_->sleep(back_off);
    }
}

bool listener_base::has_room() const noexcept {
    return open_ < settings_.limits.connections && net_->budget().has_room(descriptors_);
}

task<> listener_base::wait_for_room() {
    ++counters_.paused;
    std::string others;
    if (open_ < settings_.limits.connections)
        others = fmt::format(", {} in the process, of {} that RLIMIT_NOFILE leaves to listeners",
                             net_->budget().open(), net_->budget().allowed(descriptors_));
    context_->write(log_level::warning, "paused",
                    fmt::format("listener {}: {} connections are open{}; no more are accepted",
                                endpoint_, open_, others));
    while (!ending_ && !has_room()) {
        room_.clear();
        if (open_ < settings_.limits.connections)  // the end of another server's is not told here
            look_again_.set(after(net_->now(), back_off));
        co_await room_.wait();
    }
    look_again_.clear();
}

bool listener_base::accept_some() {
    try {
        return accept_a_batch();
    } catch (...) {  // as the kernel's ENOMEM
        accepting_threw();
        return false;
    }
}

bool listener_base::accept_a_batch() {
    const std::size_t most = std::max<std::size_t>(settings_.limits.accepts, 1);
    for (std::size_t n = 0; n < most; ++n) {
        if (open_ >= settings_.limits.connections) break;  // mutant: connections_allowed
        descriptor_budget::share share(net_->budget(), descriptors_);
        if (!share) break;
        auto accepted = acceptor_->accept();
        if (accepted) {
            begin(*std::move(accepted), std::move(share));
            continue;
        }
        const accept_disposition verdict = judge_accept(accepted.error());
        if (verdict == accept_disposition::wait || verdict == accept_disposition::give_up)
            return true;
        ++counters_.accept_errors;
        context_->write(
            log_level::warning, "accept failed",
            fmt::format("listener {}: accept: {}", endpoint_, accepted.error().message()));
        if (verdict == accept_disposition::back_off) return false;
    }
    return true;
}

void listener_base::begin(std::unique_ptr<channel> bytes, descriptor_budget::share share) {
    ++counters_.accepted;
    peer_count* of_peer = nullptr;
    if (!admit(*bytes, of_peer)) return;
    counted_connection counted(shared_from_this(), of_peer);
    // From here on the destructor of `counted` gives the share back.
    share.keep();
    const uid id = context_->next_uid();
    try {
        registration known(make_session(std::move(bytes), id), std::move(counted));
        if (!can_be_cancelled()) {
            asio::co_spawn(net_->executor(), run_session<false>(std::move(known)),
                           throws_nothing());
            return;
        }
        throws_nothing_cancelled handler{{}, std::make_unique<asio::cancellation_signal>()};
        channel& c = known.session().bytes();
        c.cancels(handler.signal.get());
        if (logic_waits() && !settings_.limits.allow_half_open) c.end_with_peer();
        asio::co_spawn(net_->executor(), run_session<true>(std::move(known)), std::move(handler));
    } catch (...) { broke(id, std::current_exception()); }  // such as the copy of the protocol
}

bool listener_base::admit(const channel& bytes, peer_count*& of_peer) {
    const std::size_t limit = settings_.limits.connections_per_peer;
    if (limit == unlimited) return true;
    const ip_bytes from = peer_key(bytes.peer_ip(), settings_.limits.ipv6_prefix);
    if (from == ip_bytes{}) return true;
    peer_count& of = *open_from_.try_emplace(from).first;
    if (of.second < limit) {
        ++of.second;
        of_peer = &of;
        return true;
    }
    ++counters_.refused;
    context_->write(
        log_level::warning, "refused",
        fmt::format("listener {}: {} connections of {} are open, one more is refused", endpoint_,
                    of.second, peer_key(bytes.peer(), settings_.limits.ipv6_prefix)));
    // Only with a limit of 0: the search above has made the entry.
    if (of.second == 0) open_from_.erase(from);
    return false;
}

listener_base::counted_connection::counted_connection(std::shared_ptr<listener_base> l,
                                                      peer_count* of_peer) noexcept
    : listener_(std::move(l)), of_peer_(of_peer) {
    ++listener_->open_;
}

listener_base::counted_connection::~counted_connection() {
    if (!listener_) return;
    listener_base& l = *listener_;
    --l.open_;
    if (of_peer_ && --of_peer_->second == 0) l.open_from_.erase(of_peer_->first);
    l.net_->budget().release();
    // Any listener of the server may wait for this descriptor.
    for (listener_base* each : l.context_->listeners_) each->room_.set();
    if (l.open_ == 0 && l.ending_ && l.when_empty_) l.when_empty_();
}

listener_base::registration::registration(std::unique_ptr<session_base> s, counted_connection c)
    : counted_(std::move(c)), session_(std::move(s)) {
    listener_base& l = session_->owner();
    l.sessions_.push_back(
        {session_->uid().number(), session_.get(), whole_seconds(session_->now())});
    if (l.ending_) session_->bytes().drain(errc::draining);
}

listener_base::registration::~registration() {
    if (!session_) return;
    listener_base& l = session_->owner();
    auto& all = l.sessions_;
    // Marks the entry, and erases marked ones when they are half of all: an end costs O(1) on
    // average, and the order by uid stays.
    const auto place = l.place_of(session_->uid().number()) - all.cbegin();
    all[static_cast<std::size_t>(place)].session = nullptr;
    session_base::destroy(std::move(session_));
    if (++l.ended_sessions_ * 2 < all.size()) return;
    std::erase_if(all, [](const numbered_session& s) { return s.session == nullptr; });
    l.ended_sessions_ = 0;
}

std::vector<listener_base::numbered_session>::const_iterator listener_base::place_of(
    std::uint64_t number) const noexcept {
    return std::lower_bound(
        sessions_.begin(), sessions_.end(), number,
        [](const numbered_session& s, std::uint64_t n) { return s.number < n; });
}

session_base* listener_base::find_base(uid id) const noexcept {
    const auto found = place_of(id.number());
    if (found == sessions_.end() || found->number != id.number()) return nullptr;
    return is_established(found->session) ? found->session : nullptr;
}

// Each idle connection holds its frame: what lives shorter is in a coroutine of its own.
template <bool can_be_cancelled>
task<> listener_base::run_session(registration known) {
    try {
        error_code why;
        bool opened = false;
        try {
            why = co_await open(known.session(), opened);
            if (!why) why = co_await serve_messages(known.session());
        } catch (...) { why = threw(known.session(), std::current_exception()); }
        known.session().no_logic_runs();
        // Here, as a coroutine that was cancelled can await no other.
        if constexpr (can_be_cancelled)
            co_await asio::this_coro::reset_cancellation_state(
                asio::enable_terminal_cancellation());
        co_await end(known.session(), opened, why);
    } catch (...) { broke(known.session().uid(), std::current_exception()); }
}

task<> listener_base::end(session_base& peer, bool opened, error_code why) {
    std::exception_ptr thrown;
    co_await close(peer, opened, why, thrown);
    if (thrown) why = threw(peer, std::move(thrown));
    co_await finish(peer, why);
}

task<> listener_base::finish(session_base& peer, error_code why) {
    count(why);
    const bool usual = why == errc::closed || why == errc::stopped || why == errc::draining;
    if (!usual) {
        const bool theirs =
            !peer.is_unencodable() && (why == errc::bad_message || why == errc::message_too_large);
        const auto level =
            is_of_peer(why) || why == errc::idle_timeout ? log_level::debug : log_level::warning;
        if (context_->log.writes(level)) {  // its text is a third of what a short connection costs
            const auto shown = theirs ? ": " + escaped(peer.bytes().data(), shown_bytes) : "";
            context_->write(
                level, why.message(),
                fmt::format("session {} of {}: {}{}{}", peer.uid(), peer.peer(),
                            peer.is_unencodable() ? "its logic's answer cannot be sent: " : "",
                            why.message(), shown));
        }
    }
    co_await peer.finish(why);
}

// A logic that was cancelled has not failed.
error_code listener_base::threw(session_base& peer, std::exception_ptr thrown) noexcept {
    const error_code cancelled = peer.bytes().cancelled();
    if (cancelled && is_aborted(thrown)) return cancelled;
    ++counters_.logic_threw;
    try {
        context_->write(log_level::error, "logic threw",
                        fmt::format("session {} of {}: its logic threw: {}", peer.uid(),
                                    peer.peer(), detail::what_of(std::move(thrown))));
    } catch (...) {  // no memory for the text, or the log is what throws
    }
    return errc::stopped;
}

void listener_base::broke(uid id, std::exception_ptr thrown) noexcept {
    try {
        context_->write(log_level::error, "session threw",
                        fmt::format("session {}: {}", id, detail::what_of(std::move(thrown))));
    } catch (...) {  // as in threw()
    }
}

void listener_base::drain() {
    if (ending_) return;
    ending_ = true;
    // Peers that are connected already may have asked. Not more than a backlog of them: who goes on
    // connecting must not keep the drain, and with it the loop, from beginning.
    std::uint64_t before = ~counters_.accepted;  // mutant: backlog
    for (const std::uint64_t most = counters_.accepted + SOMAXCONN;
         before != counters_.accepted && counters_.accepted < most;) {
        before = counters_.accepted;
        accept_some();
    }
    acceptor_->cancel();
    again_.clear();
    room_.set();
    for (const auto& s : sessions_) {
        if (s.session) s.session->bytes().drain(errc::draining);
    }
}

void listener_base::stop() {
    ending_ = settings_.stopped = true;
    acceptor_->cancel();
    again_.clear();
    room_.set();
    // Before the sessions, which they use: a loop that ends destroys what is ready in this order,
    // and a logic that waits for something of its own is not waited for.
    for (auto& [session, work] : settings_.spawned) work.group.cancel();
    // The end of a session may take others out of the list.
    for (auto at = sessions_.cbegin(); at != sessions_.cend();) {
        const std::uint64_t number = at->number;
        if (at->session) at->session->end_logic();
        at = place_of(number + 1);
    }
}

}  // namespace ice
