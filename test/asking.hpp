// asking: the fixture of tests of a pool, in virtual time: an upstream with the logic of the test,
// a pool, and callers whose replies it keeps. Both servers are quiet.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "printing.hpp"
#include "quiet_server.hpp"

struct asking {
    using slot = std::optional<ice::pool_result<std::string>>;
    static inline const ice::address far{"10.0.0.1", 7};
    static constexpr ice::pool_name<ice::line> name{"far"};

    // The upstream answers with logic(message, session), a task<std::string>; or as an echo.
    template <class L = ice::echo>
    ice::listener<ice::line>& serve(L logic = {}) {
        return up.add(ice::tcp_server_action{far}.protocol(ice::line{}).logic(std::move(logic)));
    }
    // The upstream is an echo that takes so long for each message; the test may change `work`.
    void serve_slowly(ice::duration takes) {
        work = takes;
        serve([this](std::string_view m, ice::session<ice::line>& peer) -> ice::task<std::string> {
            co_await peer.sleep(work);
            co_return std::string(m);
        });
    }
    // A pool that has opened its connections.
    template <class Action>
    auto& open(Action&& action) {
        auto& p = srv.add(std::forward<Action>(action));
        sim.run_for(std::chrono::milliseconds(1));
        return p;
    }
    ice::pool<ice::line>& add(std::size_t size, ice::pool_timeouts t = {}, ice::pool_limits l = {},
                              ice::breaker_limits b = {}) {
        return open(ice::tcp_client_action{far, name, size}.timeouts(t).limits(l).breaker(b));
    }

    // Begins a request, and returns where its reply will be. Without `timeout` it has that of the
    // pool.
    slot& begin(std::string what = "hello", ice::duration timeout = {}) {
        return begin(srv.get(name), std::move(what), timeout);
    }
    slot& begin(ice::pool<ice::line>& p, std::string what, ice::duration timeout = {}) {
        auto& made = replies.emplace_back();
        sim.spawn(keep(p, std::move(what), timeout, made));
        sim.run_for(std::chrono::microseconds(1));
        return made;
    }
    // Waits for a reply, which must come within an hour. Returns its error, if it is one.
    ice::error_code end(const slot& s) {
        BOOST_TEST_REQUIRE(sim.run_until([&] { return s.has_value(); }, std::chrono::hours(1)));
        return s->error();
    }
    ice::error_code ask(std::string what = "hello", ice::duration timeout = {}) {
        return end(begin(std::move(what), timeout));
    }
    // The next request is lost with its connection, before a byte of it is sent.
    void lose_next_request() {
        sim.run_for(std::chrono::milliseconds(1));  // or the operation is one of connecting
        sim.fail_operation(sim.operations(), EPIPE);
    }

    ice::duration work{};
    ice::testing::simulation sim;
    quiet_server up{sim.host("10.0.0.1")}, srv{sim.net()};
    std::list<slot> replies;

private:
    static ice::task<> keep(ice::pool<ice::line>& p, std::string what, ice::duration timeout,
                            slot& to) {
        if (timeout == ice::duration::zero()) {
            auto got = co_await p.request(std::move(what));
            to.emplace(std::move(got));
        } else {
            auto got = co_await p.request(std::move(what), timeout);
            to.emplace(std::move(got));
        }
    }
};
