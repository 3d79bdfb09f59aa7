// Each single allocation fails once: of the loop's, the servers', the pool's, the peer's. It may
// end a connection or a request; never the process, and what comes after is as if nothing had been.
#include <ice/server.hpp>

#include "../until_cancelled.hpp"
#include "failing.hpp"
#include "scene.hpp"

namespace {

using namespace failing;
using namespace scene;

std::string visit(gateway_scene& w, const char* text) {
    std::shared_ptr<std::optional<std::string>> got;
    const auto keep = [](gateway_scene& in, std::string t,
                         std::shared_ptr<std::optional<std::string>> to) -> ice::task<> {
        try {
            auto s = co_await gateway_scene::visit(in, std::move(t));
            *to = std::move(s);
        } catch (const std::bad_alloc&) { *to = ""; }
    };
    try {
        got = std::make_shared<std::optional<std::string>>();
        w.sim.spawn(keep(w, text, got));
    } catch (const std::bad_alloc&) { return ""; }
    in_spite_of_it([&] { w.sim.run_until([&] { return got->has_value(); }, 10min); });
    return got->value_or("it never ends");
}

// Two requests side by side.
ice::task<> ask_both(gateway_scene& w, std::shared_ptr<std::string> to) {
    try {
        auto both = ice::all(w.srv->within(5s), w.p->request(std::string_view("q1"), 5s),
                             w.p->request(std::string_view("q2"), 5s));
        const auto got = co_await std::move(both);
        *to = std::get<0>(got).value_or("sorry") + std::get<1>(got).value_or("sorry");
    } catch (const std::bad_alloc&) { *to = "sorry"; }
}

// As strikes() below. What has begun when memory runs out must end before its caller.
bool strikes_side_by_side(std::uint64_t n) {
    const std::string when = fmt::format("allocation {} of two requests fails", n);
    gateway_scene w;
    w.sim.run_for(100ms);
    auto got = std::make_shared<std::string>();
    heap::fail(n, may_fail);
    try {
        w.sim.spawn(ask_both(w, got));
    } catch (const std::bad_alloc&) { *got = "sorry"; }
    in_spite_of_it([&] { w.sim.run_until([&] { return !got->empty(); }, 10min); });
    const bool struck = !heap::waits_to_fail();
    heap::fail_no_more();
    if (*got != "a1a2" && got->find("sorry") == got->npos) BOOST_ERROR(when << ": " << *got);
    if (got.use_count() != 1) BOOST_ERROR(when << ": its frame lives on");
    if (!struck && *got != "a1a2") BOOST_ERROR(when << ": without a failure: " << *got);
    w.sim.run_for(6s);
    if (w.ask("q3") != "a3") BOOST_ERROR(when << ": the next request fails");
    w.check_counters(when);
    w.close(when);
    return struck;
}

// The first one waits until it is cancelled.
ice::task<> race(gateway_scene& w, std::shared_ptr<std::string> to) {
    const auto waits = []() -> ice::task<std::string> {
        co_await test::until_cancelled();
        co_return "late";
    };
    const auto wins = []() -> ice::task<std::string> { co_return "won"; };
    try {
        auto both = ice::first_of(w.srv->within(2h), waits(), wins());
        const auto got = co_await std::move(both);
        *to = got.value_or("none");
    } catch (const std::bad_alloc&) { *to = "no memory"; }
}

bool strikes_in_race(std::uint64_t n) {
    const std::string when = fmt::format("allocation {} of a race fails", n);
    gateway_scene w;
    w.sim.run_for(100ms);
    const auto begin = w.sim.now();
    auto got = std::make_shared<std::string>();
    heap::fail(n, may_fail);
    try {
        w.sim.spawn(race(w, got));
    } catch (const std::bad_alloc&) { *got = "no memory"; }
    in_spite_of_it([&] { w.sim.run_until([&] { return !got->empty(); }, 10h); });
    const bool struck = !heap::waits_to_fail();
    heap::fail_no_more();
    if (*got != "won" && *got != "no memory") BOOST_ERROR(when << ": " << *got);
    if (w.sim.now() - begin > 1min) BOOST_ERROR(when << ": the first one was not cancelled");
    w.close(when);
    return struck;
}

bool is_right(const std::string& got, const char* reply) {
    return got.empty() || got == "sorry" || got == reply;
}

// Strikes at the n-th allocation from the first visit on; false when so many are never made. In the
// end all must be as if nothing had been: the next visit succeeds, or the drain ends.
bool strikes(std::uint64_t n, std::size_t depth, bool drains) {
    const std::string when =
        fmt::format("allocation {} fails{}{}", n, depth > 1 ? ", pipelined" : "",
                    drains ? ", with a drain" : "");
    ice::pool_limits l;
    l.preconnect = 0;  // so that connecting and the handshake are a part of it
    l.pipeline = depth;
    gateway_scene w(l);
    w.sim.run_for(100ms);
    heap::fail(n, may_fail);
    const std::string first = visit(w, "q1");
    if (!is_right(first, "a1")) BOOST_ERROR(when << ": " << first);
    const auto begin = w.sim.now();
    if (drains) in_spite_of_it([&] { w.srv->drain(5s); });
    const std::string second = visit(w, "q2");
    if (!is_right(second, "a2")) BOOST_ERROR(when << ": " << second);
    const bool struck = !heap::waits_to_fail();
    heap::fail_no_more();
    run_for(w.sim, begin + 6s - w.sim.now());
    if (!drains) {
        const std::string next = visit(w, "q3");
        if (next != "a3") BOOST_ERROR(when << ": the next visit got '" << next << "'");
        w.sim.run_for(1s);
        w.check_counters(when);
    }
    w.close(when);
    return struck;
}

void strike_everywhere() {
    for (const bool drains : {false, true}) {
        for (const std::size_t depth : {std::size_t{1}, std::size_t{4}}) {
            std::uint64_t n = 0;
            while (strikes(n, depth, drains)) ++n;
            BOOST_TEST(n > 100U);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory)

BOOST_AUTO_TEST_CASE(each_allocation_may_fail_once) {
    // The danger: the listener stops accepting, or the pool counts a connection for ever, and a
    // process that seems to work serves no peer.
    BOOST_TEST(heap::left_by(strike_everywhere) == 0U);
    BOOST_TEST_MESSAGE(heap::failures << " failed, " << heap::spared << " spared; " << came_out
                                      << " came out of the loop");
    for (std::size_t m = 0; m < std::size(marks); ++m)
        BOOST_TEST_MESSAGE(decided[m] << " times " << marks[m].name);
    BOOST_TEST(heap::failures > heap::spared);
}

BOOST_AUTO_TEST_CASE(each_allocation_of_requests_side_by_side_may_fail_once) {
    const auto left = heap::left_by([] {
        std::uint64_t n = 0;
        while (strikes_side_by_side(n)) ++n;
        BOOST_TEST(n > 20U);
        n = 0;
        while (strikes_in_race(n)) ++n;
        BOOST_TEST(n > 10U);
    });
    BOOST_TEST(left == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
