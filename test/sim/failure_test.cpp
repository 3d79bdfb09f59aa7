// Each single operation of the network fails once, with each errno that a kernel returns. Requests
// in flight may fail, later ones must not.
#include <cerrno>
#include <ice/server.hpp>

#include "heap.hpp"
#include "scene.hpp"

namespace {

using namespace scene;

constexpr int errors[] = {ECONNRESET, EPIPE,  ETIMEDOUT,   ECONNREFUSED,
                          ENOBUFS,    EMFILE, ECONNABORTED};

// A visit that connects, greets, asks through the pool, and is pushed a note: what came of it.
std::string visit(gateway_scene& w, const char* text) {
    return w.sim.run(gateway_scene::visit(w, text), 10min);
}
bool is_right(const std::string& got, const char* reply) {
    return got.empty() || got == "sorry" || got == reply;
}

// How often an armed failure has struck, and a run as long as nothing fails any more.
struct io_status {
    std::size_t struck = 0, failed_visits = 0;
};

// The failure strikes in two visits, one of them on a connection of the pool that is used again.
// Then, in calm, the next must succeed, and nothing may be left.
bool visits(std::uint64_t n, int error, io_status& all) {
    const std::string when = fmt::format("operation {} fails with {}", n, error);
    gateway_scene w;
    w.sim.fail_operation(n, error);
    for (const char* id : {"1", "2"}) {
        const std::string got = visit(w, ("q" + std::string(id)).c_str());
        if (!is_right(got, ("a" + std::string(id)).c_str())) BOOST_ERROR(when << ": " << got);
        all.failed_visits += got != "a" + std::string(id);
    }
    const bool struck = w.sim.operations() > n;
    all.struck += struck;
    w.sim.fail_operation(~std::uint64_t{0}, 0);
    w.sim.run_for(2s);  // upstream_health lets nobody try for a moment
    const std::string next = visit(w, "q3");
    if (next != "a3") BOOST_ERROR(when << ": the next visit got '" << next << "'");
    w.sim.run_for(1s);
    w.check_counters(when);
    w.close(when);
    return struck;
}

// The same while the gateway drains: it ends in time, whatever fails.
bool drains(std::uint64_t n, int error, io_status& all) {
    const std::string when = fmt::format("operation {} fails with {} in a drain", n, error);
    gateway_scene w;
    std::optional<std::string> first, second;
    w.sim.fail_operation(n, error);
    const auto keep = [](gateway_scene& in, std::string text,
                         std::optional<std::string>& to) -> ice::task<> {
        to = co_await gateway_scene::visit(in, std::move(text));
    };
    w.sim.spawn(keep(w, "q1", first));
    w.sim.run_for(700us);
    w.sim.spawn(keep(w, "q2", second));  // still on its way, or in the backlog
    w.sim.run_for(100us);
    bool finished = false;
    w.srv->drain(20s);
    const auto watch = [&] { return first && second; };
    finished = w.sim.run_until(watch, 21s);
    if (!finished) BOOST_ERROR(when << ": a visit never ends");
    if (first && !is_right(*first, "a1")) BOOST_ERROR(when << ": " << *first);
    if (second && !is_right(*second, "a2")) BOOST_ERROR(when << ": " << *second);
    if (first) all.failed_visits += *first != "a1";
    const bool struck = w.sim.operations() > n;
    all.struck += struck;
    w.close(when);
    return struck;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(failure)

BOOST_AUTO_TEST_CASE(each_operation_of_the_network_may_fail_once) {
    // The danger: an unexpected error ends the listener, or makes the pool smaller for ever.
    for (const int error : errors) {
        io_status all;
        std::uint64_t n = 0;
        while (visits(n, error, all)) ++n;
        BOOST_TEST_MESSAGE("visits: errno " << error << " at each of " << n << " operations, "
                                            << all.failed_visits << " visits failed");
        BOOST_TEST(all.struck >= 15U);
        BOOST_TEST(all.failed_visits >= 5U);
    }
}

BOOST_AUTO_TEST_CASE(a_drain_ends_whichever_operation_fails) {
    for (const int error : errors) {
        io_status all;
        std::uint64_t n = 0;
        while (drains(n, error, all)) ++n;
        BOOST_TEST_MESSAGE("drain: errno " << error << " at each of " << n << " operations");
        BOOST_TEST(all.struck >= 10U);
    }
}

BOOST_AUTO_TEST_CASE(no_error_of_the_network_leaks_memory) {
    io_status all;
    visits(0, ECONNRESET, all);
    drains(0, ECONNRESET, all);
    const auto before = heap::in_use();
    for (const int error : errors) {
        for (std::uint64_t n = 0; visits(n, error, all); ++n) {}
        for (std::uint64_t n = 0; drains(n, error, all); ++n) {}
    }
    BOOST_TEST(heap::in_use() == before);
}

BOOST_AUTO_TEST_SUITE_END()
