// pool_core: each decision of a pool alone, event by event, without sockets, coroutines or a clock.
#include <ice/detail/pool_core.hpp>

#include <array>
#include <boost/test/unit_test.hpp>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <random>

#include "printing.hpp"

namespace {

using namespace std::chrono_literals;
using kinds = ice::pool_action::kinds;
using states = ice::pool_connection::states;

// The owner of a core: it keeps the actions instead of carrying them out.
struct owner {
    explicit owner(ice::pool_core::options o, std::vector<std::string> where = {"10.0.0.1:7"})
        : options(o), addresses(parsed(where)) {
        options.backoff = {.first = 50ms, .cap = 400ms};
    }
    ~owner() {
        core.reset();
        for (ice::pool_connection* c : closed) std::unique_ptr<ice::pool_connection> ended(c);
    }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;

    static std::vector<ice::address> parsed(const std::vector<std::string>& where) {
        std::vector<ice::address> all;
        for (const auto& w : where) all.emplace_back(std::string_view(w));
        return all;
    }

    void start() {
        core.emplace(options, addresses, std::mt19937_64(1),
                     [] { return std::make_unique<ice::pool_connection>(); });
        core->start(now);
        run();
    }
    // Takes all actions.
    void run() {
        while (ice::pool_action* const a = core->next_action()) {
            const auto connection = [a] { return static_cast<ice::pool_connection*>(a); };
            switch (std::exchange(a->todo, kinds::none)) {
                case kinds::connect: connecting.push_back(connection()); break;
                case kinds::close: closed.push_back(connection()); break;
                case kinds::check: checked.push_back(connection()); break;
                case kinds::look: looked.push_back(connection()); break;
                case kinds::cancel: cancelled.push_back(connection()); break;
                case kinds::wake: woken.push_back(static_cast<ice::pool_caller*>(a)); break;
                case kinds::resolve: resolving.push_back(static_cast<ice::pool_lookup*>(a)); break;
                case kinds::none: break;
            }
        }
        for (auto& e : core->events()) events.push_back(std::move(e));
    }
    // The first attempt in flight, to that host if one is given.
    ice::pool_connection& attempt(std::string_view host = {}) {
        const auto at = std::ranges::find_if(connecting, [&](const ice::pool_connection* c) {
            return host.empty() || c->at->where.host() == host;
        });
        BOOST_TEST_REQUIRE((at != connecting.end()), "no attempt to connect to " << host);
        ice::pool_connection& c = **at;
        connecting.erase(at);
        return c;
    }
    ice::pool_connection& connect(std::string_view host = {}) {
        ice::pool_connection& c = attempt(host);
        core->connected(c, now);
        run();
        return c;
    }
    void connect_all() {
        while (!connecting.empty()) connect();
    }
    void refuse(std::string_view host = {}) {
        core->connect_failed(attempt(host), refused, now);
        run();
    }
    ice::pool_connection& acquire() {
        ice::pool_connection* const c = core->acquire(now);
        BOOST_TEST_REQUIRE((c != nullptr), "no idle connection");
        return *c;
    }
    void release(ice::pool_connection& c, bool replied = true, ice::error_code why = {}) {
        core->released(c, {.is_clean = replied, .has_replied = replied, .why = why}, now);
        run();
    }
    void lose(ice::pool_connection& c, ice::error_code why = ice::errc::closed) {
        release(c, false, why);
    }
    ice::error_code wait(ice::pool_caller& k) {
        const ice::error_code ec = core->wait(k, now);
        run();
        return ec;
    }
    void leave(ice::pool_caller& k) {
        core->leave(k, now);
        run();
    }
    // Lets time pass, with each tick that is due.
    void pass(ice::duration span) {
        const ice::time_point end = now + span;
        while (core->due() <= end) {
            now = std::max(now, core->due());
            core->tick(now);
            run();
            BOOST_TEST_REQUIRE(++ticks < 100'000, "it spins");
        }
        now = end;
    }
    void resolve(std::vector<std::string> found) {
        BOOST_TEST_REQUIRE(!resolving.empty());
        ice::upstream_name& n = *resolving.front()->name;
        resolving.pop_front();
        if (found.empty()) core->resolve_failed(n, ice::errc::name_resolution_failed, now);
        else core->resolved(n, parsed(found), now);
        run();
    }
    std::string hosts() const {  // of the connections, each with a letter for its state
        std::map<std::string, int> all;
        for (const auto& c : core->connections()) {
            const char* const letter = c->state == states::connecting ? "?"
                                       : c->is_retiring               ? "-"
                                                                      : "";
            ++all[letter + c->at->where.host().substr(7)];
        }
        std::string text;
        for (const auto& [host, n] : all)
            text += fmt::format("{}{}:{}", text.empty() ? "" : " ", host, n);
        return text;
    }
    const ice::pool_counters& counters() const { return core->counters(); }

    ice::pool_core::options options;
    std::vector<ice::address> addresses;
    std::optional<ice::pool_core> core;
    ice::time_point now{1h};
    int ticks = 0;
    std::deque<ice::pool_connection*> connecting, closed, checked, looked, cancelled;
    std::deque<ice::pool_caller*> woken;
    std::deque<ice::pool_lookup*> resolving;
    std::vector<ice::pool_event> events;
    const ice::error_code refused = make_error_code(std::errc::connection_refused);
};

// A pool that has opened its connections.
struct open_pool : owner {
    explicit open_pool(std::size_t size, ice::pool_limits l = {}, ice::pool_timeouts t = {},
                       std::vector<std::string> where = {"10.0.0.1:7"})
        : owner({.size = size, .limits = l, .timeouts = t}, std::move(where)) {
        start();
        connect_all();
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_core)

// -- callers

BOOST_AUTO_TEST_CASE(a_caller_gets_the_connection_that_came_back_last) {
    open_pool p(3);
    auto &first = p.acquire(), &second = p.acquire();
    p.release(second);
    p.release(first);
    BOOST_TEST(&p.acquire() == &first);
}

BOOST_AUTO_TEST_CASE(callers_get_connections_in_the_order_of_their_calls) {
    open_pool p(1);
    auto& c = p.acquire();
    ice::pool_caller a, b;
    BOOST_TEST(!p.wait(a));
    BOOST_TEST(!p.wait(b));
    p.release(c);
    BOOST_TEST(a.given == &c);
    BOOST_TEST(b.given == nullptr);
    p.release(c);
    BOOST_TEST(b.given == &c);
    BOOST_TEST(p.core->waiting() == 0u);
}

BOOST_AUTO_TEST_CASE(callers_whose_connections_were_dead_keep_their_order) {
    open_pool p(2);
    auto &one = p.acquire(), &two = p.acquire();
    ice::pool_caller a, b, c;
    for (auto* k : {&a, &b, &c}) BOOST_TEST(!p.wait(*k));
    p.release(one);
    p.release(two);  // a and b have them
    p.core->stale(*a.given, p.now);
    p.core->stale(*b.given, p.now);
    BOOST_TEST(!p.wait(b));
    BOOST_TEST(!p.wait(a));
    auto& fresh = p.connect();
    BOOST_TEST(a.given == &fresh);
    p.connect();
    BOOST_TEST(c.given == nullptr);
    BOOST_TEST(b.given != nullptr);
}

BOOST_AUTO_TEST_CASE(a_caller_that_leaves_is_given_nothing) {
    open_pool p(1);
    auto& c = p.acquire();
    ice::pool_caller a, b;
    BOOST_TEST(!p.wait(a));
    BOOST_TEST(!p.wait(b));
    p.leave(a);
    p.release(c);
    BOOST_TEST(a.given == nullptr);
    BOOST_TEST(b.given == &c);
}

BOOST_AUTO_TEST_CASE(max_waiters_bounds_only_those_for_whom_no_connection_can_be_made) {
    open_pool p(2, {.max_waiters = 0, .preconnect = 0});
    ice::pool_caller a, b, c;
    BOOST_TEST(!p.wait(a));
    BOOST_TEST(!p.wait(b));
    BOOST_TEST((p.wait(c) == ice::errc::pool_full));
    p.connect_all();
    BOOST_TEST(a.given != nullptr);
    BOOST_TEST(b.given != nullptr);
    BOOST_TEST((p.wait(c) == ice::errc::pool_full));
}

BOOST_AUTO_TEST_CASE(a_pool_without_waiters_connects_again_after_all_connections_are_lost) {
    open_pool p(1, {.max_waiters = 0});
    p.lose(p.acquire());
    p.refuse();
    p.pass(1h);
    ice::pool_caller a;
    if (!p.connecting.empty()) p.connect();
    BOOST_TEST((p.core->acquire(p.now) != nullptr || !p.wait(a)));
}

BOOST_AUTO_TEST_CASE(callers_fail_if_the_last_connection_to_an_address_that_is_down_was_stale) {
    owner p({.size = 2, .limits = {.preconnect = 1}});
    p.start();
    p.connect();
    auto& c = p.acquire();
    ice::pool_caller first, second;
    BOOST_TEST(!p.wait(first));
    BOOST_TEST(!p.wait(second));
    p.refuse();
    p.release(c);
    BOOST_TEST(first.given == &c);
    BOOST_TEST(!second.failed);
    p.core->stale(c, p.now);
    p.run();
    BOOST_TEST(p.connecting.empty());
    BOOST_TEST((second.failed == p.refused), "nothing is in flight for it");
}

// -- sharing

BOOST_AUTO_TEST_CASE(requests_share_the_connection_with_the_fewest_up_to_the_limit) {
    open_pool p(2, {.pipeline = 2});
    auto &one = p.acquire(), &two = p.acquire();
    for (auto* c : {&one, &two}) {
        p.core->shared(*c);
        p.core->joined(*c, false);
    }
    auto* c = p.core->share(nullptr, p.now);
    BOOST_TEST_REQUIRE(c != nullptr);
    p.core->joined(*c, false);
    BOOST_TEST(p.core->share(nullptr, p.now) != c);
    p.core->joined(*p.core->share(nullptr, p.now), false);
    BOOST_TEST((p.core->share(nullptr, p.now) == nullptr));
    ice::pool_caller k;
    k.shares = true;
    BOOST_TEST(!p.wait(k));
    p.core->replied(one, false, p.now);
    p.run();
    BOOST_TEST((p.woken.front() == &k));
    BOOST_TEST((p.core->share(&k, p.now) == &one));
}

BOOST_AUTO_TEST_CASE(a_full_connection_is_not_shared_until_bytes_have_left) {
    open_pool p(1, {.pipeline = 8});
    auto& c = p.acquire();
    p.core->shared(c);
    p.core->joined(c, true);
    BOOST_TEST((p.core->share(nullptr, p.now) == nullptr));
    p.core->joined(c, false);
    BOOST_TEST((p.core->share(nullptr, p.now) == &c));
}

// Two shared connections: the first with three requests, the other with twelve.
struct uneven_pool : open_pool {
    explicit uneven_pool(std::size_t size = 2) : open_pool(size, {.pipeline = 16}) {
        for (auto* c : {&busy, &one}) {
            core->shared(*c);
            while (c->requests != (c == &busy ? 3u : 12u)) core->joined(*c, false);
        }
    }
    // What callers of a burst get, one after the other.
    ice::pool_connection* burst() {
        auto* c = core->share_again(now);
        if (c == nullptr) c = core->share(nullptr, now);
        if (c != nullptr) core->joined(*c, false);
        return c;
    }
    ice::pool_connection &busy = acquire(), &one = acquire();
};

// A pool that looked for each caller would spend half of the time of a short request on it.
BOOST_AUTO_TEST_CASE(a_burst_takes_one_connection_until_it_has_a_quarter_more) {
    uneven_pool p;
    while (p.busy.requests != 8) BOOST_TEST((p.burst() == &p.busy), "it has the fewest");
    BOOST_TEST_REQUIRE((p.core->share(nullptr, p.now) == &p.busy));
    std::size_t in_a_row = 0;
    for (; p.core->share_again(p.now) == &p.busy; ++in_a_row) p.core->joined(p.busy, false);
    BOOST_TEST(in_a_row == 2u, "a quarter of eight");
    BOOST_TEST((p.core->share(nullptr, p.now) == &p.busy));
    BOOST_TEST((p.core->share_again(p.now + 1ns) == nullptr), "the next burst looks again");
    while (p.burst() != nullptr) {}
    BOOST_TEST(p.busy.requests == 16u);
    BOOST_TEST(p.one.requests == 16u, "as many as the pool allows");
}

BOOST_AUTO_TEST_CASE(a_burst_leaves_the_connection_that_is_full_or_ejected) {
    const auto begun = [](uneven_pool& p) {
        while (p.busy.requests < 8) p.burst();
        BOOST_TEST_REQUIRE((p.core->share(nullptr, p.now) == &p.busy));
    };
    uneven_pool full;
    begun(full);
    full.core->joined(full.busy, true);
    BOOST_TEST(full.busy.is_full);
    BOOST_TEST((full.core->share_again(full.now) == nullptr));
    BOOST_TEST((full.core->share(nullptr, full.now) == &full.one));
    full.core->sent(full.busy);
    BOOST_TEST(!full.busy.is_full);

    uneven_pool all_full;
    begun(all_full);
    for (auto* c : {&all_full.busy, &all_full.one}) all_full.core->joined(*c, true);
    BOOST_TEST((all_full.core->share(nullptr, all_full.now) == nullptr));
    BOOST_TEST((all_full.core->share_again(all_full.now) == nullptr));

    uneven_pool ends;
    begun(ends);
    ends.core->released(ends.busy, {.is_clean = false, .has_replied = false, .why = {}}, ends.now);
    BOOST_TEST((ends.core->share_again(ends.now) == nullptr), "it is closed");

    uneven_pool closes;
    begun(closes);
    closes.core->drain(closes.now);
    BOOST_TEST((closes.core->share_again(closes.now) == nullptr));
}

BOOST_AUTO_TEST_CASE(a_burst_takes_an_idle_connection_first_and_none_before_those_who_wait) {
    uneven_pool p(3);
    while (p.busy.requests < 8) p.burst();
    BOOST_TEST_REQUIRE((p.core->share(nullptr, p.now) == &p.busy));
    auto& third = p.acquire();
    p.release(third);
    BOOST_TEST((p.core->share_again(p.now) == nullptr), "acquire() gives the idle one");
    BOOST_TEST((&p.acquire() == &third));

    BOOST_TEST_REQUIRE((p.core->share(nullptr, p.now) == &p.busy));
    ice::pool_caller alone;
    BOOST_TEST(!p.wait(alone));
    BOOST_TEST((p.core->share_again(p.now) == nullptr), "one that waits for it alone comes first");
    p.core->leave(alone, p.now);
    BOOST_TEST((p.core->share_again(p.now) == &p.busy));
}

// A connection that is shared, with one request.
struct shared_pool : open_pool {
    explicit shared_pool(std::size_t pipeline) : open_pool(1, {.pipeline = pipeline}) {}
    // So many callers wait for it, and learn that it is shared now.
    void share_with(std::size_t n) {
        for (; n != 0; --n) {
            callers.emplace_back().shares = true;
            BOOST_TEST(!wait(callers.back()));
        }
        core->shared(one);
        core->joined(one, false);
        run();
    }
    // The next one of them that knows of room joins the connection, if it still has room.
    bool join_next(bool fills = false) {
        ice::pool_caller& k = *woken.at(joined++);
        const bool joins = core->share(&k, now) != nullptr;
        if (joins) core->leave(k, now), core->joined(one, fills);
        run();
        return joins;
    }

    ice::pool_connection& one = acquire();
    std::list<ice::pool_caller> callers;
    std::size_t joined = 0;
};

BOOST_AUTO_TEST_CASE(callers_learn_of_room_together_as_many_as_there_is_room_for) {
    shared_pool p(4);
    p.share_with(5);
    BOOST_TEST(p.woken.size() == 3u);
    for (int i = 0; i < 3; ++i) BOOST_TEST(p.join_next());
    BOOST_TEST(p.woken.size() == 3u);
    p.core->replied(p.one, false, p.now);
    p.run();
    BOOST_TEST(p.woken.size() == 4u);
    BOOST_TEST(p.join_next());
    BOOST_TEST((p.woken.back() == &*std::next(p.callers.begin(), 3)));
    p.core->leave(p.callers.back(), p.now);
}

BOOST_AUTO_TEST_CASE(a_new_caller_shares_at_once_if_there_is_room_behind_those_who_know) {
    shared_pool p(4);
    p.share_with(2);
    BOOST_TEST(p.woken.size() == 2u);
    BOOST_TEST((p.core->share(nullptr, p.now) == &p.one));
    p.core->joined(p.one, false);
    BOOST_TEST((p.core->share(nullptr, p.now) == nullptr));
    BOOST_TEST(p.join_next());
    BOOST_TEST(p.join_next());
}

BOOST_AUTO_TEST_CASE(fewer_callers_learn_of_room_after_some_have_found_none) {
    shared_pool p(10'000);
    p.share_with(200);
    const std::size_t first = p.woken.size();
    BOOST_TEST(first > 8u);
    BOOST_TEST(p.join_next(true));
    while (p.joined != p.woken.size()) BOOST_TEST(!p.join_next());
    p.core->sent(p.one);
    p.run();
    BOOST_TEST(p.woken.size() == first + first / 2);
    while (p.joined != p.woken.size()) BOOST_TEST(p.join_next());
    BOOST_TEST(p.joined == first + 200 - 1);
}

BOOST_AUTO_TEST_CASE(room_that_comes_while_callers_look_is_not_forgotten) {
    shared_pool p(10'000);
    p.share_with(40);
    BOOST_TEST(p.join_next(true));
    BOOST_TEST(!p.join_next());
    p.core->sent(p.one);
    p.run();
    while (p.joined != p.woken.size()) p.join_next();
    BOOST_TEST(p.core->waiting() == 0u);
    for (auto& k : p.callers)
        if (k.is_waiting) p.core->leave(k, p.now);
}

BOOST_AUTO_TEST_CASE(a_caller_that_wants_a_connection_alone_stops_sharing_only_after_a_while) {
    open_pool p(1, {.pipeline = 8});
    auto& c = p.acquire();
    p.core->shared(c);
    p.core->joined(c, false);
    ice::pool_caller alone;
    BOOST_TEST(!p.wait(alone));
    BOOST_TEST((p.core->share(nullptr, p.now) == &c));
    p.pass(100ms);
    BOOST_TEST((p.core->share(nullptr, p.now) == nullptr));
    p.core->replied(c, false, p.now);
    p.release(c);
    BOOST_TEST(alone.given == &c);
}

BOOST_AUTO_TEST_CASE(with_two_shared_connections_one_is_kept_and_the_other_goes_on) {
    open_pool p(2, {.pipeline = 8});
    auto &one = p.acquire(), &two = p.acquire();
    for (auto* c : {&one, &two}) {
        p.core->shared(*c);
        p.core->joined(*c, false);
    }
    p.core->joined(two, false);
    ice::pool_caller alone;
    BOOST_TEST(!p.wait(alone));
    p.pass(100ms);
    BOOST_TEST((p.core->share(nullptr, p.now) == &two), "the one with the fewest becomes free");
}

BOOST_AUTO_TEST_CASE(a_caller_whose_connection_was_dead_shares_before_those_behind_it) {
    open_pool p(2, {.pipeline = 2});
    auto &one = p.acquire(), &two = p.acquire();
    p.core->shared(one);
    p.core->joined(one, false);
    p.core->joined(one, false);
    ice::pool_caller first, second;
    first.shares = second.shares = true;
    BOOST_TEST(!p.wait(first));
    BOOST_TEST(!p.wait(second));
    p.core->replied(one, false, p.now);
    p.release(two);
    BOOST_TEST(first.given == &two);
    p.core->stale(two, p.now);
    p.run();
    BOOST_TEST((p.core->share(&first, p.now) == &one));
}

BOOST_AUTO_TEST_CASE(a_caller_shares_as_soon_as_the_breaker_is_closed) {
    owner p({.size = 4,
             .limits = {.pipeline = 2},
             .timeouts = {.request = 2s},
             .breaker = {.failures = 1, .first = 1min, .cap = 1min}},
            {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    p.connect_all();
    std::map<std::string, std::vector<ice::pool_connection*>> at;
    while (auto* c = p.core->acquire(p.now)) at[c->at->where.host()].push_back(c);
    auto &one = *at["10.0.0.1"][0], &two = *at["10.0.0.1"][1];
    p.core->shared(one);
    p.core->joined(one, false);
    p.pass(1s);
    p.core->timed_out(one, p.now);
    BOOST_TEST_REQUIRE(!one.at->breaker.is_closed());
    ice::pool_caller k;
    k.shares = true;
    BOOST_TEST(!p.wait(k));
    BOOST_TEST(p.woken.empty());
    p.core->released(two, {.is_clean = false, .has_replied = true, .why = {}}, p.now);
    p.run();
    BOOST_TEST(p.woken.size() == 1u);
    BOOST_TEST((p.core->share(&k, p.now) == &one));
}

// -- connecting

BOOST_AUTO_TEST_CASE(connections_lost_together_are_replaced_together_if_callers_wait) {
    open_pool p(4);
    std::vector<ice::pool_connection*> had;
    for (int i = 0; i < 4; ++i) had.push_back(&p.acquire());
    std::array<ice::pool_caller, 8> callers;
    for (auto& k : callers) BOOST_TEST(!p.wait(k));
    for (auto* c : had) p.lose(*c);
    BOOST_TEST(p.connecting.size() == 4u);
}

BOOST_AUTO_TEST_CASE(an_attempt_that_takes_long_keeps_no_caller_from_another_address) {
    owner p({.size = 1, .limits = {.preconnect = 0}}, {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    BOOST_TEST_REQUIRE(p.connecting.size() == 1u);
    const std::string silent = p.connecting[0]->at->where.host();
    p.pass(249ms);
    BOOST_TEST(p.connecting.size() == 1u);
    p.pass(1ms);
    BOOST_TEST_REQUIRE(p.connecting.size() == 2u);
    BOOST_TEST(p.connecting[1]->at->where.host() != silent);
    auto& c = p.connect(p.connecting[1]->at->where.host());
    BOOST_TEST(k.given == &c);
    p.pass(1s);
    BOOST_TEST(p.connecting.size() == 1u, "the first goes on, and no third begins");
    p.connect(silent);
    BOOST_TEST(p.closed.size() == 1u, "the pool is full");
}

BOOST_AUTO_TEST_CASE(a_trial_takes_no_room_of_the_others) {
    owner p({.size = 1, .breaker = {.failures = 1, .first = 1s, .cap = 1s}},
            {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    auto& c = p.connect();
    const std::string broken = c.at->where.host();
    p.lose(p.acquire());
    BOOST_TEST((c.at->breaker.state() == ice::breaker::states::open));
    auto& good = p.connect();
    BOOST_TEST(good.at->where.host() != broken);
    p.pass(1s);
    BOOST_TEST_REQUIRE(p.connecting.size() == 1u, "the trial");
    BOOST_TEST(p.connecting[0]->at->where.host() == broken);
    BOOST_TEST(p.core->idle() == 1u, "the good one stays meanwhile");
    auto& trial = p.connect();
    BOOST_TEST(p.core->idle() == 2u);
    BOOST_TEST(&p.acquire() == &good, "its address was leased longest ago");
    BOOST_TEST(&p.acquire() == &trial);
    p.release(trial);
    BOOST_TEST((trial.at->breaker.state() == ice::breaker::states::closed));
    p.release(good);
    BOOST_TEST(p.core->idle() == 1u, "size 1 again");
}

BOOST_AUTO_TEST_CASE(a_trial_that_is_connected_keeps_no_caller_from_another_address) {
    owner p({.size = 1, .breaker = {.failures = 1, .first = 1s, .cap = 1s}},
            {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    p.connect();
    p.lose(p.acquire());
    auto& good = p.connect();
    const std::string healthy = good.at->where.host();
    p.pass(1s);
    auto& trial = p.connect();
    BOOST_TEST(&p.acquire() == &good);
    BOOST_TEST(&p.acquire() == &trial);
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    p.core->stale(good, p.now);
    p.run();
    BOOST_TEST_REQUIRE(p.connecting.size() == 1u);
    BOOST_TEST(p.connect().at->where.host() == healthy);
    BOOST_TEST((k.given != nullptr));
    p.leave(k);
}

// The danger: callers without timeouts keep trials of an upstream that says nothing, and each is
// followed by another one.
BOOST_AUTO_TEST_CASE(trials_that_were_given_up_count_for_the_size) {
    owner p({.size = 1,
             .timeouts = {.request = 1s},
             .breaker = {.failures = 1, .first = 1s, .cap = 1s}});
    p.start();
    p.connect();
    p.lose(p.acquire());
    for (int i = 0; i < 100; ++i) {
        p.pass(1s);
        p.connect_all();
        while (p.core->acquire(p.now) != nullptr) {}  // and never released
        BOOST_TEST_REQUIRE(p.core->connections().size() <= 3u);
    }
}

BOOST_AUTO_TEST_CASE(min_connections_are_kept_and_replaced_without_a_gap) {
    open_pool p(2, {.min_connections = 2}, {.max_lifetime = 10min});
    p.pass(5min);
    BOOST_TEST(p.core->idle() == 2u);
    BOOST_TEST(p.counters().expired == 0u);
    BOOST_TEST(p.counters().connects == 2u, "they do not churn");
    for (int i = 0; i < 10'000 && p.counters().aged < 2; ++i) {
        p.pass(100ms);
        BOOST_TEST_REQUIRE(p.core->idle() >= 2u);
        p.connect_all();
    }
    BOOST_TEST(p.counters().aged == 2u);
}

BOOST_AUTO_TEST_CASE(an_old_connection_stays_while_none_can_replace_it) {
    open_pool p(1, {}, {.idle = ice::no_timeout, .max_lifetime = 10min});
    for (int i = 0; i < 1000; ++i) {
        p.pass(1s);
        while (!p.connecting.empty()) p.refuse();
    }
    BOOST_TEST(p.core->idle() == 1u);
    p.release(p.acquire());
    BOOST_TEST(p.core->idle() == 1u);
    for (int i = 0; i < 100 && p.connecting.empty(); ++i) p.pass(1s);
    auto& fresh = p.connect();
    BOOST_TEST(&p.acquire() == &fresh);
    BOOST_TEST(p.counters().aged == 1u);
}

BOOST_AUTO_TEST_CASE(old_connections_end_in_the_last_quarter_of_their_lifetime) {
    open_pool p(50, {}, {.idle = ice::no_timeout, .max_lifetime = 100s});
    const auto aged_after = [&p](ice::duration span) {
        for (const auto end = p.now + span; p.now < end; p.connect_all()) p.pass(100ms);
        return p.counters().aged;
    };
    BOOST_TEST(aged_after(74s) == 0u);
    const auto half = aged_after(13s);
    BOOST_TEST(half > 10u);
    BOOST_TEST(half < 40u);
    BOOST_TEST(aged_after(14s) == 50u);
    BOOST_TEST(p.core->idle() == 50u);
}

BOOST_AUTO_TEST_CASE(an_old_connection_under_a_steady_load_is_replaced_too) {
    open_pool p(1, {}, {.max_lifetime = 1s});
    auto& old = p.acquire();
    p.pass(2s);
    BOOST_TEST(p.connecting.empty(), "a caller has it alone: two would be in use");
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    p.release(old);
    BOOST_TEST(k.given == &old);
    p.connect();
    p.release(old);
    BOOST_TEST((p.closed.back() == &old));
    BOOST_TEST(p.core->idle() == 1u);
}

// The danger: callers hold the old ones, so connections add up beyond the pool's size.
BOOST_AUTO_TEST_CASE(replaced_connections_that_are_leased_are_a_quarter_of_the_size_at_most) {
    open_pool p(8, {.pipeline = 10}, {.max_lifetime = 1s});
    for (int i = 0; i < 100; ++i) {
        while (p.core->idle() != 0) {
            auto& c = p.acquire();
            p.core->shared(c);  // and never released
        }
        p.pass(1s);
        p.connect_all();
        BOOST_TEST_REQUIRE(p.core->connections().size() <= 10u);
    }
    BOOST_TEST(p.counters().aged == 2u);
    BOOST_TEST(p.counters().connects == 10u, "no attempt whose connection nobody could use");
}

BOOST_AUTO_TEST_CASE(a_lifetime_of_zero_does_not_spin) {
    open_pool p(2, {.min_connections = 2}, {.max_lifetime = ice::duration()});
    for (int i = 0; i < 1000; ++i) {
        p.pass(10ms);
        p.connect_all();
    }
    BOOST_TEST(p.counters().connects <= 50u);
    BOOST_TEST(p.core->idle() == 2u);
}

BOOST_AUTO_TEST_CASE(idle_connections_that_have_ended_are_found_without_a_caller) {
    open_pool p(1, {.min_connections = 1});
    p.pass(1s);
    BOOST_TEST_REQUIRE(p.looked.size() == 1u);
    p.core->stale(*p.looked.front(), p.now);
    p.run();
    BOOST_TEST(p.connecting.size() == 1u);
}

BOOST_AUTO_TEST_CASE(two_connections_to_five_addresses_serve_each_in_turn) {
    std::vector<std::string> where;
    for (int i = 1; i <= 5; ++i) where.push_back(fmt::format("10.0.0.{}:7", i));
    open_pool p(2, {}, {}, where);
    std::map<std::string, int> used;
    for (int i = 0; i < 1000; ++i) {
        auto& c = p.acquire();
        ++used[c.at->where.host()];
        p.release(c);
        p.connect_all();
        p.pass(1s);
        BOOST_TEST_REQUIRE(p.core->idle() <= 2u);
    }
    BOOST_TEST(used.size() == 5u);
    for (const auto& [host, n] : used) BOOST_TEST(n > 100, host << " has served " << n);
}

// The danger: a machine that restarts between two requests gets none any more.
BOOST_AUTO_TEST_CASE(an_address_without_a_connection_gets_one_when_the_pool_has_room) {
    open_pool p(3, {}, {}, {"10.0.0.1:7", "10.0.0.2:7", "10.0.0.3:7"});
    p.core->stale(p.acquire(), p.now);  // its upstream has closed it
    p.run();
    BOOST_TEST(p.connecting.empty());
    p.release(p.acquire());
    BOOST_TEST(p.connecting.size() == 1u);
    p.connect_all();
    BOOST_TEST(p.core->idle() == 3u);
    for (const auto& u : p.core->upstreams().all()) BOOST_TEST(u->open == 1u);
}

BOOST_AUTO_TEST_CASE(an_address_that_is_back_gets_its_share_and_no_gap_arises) {
    open_pool p(4, {}, {}, {"10.0.0.1:7", "10.0.0.2:7"});
    auto &a = p.acquire(), &b = p.acquire(), &c = p.acquire(), &d = p.acquire();
    for (auto* i : {&a, &b, &c, &d}) {
        if (i->at->where.host() == "10.0.0.2") p.lose(*i);
        else p.release(*i);
        while (!p.connecting.empty()) {
            if (p.connecting[0]->at->where.host() == "10.0.0.2") p.refuse();
            else p.connect();
        }
    }
    for (int i = 0; i < 4; ++i) {
        std::vector<ice::pool_connection*> all;
        while (auto* one = p.core->acquire(p.now)) all.push_back(one);
        ice::pool_caller k;
        p.wait(k);
        p.leave(k);
        for (auto* one : all) p.release(*one);
        while (!p.connecting.empty()) {
            if (p.connecting[0]->at->where.host() == "10.0.0.2") p.refuse();
            else p.connect();
        }
    }
    BOOST_TEST(p.hosts() == "1:4");
    p.pass(1s);
    for (int i = 0; i < 8; ++i) {
        p.connect_all();
        BOOST_TEST(p.core->idle() >= 4u);
        p.release(p.acquire());
    }
    BOOST_TEST(p.hosts() == "1:2 2:2");
}

BOOST_AUTO_TEST_CASE(callers_that_came_during_slow_attempts_get_the_room_that_is_left) {
    owner p({.size = 4, .limits = {.preconnect = 1}}, {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    std::array<ice::pool_caller, 4> callers;
    p.pass(250ms);
    BOOST_TEST(!p.wait(callers[0]));
    p.pass(250ms);
    for (auto i = 1u; i < 4; ++i) BOOST_TEST(!p.wait(callers[i]));
    BOOST_TEST(p.connecting.size() == 2u, "no address is quick");
    p.connect();
    BOOST_TEST(p.connecting.size() == 4u);
}

BOOST_AUTO_TEST_CASE(an_old_connection_that_was_never_idle_is_replaced_too) {
    owner p({.size = 1,
             .limits = {.preconnect = 0, .pipeline = 8},
             .timeouts = {.max_lifetime = 1min}});
    p.start();
    ice::pool_caller k;
    k.shares = true;
    BOOST_TEST(!p.wait(k));
    auto& c = p.connect();
    p.leave(k);
    p.core->shared(c);
    p.core->joined(c, false);
    p.pass(2min);
    BOOST_TEST(p.connecting.size() == 1u);
}

// -- the breaker

BOOST_AUTO_TEST_CASE(a_timeout_counts_only_if_the_upstream_was_silent_for_long) {
    open_pool p(8, {}, {.request = 2s});
    auto& slow = p.acquire();
    for (int i = 0; i < 20; ++i) {
        auto& c = p.acquire();
        p.pass(1ms);
        p.release(c, false, ice::errc::request_timeout);
        p.connect_all();
    }
    BOOST_TEST(slow.at->breaker.failures() == 0u, "callers with timeouts of 1 ms");
    p.pass(1s);
    for (int i = 0; i < 5; ++i) {
        auto& c = p.acquire();
        p.release(c, false, ice::errc::request_timeout);
        p.connect_all();
    }
    BOOST_TEST((slow.at->breaker.state() == ice::breaker::states::open));
}

BOOST_AUTO_TEST_CASE(short_timeouts_of_one_caller_after_the_other_open_the_breaker_at_last) {
    open_pool p(1, {}, {.request = 2s});
    int asked = 0;
    for (; p.core->upstreams().all()[0]->breaker.is_closed(); ++asked) {
        BOOST_TEST_REQUIRE(asked < 100);
        auto& c = p.acquire();
        p.pass(100ms);
        p.release(c, false, ice::errc::request_timeout);
        p.connect_all();
        p.pass(10s);  // nobody asks: that is no silence
        p.connect_all();
    }
    BOOST_TEST(asked == 14, "a second of silence, and five");
}

BOOST_AUTO_TEST_CASE(callers_of_a_shared_connection_count_each_for_itself) {
    open_pool p(1, {.pipeline = 100}, {.request = 2s});
    auto& c = p.acquire();
    p.core->shared(c);
    for (int i = 0; i < 100; ++i) p.core->joined(c, false);
    p.pass(2s);
    for (int i = 0; i < 5; ++i) p.core->timed_out(c, p.now);
    BOOST_TEST((c.at->breaker.state() == ice::breaker::states::open));
}

BOOST_AUTO_TEST_CASE(a_trial_that_lasts_is_followed_by_another_one) {
    owner p({.size = 1,
             .timeouts = {.request = 2s, .idle = ice::no_timeout, .max_lifetime = ice::no_timeout},
             .breaker = {.failures = 1, .first = 1s, .cap = 1s}},
            {"10.0.0.1:7", "10.0.0.2:7"});
    p.start();
    p.connect_all();
    p.lose(p.acquire());
    p.connect();
    p.acquire();  // and it is not released
    p.pass(2s);
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    auto& trial = p.connect();
    BOOST_TEST(k.given == &trial);
    BOOST_TEST(trial.trial != 0u);
    p.pass(1min);
    BOOST_TEST(trial.at->connecting == 1u);
}

BOOST_AUTO_TEST_CASE(one_caller_has_the_trial_and_no_other_one_waits_for_it) {
    owner p({.size = 1, .breaker = {.failures = 1, .first = 1s, .cap = 1s}},
            {"10.0.0.1:7", "db.example:7"});
    p.start();
    p.connect();
    p.lose(p.acquire());
    ice::pool_caller a, b;
    BOOST_TEST(!p.wait(a), "the lookup is in flight");
    BOOST_TEST(!p.wait(b));
    p.pass(1s);
    p.resolve({});
    auto& trial = p.connect();
    BOOST_TEST(a.given == &trial);
    BOOST_TEST((b.failed == ice::errc::name_resolution_failed), "nothing is in flight for it");
}

BOOST_AUTO_TEST_CASE(a_trial_connection_takes_room_once_the_breaker_is_closed) {
    // A reply to an older request has closed it. The trial is not needed, and has no request.
    owner p({.size = 2,
             .limits = {.min_connections = 2},
             .breaker = {.failures = 1, .first = 1s, .cap = 1s}});
    p.start();
    p.connect_all();
    auto &lost = p.acquire(), &slow = p.acquire();
    p.lose(lost);
    p.pass(1s);
    BOOST_TEST_REQUIRE(p.connecting.size() == 1u, "the trial");
    p.connect();
    p.release(slow);
    BOOST_TEST(slow.at->breaker.is_closed());
    p.connect_all();
    p.pass(1min);
    BOOST_TEST(p.core->idle() == 2u);
}

// -- retries

BOOST_AUTO_TEST_CASE(requests_of_long_ago_allow_no_retries) {
    open_pool p(1, {.retries = 10});
    for (int i = 0; i < 1000; ++i) p.core->asked(p.now);
    BOOST_TEST(p.core->may_retry(p.now));
    p.pass(30s);
    while (p.core->may_retry(p.now)) BOOST_TEST_REQUIRE(p.counters().retries < 100u);
    BOOST_TEST(p.counters().retries == 11u);
    p.core->drain(p.now);
    p.pass(30s);
    BOOST_TEST(!p.core->may_retry(p.now));
}

// -- names

BOOST_AUTO_TEST_CASE(each_address_of_a_name_is_an_upstream) {
    owner p({.size = 3}, {"db.example:7"});
    p.start();
    BOOST_TEST(p.connecting.empty());
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k), "the lookup is in flight");
    p.resolve({"10.0.0.1:7", "10.0.0.2:7", "10.0.0.3:7"});
    p.connect_all();
    BOOST_TEST(p.hosts() == "1:1 2:1 3:1");
    BOOST_TEST(k.given != nullptr);
    BOOST_TEST(k.given->at->text() == "db.example:7 (" + k.given->at->where.host() + ")");
}

BOOST_AUTO_TEST_CASE(an_address_that_a_name_loses_is_replaced_without_losing_a_request) {
    owner p({.size = 2, .timeouts = {.idle = ice::no_timeout}}, {"db.example:7"});
    p.start();
    p.resolve({"10.0.0.1:7"});
    p.connect_all();
    auto& busy = p.acquire();
    p.pass(30s);
    p.resolve({"10.0.0.2:7"});
    BOOST_TEST(p.hosts() == "1:2 ?2:1");
    p.connect();
    BOOST_TEST(p.hosts() == "1:1 2:1", "one has it alone");
    p.release(busy);
    p.pass(500ms);
    BOOST_TEST(p.hosts() == "1:1 2:1 ?2:1");
    p.connect();
    BOOST_TEST(p.hosts() == "2:2");
    BOOST_TEST(p.core->upstreams().size() == 1u);
}

// The danger: the breaker's next trial is due, but no address that was removed has one.
BOOST_AUTO_TEST_CASE(a_removed_address_whose_breaker_is_open_does_not_spin) {
    owner p({.size = 2, .breaker = {.failures = 1, .first = 1s, .cap = 1s}}, {"db.example:7"});
    p.start();
    p.resolve({"10.0.0.1:7"});
    p.connect_all();
    auto &held = p.acquire(), &lost = p.acquire();
    p.lose(lost);
    for (int i = 0; i < 60 && p.resolving.empty(); ++i) p.pass(1s);
    p.resolve({"10.0.0.2:7"});
    p.pass(1min);
    BOOST_TEST(p.ticks < 1000);
    p.release(held);
    p.pass(1s);
    p.connect_all();
    BOOST_TEST(p.core->upstreams().size() == 1u, "the other one serves");
}

BOOST_AUTO_TEST_CASE(a_failed_or_empty_lookup_keeps_the_last_addresses) {
    owner p({.size = 1, .timeouts = {.idle = ice::no_timeout}}, {"db.example:7"});
    p.start();
    p.resolve({"10.0.0.1:7"});
    p.connect_all();
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 60 && p.resolving.empty(); ++j) p.pass(1s);
        BOOST_TEST_REQUIRE(!p.resolving.empty());
        if (i % 2 == 0) {
            p.resolve({});
            continue;
        }
        auto& name = *p.resolving.front()->name;
        p.resolving.pop_front();
        p.core->resolved(name, {}, p.now);
        p.run();
    }
    BOOST_TEST(p.hosts() == "1:1");
    BOOST_TEST(p.core->idle() == 1u);
    BOOST_TEST(p.events.size() == 1u, "logged once");
}

BOOST_AUTO_TEST_CASE(a_name_that_does_not_resolve_fails_its_callers_and_is_looked_up_again) {
    owner p({.size = 1}, {"db.example:7"});
    p.start();
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    p.resolve({});
    BOOST_TEST((k.failed == ice::errc::name_resolution_failed));
    ice::pool_caller later;
    BOOST_TEST((p.wait(later) == ice::errc::name_resolution_failed));
    p.pass(1min);
    BOOST_TEST(!p.resolving.empty());
}

BOOST_AUTO_TEST_CASE(an_address_that_a_name_has_again_is_tried_again) {
    owner p({.size = 4, .timeouts = {.idle = ice::no_timeout}}, {"db.example:7"});
    p.start();
    p.resolve({"10.0.0.1:7", "10.0.0.2:7"});
    p.connect_all();
    std::vector<ice::pool_connection*> on_2;
    while (auto* c = p.core->acquire(p.now)) {
        if (c->at->where.host() == "10.0.0.2") on_2.push_back(c);
    }
    BOOST_TEST_REQUIRE(on_2.size() == 2u);
    p.lose(*on_2[0]);
    p.refuse("10.0.0.2");
    p.connect_all();
    p.pass(500ms);
    p.refuse("10.0.0.2");
    p.resolve({"10.0.0.1:7"});
    p.pass(1min);
    p.connect_all();
    p.resolve({"10.0.0.1:7", "10.0.0.2:7"});
    p.pass(1s);
    BOOST_TEST(on_2[1]->at->connecting == 1u);
}

BOOST_AUTO_TEST_CASE(a_caller_gets_another_address_if_the_name_loses_that_of_its_attempt) {
    owner p({.size = 1, .limits = {.preconnect = 0}}, {"db.example:7"});
    p.start();
    p.resolve({"10.0.0.1:7"});
    p.pass(30s);
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    p.resolve({"10.0.0.2:7"});
    p.connect("10.0.0.1");
    auto& c = p.connect("10.0.0.2");
    BOOST_TEST(k.given == &c);
}

BOOST_AUTO_TEST_CASE(an_attempt_that_takes_long_keeps_no_caller_from_an_address_found_since) {
    owner p({.size = 1, .limits = {.preconnect = 0}}, {"10.0.0.1:7", "db.example:7"});
    p.start();
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    p.pass(10ms);
    p.resolve({"10.0.0.2:7"});
    BOOST_TEST(p.connecting.size() == 1u);
    p.pass(240ms);
    BOOST_TEST(p.connecting.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_name_that_resolves_again_is_logged) {
    owner p({.size = 1}, {"db.example:7"});
    p.start();
    p.resolve({});
    p.pass(1s);
    p.resolve({"10.0.0.1:7"});
    BOOST_TEST_REQUIRE(p.events.size() == 2u);
    BOOST_TEST((p.events[1].kind == ice::pool_event::kinds::resolved));
    BOOST_TEST(p.events[1].where == "db.example:7");
}

// -- ending

BOOST_AUTO_TEST_CASE(a_drain_serves_those_that_wait_and_nobody_else) {
    open_pool p(1);
    auto& c = p.acquire();
    ice::pool_caller k, late;
    BOOST_TEST(!p.wait(k));
    p.core->drain(p.now);
    BOOST_TEST((p.wait(late) == ice::errc::draining));
    p.release(c);
    BOOST_TEST(k.given == &c);
    p.release(c);
    BOOST_TEST(p.closed.size() == 1u);
    BOOST_TEST(p.core->is_empty());
    BOOST_TEST((p.core->due() == ice::never || (p.pass(1min), p.core->due() == ice::never)));
}

// The danger: stop() replaces the action, and nothing ends the connection.
BOOST_AUTO_TEST_CASE(an_attempt_that_was_not_begun_before_stop_ends_too) {
    open_pool p(1);
    ice::pool_caller k;
    auto& c = p.acquire();
    BOOST_TEST(!p.wait(k));
    p.core->released(c, {.is_clean = false, .has_replied = false, .why = {}}, p.now);
    p.core->stop();
    p.run();
    p.core->connect_failed(p.attempt(), ice::errc::stopped, p.now);
    p.run();
    BOOST_TEST(k.failed == ice::errc::stopped);
    BOOST_TEST(p.core->connections().empty());
    p.leave(k);
}

BOOST_AUTO_TEST_CASE(stop_ends_attempts_leases_and_callers) {
    open_pool p(2, {.preconnect = 1});
    auto& c = p.acquire();
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    BOOST_TEST_REQUIRE(p.connecting.size() == 1u);
    p.core->stop();
    p.run();
    BOOST_TEST((k.failed == ice::errc::stopped));
    BOOST_TEST(p.cancelled.size() == 2u, "the attempt and the lease");
    p.refuse();
    p.lose(c);
    BOOST_TEST(p.core->connections().empty());
    BOOST_TEST((p.core->due() == ice::never));
}

BOOST_AUTO_TEST_CASE(after_stop_no_tick_is_due) {
    open_pool p(1);
    p.lose(p.acquire());
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    auto& fresh = p.connect();
    BOOST_TEST(k.given == &fresh);
    p.core->stop();
    p.core->stale(fresh, p.now);
    p.run();
    BOOST_TEST((p.core->due() == ice::never));
    BOOST_TEST(p.core->connections().empty());
}

BOOST_AUTO_TEST_CASE(a_drain_ticks_again_for_a_caller_whose_connection_was_dead) {
    open_pool p(2, {.preconnect = 1}, {}, {"10.0.0.1:7", "10.0.0.2:7"});
    auto& c = p.acquire();
    ice::pool_caller k;
    BOOST_TEST(!p.wait(k));
    BOOST_TEST(p.connecting.size() == 1u);
    p.release(c);
    BOOST_TEST(k.given == &c);
    p.core->drain(p.now);
    p.pass(1s);
    p.core->stale(c, p.now);
    BOOST_TEST(!p.wait(k));
    p.pass(250ms);
    BOOST_TEST(p.connecting.size() == 2u, "the first one takes long");
}

BOOST_AUTO_TEST_CASE(a_drain_connects_only_for_callers_that_wait) {
    owner p({.size = 8});
    p.start();
    p.connect();
    while (!p.connecting.empty()) p.refuse();
    p.acquire();
    ice::pool_caller a, b;
    BOOST_TEST(!p.wait(a));
    BOOST_TEST(!p.wait(b));
    p.core->drain(p.now);
    p.pass(1s);
    auto& back = p.connect();
    BOOST_TEST(a.given == &back);
    BOOST_TEST(p.connecting.size() == 1u);
}

// -- silence

BOOST_AUTO_TEST_CASE(a_reply_ends_the_silence_when_it_arrives) {
    open_pool p(1, {.pipeline = 100}, {.request = 5s});
    auto& c = p.acquire();
    p.core->shared(c);
    for (int i = 0; i < 6; ++i) p.core->joined(c, false);
    p.pass(4900ms);
    p.core->replied(c, false, p.now);
    p.pass(100ms);
    for (int i = 0; i < 5; ++i) p.core->timed_out(c, p.now);
    BOOST_TEST(c.at->breaker.is_closed());
}

BOOST_AUTO_TEST_CASE(a_lease_of_a_caller_that_thinks_is_no_silence) {
    open_pool p(2, {}, {.request = 2s});
    auto& lease = p.acquire();
    p.core->kept(lease, p.now);
    p.pass(10s);
    for (int i = 0; i < 5; ++i) {
        p.connect_all();
        auto& c = p.acquire();
        p.pass(1ms);
        p.release(c, false, ice::errc::request_timeout);
    }
    BOOST_TEST(lease.at->breaker.is_closed());
    p.release(lease, false, ice::errc::request_timeout);
    BOOST_TEST(lease.at->breaker.failures() == 1u, "it has waited for 10 s itself");
}

BOOST_AUTO_TEST_SUITE_END()
