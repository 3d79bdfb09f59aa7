// The scenario of a pool: callers that time out, leave and throw, and an upstream that misbehaves,
// crashes and changes its address.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/system_error.hpp>

#include "upstream.hpp"

namespace swarm {
namespace {

constexpr std::uint64_t requests = 100;  // at least
constexpr ice::pool_name<frames> name{"up"};

struct caller_left : std::runtime_error {
    caller_left() : std::runtime_error("left") {}
};

class scenario {
public:
    scenario(world& w, bool pipelined) : w_(w), pipelined_(pipelined) {}

    void run() {
        draw_faults(w_);
        draw_manners();
        draw_pool();
        if (alone_) leave_alone();
        up_.start();
        for (auto& twin : twins_) {
            twin->ways = up_.ways;
            twin->start();
        }
        const std::uint64_t drawn = w_.chance.between(1, 8);
        const std::uint64_t callers = alone_ ? 1 : drawn;
        const std::uint64_t each = (requests + callers - 1) / callers;
        for (std::uint64_t i = 0; i < callers; ++i) w_.sim.spawn(calls(each));
        for (auto crashes = w_.chance.below(4); crashes != 0; --crashes) w_.sim.spawn(crash());
        if (w_.chance.hit(0.3)) w_.sim.spawn(move());
        const auto all_left = [&] { return left_ == each * callers; };
        if (w_.does("stop", 0.1)) {
            settle(w_.chance.below(2s));
            srv_->stop();
            run_until(all_left, 1min, "callers of a pool that has stopped");
            settle(5s);  // the last crash is over
            return end();
        }
        run_until(all_left, 1h, "callers that end");
        recover();
        end();
    }

private:
    void draw_manners() {
        const auto kind = w_.chance.below(4);
        const auto some = [&](double most) {
            const double p = static_cast<double>(w_.chance.below(1000)) / 1000 * most;
            return kind != 0 && w_.chance.hit(0.5) ? p : 0;
        };
        up_.ways = {.service = w_.chance.below(ice::duration(20ms)),
                    .silent = some(0.1),
                    .early = some(1),
                    .late = some(0.1),
                    .duplicate = some(0.05),
                    .extra = some(0.05),
                    .truncated = some(0.05),
                    .wrong_length = some(0.05),
                    .garbage = some(0.05),
                    .closes = some(0.05),
                    .hangs_up = some(0.05),
                    .talks_first = some(0.05),
                    .unresponsive = some(0.05)};
        impatient_ = some(0.5);
        large_ = w_.chance.hit(0.2) ? 0.2 : 0.02;
        fickle_ = some(0.5);
    }

    void draw_pool() {
        size_ = w_.chance.between(1, 4);
        waiters_ = w_.chance.hit(0.2) ? w_.chance.between(0, 3) : 100;
        auto& t = times_;
        t.connect = std::chrono::milliseconds(w_.chance.between(1, 3000));
        t.acquire = std::chrono::milliseconds(w_.chance.between(1, 5000));
        t.idle = std::chrono::milliseconds(w_.chance.between(20, 30'000));
        t.max_lifetime = std::chrono::milliseconds(w_.chance.between(1000, 60'000));
        ice::pool_limits l{.max_waiters = waiters_, .preconnect = w_.chance.between(0, size_)};
        if (pipelined_) share(l);
        if (t.idle > 1s) l.min_connections = w_.chance.between(0, size_);
        if (pipelined_ && w_.sim.faults()[fault::clock_moves] > 0) {
            // Connections often reach their lifetime, some of them while a caller chooses one.
            t.max_lifetime /= 500;
            l.min_connections = 0;  // else new ones are made all the time, though nobody asks
        }
        draw_name();
        std::vector<ice::address> hosts{{"up", 7}};
        draw_twins(hosts);
        ice::breaker_limits b{.failures = w_.chance.between(1, 6)};
        if (w_.chance.hit(0.2)) b.failures = ice::unlimited;
        b.first = std::chrono::milliseconds(w_.chance.between(0, 1000));
        b.cap = std::chrono::milliseconds(w_.chance.between(0, 30'000));
        auto to_up = ice::tcp_client_action{hosts, name, size_}.timeouts(t).limits(l).breaker(b);
        if (w_.chance.hit(0.3)) draw_checks(to_up);
        pool_ = &srv_->add(std::move(to_up));
    }

    // The check is a request with a number that no caller uses.
    template <class Action>
    void draw_checks(Action& to_up) {
        w_.saw("health_checks");
        const std::chrono::milliseconds interval(w_.chance.between(1, 3000));
        const auto good = [](std::string_view reply) { return id_of('a', reply) == 0; };
        std::move(to_up).health_check(text_of('q', 0), interval, good);
    }

    // Its first addresses may have no listener, or one that answers no SYN.
    void draw_name() {
        up_ips_ = {"10.0.0.1"};
        if (w_.chance.hit(0.3)) {
            w_.saw("name_of_several");
            for (auto n = w_.chance.between(1, 3); n != 0; --n) {
                up_ips_.insert(up_ips_.begin(), fmt::format("10.0.1.{}", n));
                if (w_.does("silent_address", 0.3)) hush(up_ips_.front());
            }
        }
        w_.sim.resolves("up", up_ips_);
        if (w_.chance.hit(0.2)) w_.sim.lookup_takes("up", w_.chance.below(50ms));
    }

    // A backlog that is always full answers no SYN.
    void hush(const std::string& ip) {
        auto& f = w_.sim.faults();
        const std::size_t before = std::exchange(f.backlog, 0);
        silent_.push_back(w_.sim.host(ip)->listen(ice::address(ip, 7)));
        f.backlog = before;
    }

    // Other machines give the same replies and misbehave alike; one address may have no machine.
    void draw_twins(std::vector<ice::address>& hosts) {
        if (!w_.chance.hit(0.4)) return;
        w_.saw("several_hosts");
        const bool nobody = w_.chance.hit(0.3);
        const std::uint64_t n = w_.chance.between(1, 2);
        for (std::uint64_t i = 0; i < n; ++i) {
            const ice::address at(fmt::format("10.0.0.{}", 2 + i), 7);
            hosts.push_back(at);
            if (nobody && i == 0) continue;
            twins_.push_back(std::make_unique<upstream>(w_, w_.sim.host(at.host()), at));
        }
    }

    // The pool assigns replies by their order. It detects an extra reply only while no caller
    // waits; otherwise the next caller gets it (upstream::lied()). A missing reply shifts all later
    // ones, which no pool can detect.
    void share(ice::pool_limits& l) {
        l.pipeline = w_.chance.between(2, 16);
        up_.ways.silent = up_.ways.wrong_length = 0;
        if (w_.chance.hit(0.3)) up_.ways.dumb = 0.02;
        if (w_.chance.hit(0.7)) up_.ways.duplicate = 0;
        else up_.ways.unasked = 0.02;
    }

    // A single caller never has two requests in flight, so each reply is to the last one: the pool
    // must detect every second reply that has come with the first. A caller that leaves early would
    // have left its request in flight.
    void leave_alone() {
        w_.saw("alone");
        impatient_ = fickle_ = 0;
        auto& ways = up_.ways;
        ways.silent = ways.late = ways.dumb = ways.unasked = ways.unresponsive = 0;
        ways.duplicate = static_cast<double>(w_.options.between(1, 30)) / 100;
    }

    // -- callers

    ice::task<> calls(std::uint64_t n) {
        for (; n != 0; --n) {
            if (w_.chance.hit(0.5)) co_await net_->sleep(w_.chance.below(20ms));
            const std::uint64_t id = ++last_id_;
            ++w_.requests;
            if (w_.does("cancel", fickle_)) co_await cancelled_call(id);
            else co_await call(id);
            ++left_;
        }
    }

    // A caller that is cancelled at any instant at which it waits.
    ice::task<> cancelled_call(std::uint64_t id) {
        asio::cancellation_signal leave;
        ice::event ended(net_->executor());
        asio::co_spawn(
            net_->executor(), call(id),
            asio::bind_cancellation_slot(leave.slot(), [&](std::exception_ptr) { ended.set(); }));
        w_.sim.spawn(emit(leave, ended));
        co_await ended.wait();
        while (emitting_.contains(&leave)) co_await net_->sleep(1ms);
    }
    ice::task<> emit(asio::cancellation_signal& leave, const ice::event& ended) {
        emitting_.emplace(&leave, 0);
        const ice::duration most = w_.chance.hit(0.3) ? ice::duration(100us) : ice::duration(10ms);
        co_await net_->sleep(w_.chance.below(most));
        if (!ended.is_set()) leave.emit(asio::cancellation_type::terminal);
        emitting_.erase(&leave);
    }

    ice::task<> call(std::uint64_t id) {
        if (w_.does("lease", 0.15)) {
            try {
                co_await borrow(id);
            } catch (const caller_left&) {}
            co_return;
        }
        const bool hasty = w_.does("hasty", impatient_);
        const ice::duration timeout = w_.chance.below(hasty ? ice::duration(20ms) : 5s);
        const std::size_t most = std::min(longest - 20, 1000 * w_.sim.faults().segment);
        const std::size_t padding = w_.chance.hit(large_) ? w_.chance.below(most) : 10;
        const auto begin = w_.sim.now();
        w_.sim.note("request", id);
        const auto reply = co_await pool_->request(text_of('q', id, padding), timeout);
        w_.sim.note(reply ? "reply" : "error", id);
        w_.check_ended_by(begin + timeout);
        check_timeout(reply.error(), begin + timeout);
        judge(id, reply);
        if (!reply && !reply.failure().may_have_been_executed()) unexecuted_.push_back(id);
        while (!reply && alone_ && pool_ != nullptr && pool_->busy() != 0)
            co_await net_->sleep(10ms);  // until its request has left its connection
    }

    // A deadline that an earlier request left behind would fire at any time.
    void check_timeout(ice::error_code ec, ice::time_point end) {
        if (ec == ice::errc::request_timeout)
            w_.check(w_.sim.now() >= end, "a request timed out before its time");
    }

    void judge(std::uint64_t id, const ice::result<std::string>& reply) {
        if (reply) {
            const auto got = id_of('a', *reply);
            ++replies_;
            if (pipelined_ && !alone_ && !calm_ && got >= 0 &&
                lied(static_cast<std::uint64_t>(got))) {
                if (got != static_cast<std::int64_t>(id)) w_.does("shifted", 1);
                return;
            }
            if (got != static_cast<std::int64_t>(id))
                w_.fail(fmt::format("the reply to {} went to the caller of {}", got, id));
            w_.check(executed(id) != 0, "a reply to a request that was not executed");
        } else if (reply.error() == ice::condition::not_executed) {
            unexecuted_.push_back(id);
        }
    }

    // Several messages on one lease; some holders leave before the end, or throw.
    ice::task<> borrow(std::uint64_t id) {
        const auto end = w_.sim.now() + 1s;
        auto taken = co_await pool_->acquire(1s);
        if (!taken) co_return;
        auto& lease = *taken;
        if (id % 4 != 0) lease.keep();  // the others close their connections
        const auto rounds = w_.chance.between(1, 3);
        std::int64_t before = -1;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            const std::uint64_t mine = i == 0 ? id : ++last_id_;
            if (w_.does("pause", 0.2)) co_await net_->sleep(w_.chance.below(500ms));
            const ice::error_code unsent = co_await lease->send(text_of('q', mine, 20));
            check_timeout(unsent, end);
            if (unsent || w_.does("leave", 0.1)) co_return;
            if (w_.does("throw", 0.1)) throw caller_left();
            const auto got = co_await lease->receive();
            check_timeout(got.error(), end);
            if (!got) co_return;
            // A second reply to the message before: within a lease its holder must detect it.
            if (before >= 0 && id_of('a', *got) == before) co_return lease->close();
            judge(mine, std::string(*got));
            before = static_cast<std::int64_t>(mine);
        }
    }

    unsigned executed(std::uint64_t id) const {
        unsigned times = up_.executed(id);
        for (const auto& twin : twins_) times += twin->executed(id);
        return times;
    }

    // -- the upstream's troubles

    ice::task<> crash() {
        co_await net_->sleep(w_.chance.below(2s));
        w_.saw("crash");
        w_.sim.note("crash");
        up_.crash();
        co_await net_->sleep(w_.chance.below(2s));
        up_.start();
        w_.sim.note("restart");
    }

    // For a while the name means a machine without a listener, or no address, or its lookup fails.
    ice::task<> move() {
        co_await net_->sleep(w_.chance.below(1s));
        w_.saw("dns_change");
        switch (w_.chance.below(4)) {
            case 0: w_.sim.resolves("up", {}); break;
            case 1: w_.sim.resolves("up", {"10.0.0.9"}); break;
            case 2: w_.sim.lookup_fails("up", ice::errc::name_resolution_failed); break;
            default: w_.sim.lookup_takes("up", 1h); break;
        }
        co_await net_->sleep(w_.chance.below(2s));
        w_.sim.resolves("up", up_ips_);
    }

    // -- what must hold

    void watch() {
        w_.check(w_.sim.events() < 10'000 * requests, "a storm of events");
        if (!pool_) return;
        // One that is replaced may still be leased, a trial is beside the others, and another one
        // may have been given up.
        const std::size_t beside =
            std::max<std::size_t>(size_ / 4, 1) + pool_->addresses().size() + 1;
        w_.check(pool_->idle() + pool_->busy() <= size_ + beside,
                 "more connections than the pool's size");
        // A caller that got a dead connection waits again, before all others.
        w_.check(pool_->waiting() <= waiters_ + size_, "more callers wait than may");
        watch_breakers();
    }
    // An address whose breaker is open gets no request, and one after the pause.
    void watch_breakers() {
        using states = ice::breaker::states;
        bool all_open = true;
        for (const auto& at : pool_->addresses().all()) {
            const ice::upstream& u = *at;
            auto& before = breakers_[&u];
            all_open = all_open && u.breaker.state() == states::open;
            const bool in_trial = u.breaker.state() == states::half_open;
            if (!in_trial || !before.in_trial) {
                before.since = w_.sim.last_idle();
            } else if (u.open > before.open) {
                // The pool gives a trial up after pool_timeouts::request. Handlers take time, so
                // that may be a moment before the deadline of the request, which comes from a later
                // reading of the clock.
                w_.check(w_.sim.now() - before.since >= times_.request, "a second trial");
                before.since = w_.sim.last_idle();
            }
            before = {u.open, in_trial, before.since};
            if (u.trips > trips_) w_.saw("breaker_opens", u.trips - trips_);
            trips_ = std::max(trips_, u.trips);
        }
        if (all_open) w_.check(pool_->idle() == 0, "a connection that nobody may ask is idle");
    }
    template <class Condition>
    bool passes(Condition done, ice::duration timeout) {
        const bool came = w_.sim.run_until(
            [&] {
                watch();
                return done() || !w_.failure.empty();
            },
            timeout);
        if (!w_.failure.empty()) throw std::runtime_error(w_.failure);
        return came;
    }
    template <class Condition>
    void run_until(Condition done, ice::duration timeout, const char* what) {
        if (!passes(done, timeout))
            throw std::runtime_error(fmt::format("waited in vain for {}", what));
    }
    void settle(ice::duration span) {
        passes([] { return false; }, span);
    }

    // Within a minute after the last fault every request succeeds, and the pool assigns no
    // connection that the upstream has closed.
    void recover() {
        w_.sim.note("calm");
        const auto first = up_.ways;
        up_.ways = {.service = first.service};
        for (auto& twin : twins_) twin->ways = up_.ways;
        calm(w_);
        settle(60s);
        calm_ = true;  // a connection that has lied is gone
        all_succeed("a request failed a minute after the last fault");
        up_.crash();
        for (auto& twin : twins_) twin->crash();
        run_until([&] { return open() == 0; }, 1s, "the upstream's end");
        up_.start();
        for (auto& twin : twins_) twin->start();
        settle(100ms);
        const auto is_open = [](const auto& u) { return !u->breaker.is_closed(); };
        // A health check was in flight in the crash: no pause is longer.
        if (std::ranges::any_of(pool_->addresses().all(), is_open)) settle(31s);
        all_succeed("a connection was lent that the upstream had closed");
    }
    bool lied(std::uint64_t id) const {
        return up_.lied(id) ||
               std::ranges::any_of(twins_, [id](const auto& twin) { return twin->lied(id); });
    }
    std::size_t open() const {
        std::size_t all = up_.open();
        for (const auto& twin : twins_) all += twin->open();
        return all;
    }
    void all_succeed(const char* otherwise) {
        const std::size_t n = 2 * size_;
        succeed(1, otherwise);  // the trial of a breaker that nobody has asked since
        succeed(n, otherwise);
    }
    void succeed(std::size_t n, const char* otherwise) {
        good_ = over_ = 0;
        for (std::size_t i = 0; i < n; ++i) w_.sim.spawn(healthy());
        run_until([&] { return over_ == n; }, 10s, "healthy requests");
        if (good_ != n) w_.fail(fmt::format("{}: {}", otherwise, why_));
    }
    // Timeouts that are too short even without faults; each silent address before the one that
    // answers costs 250 ms (RFC 8305). The error may be that of another address, which refuses.
    bool is_tight(ice::error_code ec) const {
        const auto lost = silent_.size() * 250ms;
        return (ec == ice::errc::acquire_timeout && times_.acquire < 200ms + lost) ||
               (ice::kind_of(ec) == ice::failure_kind::connect && times_.connect < 50ms + lost) ||
               (ec == ice::errc::pool_full && waiters_ < 2 * size_);
    }
    ice::task<> healthy() {
        const std::uint64_t id = ++last_id_;
        const auto reply = co_await pool_->request(text_of('q', id), 5s);
        if (reply || is_tight(reply.error())) ++good_;
        else why_ = fmt::format("{}", reply.failure());
        judge(id, reply);
        ++over_;
    }

    void end() {
        for (std::uint64_t id = 1; id <= last_id_; ++id)
            w_.check(executed(id) <= 1, "a request was executed twice");
        for (const std::uint64_t id : unexecuted_)
            w_.check(executed(id) == 0, "a request was executed of which the pool said no");
        srv_->stop();
        settle(1s);
        w_.check(pool_->idle() + pool_->busy() + pool_->waiting() == 0, "a stopped pool holds on");
        pool_ = nullptr;
        up_.crash();
        for (auto& twin : twins_) twin->crash();
        settle(1s);
        srv_.reset();
        w_.sim.run_until([&] { return w_.sim.quiescent(); }, 2min);
        w_.check(w_.sim.quiescent(), "something is left at the end");
    }

    world& w_;
    bool pipelined_;
    bool alone_ = pipelined_ && w_.options.hit(0.2);
    bool calm_ = false;
    std::shared_ptr<ice::transport> net_ = w_.sim.net();
    upstream up_{w_, w_.sim.host("10.0.0.1"), ice::address("10.0.0.1", 7)};
    std::vector<std::unique_ptr<upstream>> twins_;  // of the same answers
    std::vector<std::string> up_ips_;               // of its name
    std::vector<std::unique_ptr<ice::acceptor>> silent_;
    std::unique_ptr<unlogged_server> srv_ = std::make_unique<unlogged_server>(w_.sim.net());
    ice::pool<frames>* pool_ = nullptr;
    std::size_t size_ = 0, waiters_ = 0;
    ice::pool_timeouts times_;
    double impatient_ = 0, fickle_ = 0, large_ = 0;
    std::uint64_t last_id_ = 0, left_ = 0, replies_ = 0;
    std::size_t good_ = 0, over_ = 0;  // of all_succeed()
    std::string why_;                  // one of them was not good
    std::vector<std::uint64_t> unexecuted_;
    std::map<asio::cancellation_signal*, int> emitting_;
    struct breaker_seen {
        std::size_t open = 0;
        bool in_trial = false;
        ice::time_point since{};  // when it was not yet
    };
    std::map<const ice::upstream*, breaker_seen> breakers_;
    std::uint64_t trips_ = 0;
};

}  // namespace

void pool(world& w) { scenario(w, false).run(); }
void pipelined(world& w) { scenario(w, true).run(); }

}  // namespace swarm
