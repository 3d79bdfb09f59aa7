// pool_core under random events: addresses that fail, names that change, callers that come and go,
// leases that end in any way. What it says of itself must agree, and nothing may wait in vain.
#include <ice/detail/pool_core.hpp>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <optional>
#include <random>
#include <stdexcept>

#include "printing.hpp"
#include "quick.hpp"

namespace {

using namespace std::chrono_literals;
using kinds = ice::pool_action::kinds;
using states = ice::pool_connection::states;

constexpr std::size_t hosts = 4;

ice::address host(std::size_t i) { return ice::address(fmt::format("10.0.0.{}:7", i + 1)); }

void must(bool holds, std::string_view what) {
    if (!holds) throw std::logic_error(std::string(what));
}

struct caller : ice::pool_caller {
    bool is_woken = false;
};

// The owner of a core, its callers and the network. One seed decides all that happens.
struct model {
    explicit model(unsigned seed) : random(seed) {
        std::vector<ice::address> where;
        for (std::size_t i = any(hosts + 1); i != 0; --i) where.push_back(host(i - 1));
        if (where.empty() || one_in(3)) where.emplace_back("db.example:7");
        if (one_in(4)) where.emplace_back("web.example:7");
        ice::pool_core::options o{.size = 1 + any(4)};
        o.limits.max_waiters = one_in(4) ? any(3) : 1024;
        o.limits.min_connections = any(3);
        o.limits.preconnect = one_in(2) ? any(3) : ice::unlimited;
        o.limits.pipeline = one_in(2) ? 1 : one_in(2) ? 3 : 12;
        o.timeouts.request = one_in(9) ? 0s : 2s;
        o.timeouts.idle = one_in(3) ? ice::no_timeout : ice::duration(10s);
        o.timeouts.max_lifetime = one_in(3) ? ice::no_timeout : ice::duration(40s);
        o.backoff = {.first = one_in(9) ? 0ms : 50ms, .cap = 4s};
        o.breaker = {.failures = 1 + any(3), .first = one_in(9) ? 0ms : 500ms, .cap = 4s};
        if (one_in(3)) o.check_every = 5s;
        core.emplace(o, where, std::mt19937_64(seed),
                     [] { return std::make_unique<ice::pool_connection>(); });
        core->start(now);
        settle();
    }
    ~model() {
        for (ice::pool_connection* c : closed) std::unique_ptr<ice::pool_connection> ended(c);
    }
    model(const model&) = delete;
    model& operator=(const model&) = delete;

    std::size_t any(std::size_t below) { return random() % below; }
    bool one_in(std::size_t n) { return any(n) == 0; }
    template <class T>
    T take(std::vector<T>& from) {
        std::swap(from[any(from.size())], from.back());
        T t = from.back();
        from.pop_back();
        return t;
    }

    // -- after each event: its actions, and what must hold

    void settle() {
        while (ice::pool_action* const a = core->next_action()) {
            const auto c = [a] { return static_cast<ice::pool_connection*>(a); };
            switch (std::exchange(a->todo, kinds::none)) {
                case kinds::connect: attempts.push_back(c()); break;
                case kinds::close: closed.push_back(c()); break;
                case kinds::check: leases.push_back(c()); break;
                case kinds::look:
                    if (one_in(50)) core->stale(*c(), now);
                    break;
                case kinds::cancel: must(core->is_stopped(), "cancelled without stop()"); break;
                case kinds::wake: static_cast<caller*>(a)->is_woken = true; break;
                case kinds::resolve:
                    lookups.push_back(static_cast<ice::pool_lookup*>(a)->name);
                    break;
                case kinds::none: must(false, "an action without a kind");
            }
        }
        must(core->events().size() <= 2 * hosts, "too much to log");
        check_counts();
        if (core->is_stopped()) must(core->due() == ice::never, "a tick after stop()");
        else if (!core->is_draining() || core->waiting() != 0) check_progress();
    }
    std::size_t count(auto what) const {
        return static_cast<std::size_t>(
            std::ranges::count_if(core->connections(), [&](const auto& c) { return what(*c); }));
    }
    std::size_t established() const {
        return count([](const auto& c) {
            const bool is_trial = c.at->breaker.is_current(c.trial);
            return c.state != states::connecting && !c.is_retiring && !is_trial;
        });
    }
    void check_counts() const {
        const auto in = [](states s) { return [s](const auto& c) { return c.state == s; }; };
        must(core->idle() == count(in(states::idle)), "idle()");
        must(core->busy() == count(in(states::busy)), "busy()");
        must(core->connecting() == count(in(states::connecting)), "connecting()");
        must(core->connecting() == attempts.size(), "an attempt that nobody makes");
        must(count(in(states::closed)) == 0, "a closed connection is kept");
        // Trials that were given up may be beside it, one of each address.
        must(established() <= core->settings().size + core->upstreams().size(), "more than size");
        std::size_t open = 0;
        for (const auto& u : core->upstreams().all()) {
            const auto at = [&](auto what) {
                return count([&](const auto& c) { return c.at == u && what(c); });
            };
            open += u->open;
            must(u->open == at([](const auto&) { return true; }), "upstream::open");
            const auto asks = [](const auto& c) { return c.state == states::busy && !c.is_kept; };
            must(u->asked == at(asks), "upstream::asked");
            must(u->connecting == at(in(states::connecting)), "upstream::connecting");
            must(u->retiring == at([](const auto& c) { return c.is_retiring; }), "retiring");
        }
        must(open == core->connections().size(), "an upstream was forgotten too early");
        const auto waits = [](const auto& k) { return k->is_waiting; };
        must(core->waiting() == std::size_t(std::ranges::count_if(callers, waits)), "waiting()");
        must(core->waiting() == 0 || core->idle() == 0, "a caller waits beside an idle one");
    }
    // Nothing waits for what nobody will do.
    void check_progress() {
        for (const auto& u : core->upstreams().all()) {
            if (core->is_draining() || u->is_removed || u->is_available()) continue;
            must(core->due() <= u->retry, "no tick for a retry");
            const bool is_in_trial =
                count([&](const auto& c) {
                    return c.at == u && c.state == states::idle && u->breaker.is_current(c.trial);
                }) != 0;
            must(u->retry != ice::never || u->connecting != 0 || is_in_trial, "no retry");
        }
        for (const auto& c : core->connections()) {
            if (c->state == states::connecting && !c->is_stalled && core->upstreams().size() != 1)
                must(core->due() <= std::max(now, c->begun + 250ms), "no tick for a slow attempt");
            if (c->state == states::idle) must(core->due() <= now + 1s, "no tick for a look");
            if (c->state == states::busy && c->retires > now && !core->is_draining())
                must(core->due() <= c->retires, "no tick for an old connection");
        }
        const auto is_woken = [](const auto& k) { return k->is_woken; };
        if (core->waiting() == 0 || std::ranges::any_of(callers, is_woken)) return;
        caller* first = nullptr;
        for (const auto& k : callers) {
            const bool is_before = first == nullptr || k->ticket < first->ticket;
            if (k->is_waiting && k->shares && is_before) first = k.get();
        }
        if (first) must(!core->share(first, now), "a caller waits beside a connection with room");
        if (core->connecting() != 0 || !lookups.empty()) return;
        must(!core->upstreams().are_down(), "a caller waits though no address serves");
        must(core->busy() != 0, "a caller waits for nothing");
        const auto is_available = [](const auto& u) { return u->is_available(); };
        must(established() >= core->settings().size ||
                 std::ranges::none_of(core->upstreams().all(), is_available),
             "a caller waits though there is room for a connection");
    }

    // -- callers, which do what pool_base does

    void ask() {
        caller& k = *callers.emplace_back(std::make_unique<caller>());
        k.shares = core->settings().limits.pipeline > 1 && !one_in(4);
        core->asked(now);
        acquire(k);
    }
    void acquire(caller& k) {
        while (ice::pool_connection* const c = core->acquire(now)) {
            if (!one_in(20)) return lease(k, *c);
            core->stale(*c, now);
            settle();
        }
        if (k.shares && share(k)) return;
        const ice::error_code refused = core->wait(k, now);
        settle();
        if (refused) end(k);
    }
    bool share(caller& k) {
        ice::pool_connection* c = k.ticket != 0 ? nullptr : core->share_again(now);
        must(c == nullptr || core->waiting() == 0, "a new caller shares before those that wait");
        if (c == nullptr) c = core->share(k.ticket != 0 ? &k : nullptr, now);
        if (c == nullptr) return false;
        must(!c->is_full && c->requests < core->settings().limits.pipeline, "no room");
        const bool is_refused = one_in(10);  // its message
        core->leave(k, now);
        if (is_refused) core->not_joined();
        else core->joined(*c, one_in(5));
        forget(k);
        return true;
    }
    void lease(caller& k, ice::pool_connection& c) {
        must(c.state == states::busy && !c.is_shared, "a connection that is in use");
        leases.push_back(&c);
        if (k.shares) {
            core->shared(c);
            core->joined(c, one_in(5));
        } else if (one_in(4)) {
            core->kept(c, now);
        }
        end(k);
    }
    void end(caller& k) {
        core->leave(k, now);
        if (k.given != nullptr) core->released(*k.given, {true, false, {}}, now);
        forget(k);
    }
    void forget(caller& k) {
        std::erase_if(callers, [&](const auto& i) { return i.get() == &k; });
        settle();
    }
    void resume(caller& k) {
        if (!k.is_woken) return;
        if (k.given == nullptr) {
            if (k.failed) return end(k);
            k.is_woken = false;
            if (k.shares) share(k);
            return;
        }
        ice::pool_connection& c = *std::exchange(k.given, nullptr);
        if (!one_in(10)) return lease(k, c);
        core->stale(c, now);
        settle();
        k.is_woken = false;
        acquire(k);
    }

    // -- connections and names

    void end_attempt(bool is_well) {
        ice::pool_connection& c = *take(attempts);
        const auto i = static_cast<std::size_t>(c.at->where.host().back() - '1');
        if (is_up[i] && (is_well || !one_in(3))) core->connected(c, now);
        else core->connect_failed(c, ice::errc::connect_timeout, now);
        settle();
    }
    void end_lease(bool is_well) {
        ice::pool_connection& c = *take(leases);
        if (c.requests != 0 && (is_well || !one_in(4))) {
            if (is_well || !one_in(4)) core->replied(c, c.is_full && one_in(2), now);
            else core->timed_out(c, now);
            settle();
            if (c.requests != 0) return leases.push_back(&c);
        }
        const bool is_clean = c.requests == 0 && (is_well || !one_in(4));
        const ice::error_code whys[] = {{}, ice::errc::closed, ice::errc::request_timeout};
        core->released(c, {is_clean, is_well || one_in(2), whys[is_clean ? 0 : any(3)]}, now);
        settle();
    }
    void end_lookup(bool is_well) {
        ice::upstream_name& n = *take(lookups);
        std::vector<ice::address> found;
        for (std::size_t i = 0; i < hosts; ++i)
            if (one_in(2) || (is_well && i == 0)) found.push_back(host(i));
        if (!is_well && one_in(4)) core->resolve_failed(n, ice::errc::host_not_found, now);
        else core->resolved(n, found, now);
        settle();
    }
    // To the next tick, perhaps late, or to the end of the span.
    void pass(ice::duration span, bool may_be_late) {
        const ice::time_point end = now + span;
        now = may_be_late && one_in(4) ? end : std::clamp(core->due(), now, end);
        for (int i = 0; core->due() <= now; ++i) {
            must(i < 4, "it spins");
            core->tick(now);
            settle();
        }
    }
    void step() {
        const bool is_well = one_in(2);
        switch (any(10)) {
            case 0: is_up[any(hosts)] = !one_in(3); break;
            case 1: return pass(std::chrono::milliseconds(1 << any(15)), true);
            case 2:
            case 3: return ask();
            case 4: return callers.empty() ? void() : resume(*callers[any(callers.size())]);
            case 5: return callers.empty() || is_well ? void() : end(**callers.begin());
            case 6: return attempts.empty() ? void() : end_attempt(false);
            case 7:
            case 8: return leases.empty() ? void() : end_lease(is_well);
            case 9:
                if (!lookups.empty()) return end_lookup(is_well);
                for (ice::pool_connection* c : leases) core->sent(*c);
                return settle();
        }
    }
    // All addresses are well, all that is in flight ends, and time passes.
    void recover(ice::duration span) {
        is_up.assign(hosts, true);
        const ice::time_point end = now + span;
        for (int i = 0; now < end; ++i) {
            must(i < 10'000, "it comes to no rest");
            const auto k = std::ranges::find_if(callers, [](auto& one) { return one->is_woken; });
            if (!attempts.empty()) end_attempt(true);
            else if (!lookups.empty()) end_lookup(true);
            else if (k != callers.end()) resume(**k);
            else if (!leases.empty()) end_lease(true);
            else must(callers.empty(), "a caller waits and all is well"), pass(end - now, false);
        }
    }

    std::mt19937 random;
    std::vector<bool> is_up = std::vector<bool>(hosts, true);
    ice::time_point now{1h};
    std::vector<ice::pool_connection*> attempts, leases, closed;
    std::vector<ice::upstream_name*> lookups;
    std::vector<std::unique_ptr<caller>> callers;
    std::optional<ice::pool_core> core;
};

void run(unsigned seed) {
    model m(seed);
    for (int i = 0; i < 200; ++i) m.step();
    for (int i = 0; i < 30; ++i) {
        m.recover(1s);
        m.ask();
    }
    m.recover(15s);
    for (const auto& u : m.core->upstreams().all())
        must(u->is_removed || u->is_available(), "an address is used no more");
    must(m.core->connections().size() <= m.core->settings().size, "too many connections");
    for (int i = 0; i < 20; ++i) m.step();
    if (seed % 2 == 0) m.core->stop();
    else m.core->drain(m.now);
    for (int i = 0; i < 20; ++i) m.step();
    m.recover(1min);
    must(m.core->is_empty() && m.core->connections().empty(), "something is left at the end");
    must(m.core->due() == ice::never, "a tick is due at the end");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_core_model)

BOOST_AUTO_TEST_CASE(the_core_agrees_with_itself_and_lets_nobody_wait_in_vain) {
    for (unsigned seed = 1; seed <= (is_quick ? 500 : 2000); ++seed) {
        try {
            run(seed);
        } catch (const std::logic_error& e) { BOOST_FAIL("seed " << seed << ": " << e.what()); }
    }
}

BOOST_AUTO_TEST_SUITE_END()
