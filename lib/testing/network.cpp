// The machines of a simulation: how they listen, connect, and resolve names.
#include "network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/ip/address.hpp>
#include <cerrno>
#include <ice/testing/sim.hpp>
#include <stdexcept>

namespace ice::testing {
namespace {

constexpr auto resend = std::chrono::seconds(1);  // the first SYN timeout; it doubles (RFC 6298)
// Seeds of separate random sequences: adding a fault does not change the other choices of a run.
constexpr std::uint64_t fault_stream = 0x6661756c7473;
constexpr std::uint64_t clock_stream = 0x636c6f636b73;

}  // namespace

suspended_coroutine::suspended_coroutine(network& net) : net_(net), before_(net.waiting_) {
    if (before_) before_->behind_ = this;
    net.waiting_ = this;
}

suspended_coroutine::~suspended_coroutine() {
    if (before_) before_->behind_ = behind_;
    (behind_ ? behind_->before_ : net_.waiting_) = before_;
}

network::network(std::uint64_t seed)
    : dice_(seed), fault_dice_(seed ^ fault_stream), clock_dice_(seed ^ clock_stream) {}

network::~network() {
    // Destroying one coroutine may destroy others, so each time the list is read from its head.
    while (waiting_) delete waiting_;
}

// -- what has happened

void network::note(const char* what, std::uint64_t a, std::uint64_t b) noexcept {
    // FNV-1a: a change of time, order or size changes the hash.
    const auto mix = [this](std::uint64_t v) { hash_ = (hash_ ^ v) * 0x100000001b3ULL; };
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    for (const char* c = what; *c; ++c) mix(static_cast<unsigned char>(*c));
    mix(a);
    mix(b);
    lines_[noted_++ % remembered] = {now_, what, a, b};
}

std::string network::history() const {
    std::string all;
    for (std::uint64_t i = noted_ > remembered ? noted_ - remembered : 0; i < noted_; ++i) {
        const line& l = lines_[i % remembered];
        // The clock of a simulation begins at one hour.
        const auto since = l.at.time_since_epoch() - std::chrono::hours(1);
        fmt::format_to(std::back_inserter(all), "{:>16.6f} s  {:<12} {} {}\n",
                       std::chrono::duration<double>(since).count(), l.what, l.a, l.b);
    }
    return all;
}

// -- places

std::shared_ptr<host> network::machine(const std::string& ip) {
    auto& found = machines_[ip];
    if (!found) found = std::make_shared<host>(*this, ip);
    return found;
}

std::vector<std::string> network::resolve(const std::string& name, const std::string& own) const {
    if (name == "localhost") return {own};
    error_code ec;
    const auto ip = asio::ip::make_address(name, ec);
    // These name the machine that asks. So two machines may listen on one port of "localhost".
    if (!ec && (ip.is_loopback() || ip.is_unspecified())) return {own};
    if (!ec) return {name};
    const auto known = names.find(name);
    return known == names.end() ? std::vector<std::string>() : known->second;
}

network::lookup network::look_up(const std::string& name) {
    const auto known = lookups.find(name);
    lookup asked = known == lookups.end() ? lookup() : known->second;
    if (strikes(fault::slow_name)) asked.takes += fault_dice_.below(faults.stall);
    if (strikes(fault::name_fails)) asked.fails = errc::name_resolution_failed;
    return asked;
}

address network::unused_port(const std::string& ip) {
    for (;;) {
        // From 32768 to 60999, as ip_local_port_range of Linux.
        address a(ip, ++last_port_);
        if (last_port_ == 60999) last_port_ = 32767;
        if (!ports.contains(a.text())) return a;
    }
}

// -- listening

port::port(transport& net, network& world, address local)
    : net_(net), world_(world), local_(std::move(local)), backlog_(world.faults.backlog),
      ready_(world) {
    world_.ports.emplace(local_.text(), this);
}

bool port::take(const std::shared_ptr<wire>& w) {
    if (arrived_.size() >= backlog_) return false;
    arrived_.push_back(w);
    ready_.wake();
    return true;
}

task<io_status> port::ready() {
    if (!open_) co_return system_error(EBADF);
    if (arrived_.empty()) {
        const io_status woken = co_await ready_.wait();
        co_return woken;
    }
    // As with epoll, other handlers run between two batches of accepts.
    co_await net_.yield();
    co_return io_status();
}

result<std::unique_ptr<channel>> port::accept() {
    if (!open_) return system_error(EBADF);
    if (arrived_.empty()) return system_error(EAGAIN);
    if (const int error = world_.next_operation()) {
        // The peer has gone before it was accepted: the connection leaves the backlog (accept(2)).
        if (error == ECONNABORTED) {
            arrived_.front()->close(1);
            arrived_.pop_front();
        }
        return system_error(error);
    }
    if (world_.strikes(fault::no_descriptors)) return system_error(EMFILE);
    auto first = std::move(arrived_.front());
    arrived_.pop_front();
    if (world_.strikes(fault::aborted)) {
        first->close(1);
        return system_error(ECONNABORTED);
    }
    world_.note("accept", first->id);
    return make_channel(net_, std::move(first), 1);
}

void port::cancel() {
    if (!std::exchange(open_, false)) return;
    world_.ports.erase(local_.text());
    for (const auto& w : arrived_) {
        // Linux resets what was not accepted when its listening socket closes.
        w->ends[1].closed = true;
        w->reset(1);
    }
    arrived_.clear();
    ready_.wake(asio::error::make_error_code(asio::error::operation_aborted));
}

// -- machines

host::host(network& net, std::string ip)
    : transport(net.loop.get_executor()), net_(net), ip_(std::move(ip)),
      dice_(net.fault_dice().next()) {}

void host::fire() {
    net_.note("timer");
    deadlines().expire(now());
    // expire() tells only of a deadline that has come nearer. What is left of the queue is later.
    timer_ = deadlines().next();
}

task<> host::sleep(duration span) {
    wait_point over(net_);
    deadline timer(
        deadlines(), [](void* s) { static_cast<wait_point*>(s)->wake(); }, &over);
    timer.set(ice::after(now(), span));
    const error_code cancelled = co_await over.wait();
    if (cancelled) throw std::system_error(cancelled);
}

std::vector<address> host::places(const address& a) const {
    if (a.is_unix()) return {a};
    std::vector<address> all;
    for (auto& ip : net_.resolve(a.host(), ip_)) all.emplace_back(std::move(ip), a.port());
    return all;
}

std::unique_ptr<acceptor> host::listen(const address& where, std::optional<unsigned>) {
    const auto fail = [&](const std::string& why) {
        throw std::runtime_error(fmt::format("cannot listen on {}: {}", where, why));
    };
    const auto found = places(where);
    if (found.empty()) fail(make_error_code(errc::host_not_found).message());
    const bool any = !where.is_unix() && where.port() == 0;
    address local = any ? net_.unused_port(found.front().host()) : found.front();
    if (net_.ports.contains(local.text())) fail(system_error(EADDRINUSE).message());
    return std::make_unique<port>(*this, net_, std::move(local));
}

// Numeric addresses and localhost need no lookup. A name without an entry in `lookups` is answered
// at once.
task<result<std::vector<address>>> host::resolve(address to, time_point until) {
    network::lookup asked;
    if (net_.names.contains(to.host()) || net_.lookups.contains(to.host()))
        asked = net_.look_up(to.host());
    if (asked.takes > duration::zero()) {
        const time_point answered = ice::after(now(), asked.takes);
        wait_point over(net_);
        deadline timer(
            deadlines(), [](void* s) { static_cast<wait_point*>(s)->wake(); }, &over);
        timer.set(std::min(answered, until));
        const io_status cancelled = co_await over.wait();
        if (cancelled) co_return connect_error(cancelled);
        if (until < answered) co_return errc::connect_timeout;
    }
    if (asked.fails) co_return asked.fails;
    auto found = places(to);
    if (found.empty()) co_return errc::host_not_found;
    co_return std::move(found);
}

// An attempt to connect. Events hold weak pointers to it, as its owner may destroy it.
struct host::attempt {
    attempt(host& h, address own, address other, connect_attempt::callback d)
        : at(h), from(std::move(own)), to(std::move(other)), done(std::move(d)) {}

    host& at;
    address from, to;
    connect_attempt::callback done;
};

namespace {

result<std::unique_ptr<channel>> connected(host& at, const std::shared_ptr<wire>& w) {
    try {
        return make_channel(at, w, 0);
    } catch (const std::bad_alloc&) { return connect_error(system_error(ENOMEM)); }
}

}  // namespace

result<std::unique_ptr<connect_attempt>> host::begin_connect(const address& to,
                                                             connect_attempt::callback done) {
    struct handle final : connect_attempt {
        explicit handle(std::shared_ptr<attempt> a) : made(std::move(a)) {}
        std::shared_ptr<attempt> made;
    };
    if (const int error = net_.next_operation()) return connect_error(system_error(error));
    auto a = std::make_shared<attempt>(*this, net_.unused_port(ip_), to, std::move(done));
    if (!net_.strikes(fault::blackhole)) call(net_, a, resend);
    return std::unique_ptr<connect_attempt>(std::make_unique<handle>(std::move(a)));
}

void host::call(network& net, std::weak_ptr<attempt> who, duration again) {
    // One SYN. After a latency it is refused, dropped as the backlog is full, or accepted. The
    // client sends a dropped one again, each time after twice as long (RFC 6298).
    duration way = net.latency();
    if (net.strikes(fault::slow_connect))
        way = add_sat(way, net.fault_dice().below(net.faults.stall));
    net.after(way, [&net, who = std::move(who), again] {
        const auto a = who.lock();
        if (!a) return;
        const auto answer = [&net, &who](auto what) {
            net.after(net.latency(), [who, what = std::move(what)] {
                if (const auto waiting = who.lock()) what(*waiting);
            });
        };
        const auto found = net.ports.find(a->to.text());
        if (found == net.ports.end() || net.strikes(fault::refused)) {
            const int why = a->to.is_unix() ? ENOENT : ECONNREFUSED;
            net.note("refused");
            return answer([why](attempt& t) { t.done(connect_error(system_error(why))); });
        }
        auto w = std::make_shared<wire>(net, ++net.connections);
        w->ends[0].where = a->from;
        w->ends[1].where = a->to;
        if (!found->second->take(w))
            return net.after(again, [&net, who, again] { call(net, who, mul_sat(again, 2)); });
        net.note("connect", w->id);
        net.after(net.latency(), [who, w] {
            const auto waiting = who.lock();
            // The attempt was cancelled after the other end had it in its backlog: that end sees it
            // close.
            if (!waiting) return w->close(0);
            waiting->done(connected(waiting->at, w));
        });
    });
}

// -- names of faults

std::string_view name(fault f) noexcept {
    switch (f) {
        case fault::one_byte_read: return "one_byte_read";
        case fault::short_read: return "short_read";
        case fault::short_write: return "short_write";
        case fault::delay: return "delay";
        case fault::stall: return "stall";
        case fault::reset: return "reset";
        case fault::lost_tail: return "lost_tail";
        case fault::end: return "end";
        case fault::refused: return "refused";
        case fault::blackhole: return "blackhole";
        case fault::slow_connect: return "slow_connect";
        case fault::no_descriptors: return "no_descriptors";
        case fault::aborted: return "aborted";
        case fault::slow_name: return "slow_name";
        case fault::name_fails: return "name_fails";
        case fault::clock_moves: return "clock_moves";
        case fault::late_loop: return "late_loop";
        case fault::count: break;
    }
    return "none";
}

}  // namespace ice::testing
