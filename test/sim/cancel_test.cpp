// A request that is cancelled, or whose simulation ends, at each step: while it waits for a
// connection, connects, makes the handshake, sends, and waits for its reply.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <ice/fan_out.hpp>
#include <ice/pool.hpp>

#include "heap.hpp"
#include "scene.hpp"

namespace {

using namespace scene;

enum class manner { alone, pipelined, leased, side_by_side };
constexpr manner manners[] = {manner::alone, manner::pipelined, manner::leased,
                              manner::side_by_side};
constexpr const char* names[] = {"alone", "pipelined", "leased", "side by side"};

ice::pool_limits limits_of(manner m) {
    ice::pool_limits l;
    l.preconnect = 0;  // so that connecting and the handshake are part of the request
    if (m == manner::pipelined) l.pipeline = 4;
    return l;
}

// A caller, others beside it, and the result of its request.
struct caller {
    gateway_scene& w;
    manner how;
    std::shared_ptr<int> held = std::make_shared<int>();  // by each frame, to see it end
    asio::cancellation_signal leave{};
    std::string reply{};
    bool ended = false, beside_ended = false;
    std::string beside{};
};

ice::task<> ask(caller& c, std::shared_ptr<int>) {
    if (!c.w.p) co_return;  // the server is gone before it begins
    if (c.how == manner::side_by_side) {
        auto both = ice::all(c.w.srv->within(5s), c.w.p->request(std::string_view("q1"), 5s),
                             c.w.p->request(std::string_view("q4"), 5s));
        const auto got = co_await std::move(both);
        if (std::get<0>(got) && std::get<1>(got)) c.reply = *std::get<0>(got);
        co_return;
    }
    if (c.how != manner::leased) {
        const auto got = co_await c.w.p->request(std::string_view("q1"), 5s);
        if (got) c.reply = *got;
        co_return;
    }
    auto taken = co_await c.w.p->acquire(5s);
    if (!taken) co_return;
    taken->keep();
    for (const std::string_view text : {"q0", "q1"}) {
        const ice::error_code unsent = co_await (*taken)->send(text);
        if (unsent) co_return;
        const auto got = co_await (*taken)->receive();
        if (!got) co_return;
        c.reply = std::string(*got);
    }
}
// As one that lets itself be cancelled in any way.
ice::task<> ask_lightly(caller& c, std::shared_ptr<int> held) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await ask(c, std::move(held));
}
ice::task<> ask_beside(caller& c, std::shared_ptr<int>) {
    c.beside_ended = !c.w.p;
    if (c.beside_ended) co_return;
    const auto got = co_await c.w.p->request(std::string_view("q2"), 5s);
    if (got) c.beside = *got;
    c.beside_ended = true;
}

void start(caller& c, bool lightly) {
    c.w.sim.run_for(1ms);
    asio::co_spawn(
        c.w.srv->executor(), lightly ? ask_lightly(c, c.held) : ask(c, c.held),
        asio::bind_cancellation_slot(c.leave.slot(), [&c](std::exception_ptr) { c.ended = true; }));
    c.w.sim.spawn(ask_beside(c, c.held));
}

// How many steps an undisturbed pair of requests takes.
std::size_t steps_of(manner how, bool lightly) {
    gateway_scene w(limits_of(how));
    caller c{w, how};
    start(c, lightly);
    std::size_t steps = 0;
    for (; !c.ended || !c.beside_ended; ++steps) BOOST_REQUIRE(w.sim.advance());
    BOOST_TEST(c.reply == "a1");
    BOOST_TEST(c.beside == "a2");
    w.close("undisturbed");
    return steps;
}

// What must be true of the pool after a caller has gone at `step`; whether it got its reply.
bool leave_at(manner how, std::size_t step, asio::cancellation_type type, bool lightly) {
    const std::string when = fmt::format("{}, cancelled at step {} ({}{})", names[int(how)], step,
                                         unsigned(type), lightly ? ", lightly" : "");
    gateway_scene w(limits_of(how));
    caller c{w, how};
    start(c, lightly);
    for (std::size_t i = 0; i < step; ++i) w.sim.advance();
    c.leave.emit(type);
    const bool came = w.sim.run_until([&] { return c.ended && c.beside_ended; }, 20s);
    BOOST_REQUIRE_MESSAGE(came, when << ": a request never ends\n" << w.sim.history());
    if (c.held.use_count() != 1) BOOST_ERROR(when << ": its frame lives on");
    // The cancelled caller must not affect the others.
    if (c.beside != "a2") BOOST_ERROR(when << ": the other got '" << c.beside << "'");
    w.sim.run_for(6s);  // a late reply, a deadline
    w.check_counters(when);
    if (w.ask("q3") != "a3") BOOST_ERROR(when << ": the next request fails");
    w.check_counters(when);
    w.close(when);
    return c.reply == "a1";
}

enum class end { world, stop, server };

void end_at(manner how, std::size_t step, end what) {
    const std::string when =
        fmt::format("{}, ended ({}) at step {}", names[int(how)], int(what), step);
    std::weak_ptr<int> held;
    {
        auto w = std::make_unique<gateway_scene>(limits_of(how));
        auto c = std::make_unique<caller>(*w, how);
        held = c->held;
        start(*c, false);
        for (std::size_t i = 0; i < step; ++i) w->sim.advance();
        if (what == end::stop) {
            w->srv->stop();
        } else if (what == end::server) {
            w->srv.reset();
            w->p = nullptr;
        }
        if (what != end::world) {
            w->sim.run_until([&] { return c->ended && c->beside_ended; }, 1s);
            if (!c->ended || !c->beside_ended) BOOST_ERROR(when << ": a request goes on");
            if (what == end::stop) w->close(when);
        }
        w.reset();  // with the coroutines that still wait in it
        if (held.use_count() != 1) BOOST_ERROR(when << ": a frame outlives its world");
    }
    if (!held.expired()) BOOST_ERROR(when << ": something holds the caller");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cancel)

BOOST_AUTO_TEST_CASE(a_caller_may_be_cancelled_at_each_step) {
    // The danger: at one step the connection returns to the pool with a reply still to come.
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, false);
        BOOST_TEST_MESSAGE(names[int(how)] << ": " << steps << " steps");
        BOOST_TEST(steps > 20U);
        std::size_t replies = 0;
        for (std::size_t i = 0; i <= steps; ++i)
            replies += leave_at(how, i, asio::cancellation_type::terminal, false);
        BOOST_TEST(replies > 0U);     // some came too late to matter,
        BOOST_TEST(replies < steps);  // and some did not
    }
}

BOOST_AUTO_TEST_CASE(a_caller_that_enables_partial_and_total_cancellation_may_be_cancelled_so) {
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, true);
        for (const auto type : {asio::cancellation_type::partial, asio::cancellation_type::total}) {
            std::size_t replies = 0;
            for (std::size_t i = 0; i <= steps; ++i) replies += leave_at(how, i, type, true);
            BOOST_TEST(replies < steps);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_caller_that_does_not_enable_total_cancellation_is_not_affected_by_it) {
    // By default a coroutine of Asio accepts only terminal cancellation.
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, false);
        for (std::size_t i = 0; i <= steps; ++i)
            BOOST_TEST(leave_at(how, i, asio::cancellation_type::total, false));
    }
}

BOOST_AUTO_TEST_CASE(the_simulation_may_end_at_each_step) {
    // The danger: a coroutine that is destroyed uses an object that is gone.
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, false);
        for (std::size_t i = 0; i <= steps; ++i) end_at(how, i, end::world);
    }
}

BOOST_AUTO_TEST_CASE(the_server_may_stop_or_be_destroyed_at_each_step) {
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, false);
        for (std::size_t i = 0; i <= steps; ++i) {
            end_at(how, i, end::stop);
            end_at(how, i, end::server);
        }
    }
}

BOOST_AUTO_TEST_CASE(no_cancellation_leaks_memory) {
    for (const manner how : manners) {
        const std::size_t steps = steps_of(how, false);
        const auto left = heap::left_by([&] {
            for (std::size_t i = 0; i <= steps; ++i) {
                leave_at(how, i, asio::cancellation_type::terminal, false);
                end_at(how, i, end::world);
            }
        });
        BOOST_TEST(left == 0U);
    }
}

BOOST_AUTO_TEST_SUITE_END()
