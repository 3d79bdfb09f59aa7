// asking: what tests of a pool share: in virtual time, an upstream that does what the test says, a
// pool of it, and callers whose replies are kept. Both servers' logs are quiet.
#pragma once

#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "printing.hpp"

struct asking {
    using reply = ice::pool_result<std::string>;
    static inline const ice::address far{"10.0.0.1", 7};
    static constexpr ice::pool_name<ice::line> name{"far"};

    struct quiet_server : ice::server {
        explicit quiet_server(const std::shared_ptr<ice::transport>& net) : ice::server(net) {
            log().to([](ice::log_level, std::string_view) {});
        }
    };

    // The upstream answers with logic(message, session), a task<std::string>.
    template <class L>
    ice::listener<ice::line>& serve(L logic) {
        return up.add(ice::tcp_server_action{far}.protocol(ice::line{}).logic(std::move(logic)));
    }
    // A pool that has opened its connections.
    ice::pool<ice::line>& add(std::size_t size, ice::pool_timeouts t = {}, ice::pool_limits l = {},
                              ice::breaker_limits b = {}) {
        auto action = ice::tcp_client_action{far, name, size};
        auto& p = srv.add(std::move(action).timeouts(t).limits(l).breaker(b));
        sim.run_for(std::chrono::milliseconds(1));
        return p;
    }

    // A caller, and where its reply will be.
    std::optional<reply>& begin(std::string what = "hello",
                                ice::duration patience = std::chrono::seconds(5)) {
        auto& slot = replies.emplace_back();
        sim.spawn(keep(srv.get(name), std::move(what), patience, slot));
        sim.run_for(std::chrono::microseconds(1));
        return slot;
    }
    // Which comes in time; its error, if it is one.
    ice::error_code end(std::optional<reply>& slot) {
        BOOST_TEST_REQUIRE(sim.run_until([&] { return slot.has_value(); }, std::chrono::hours(1)));
        return slot->error();
    }
    ice::error_code ask(std::string what = "hello",
                        ice::duration patience = std::chrono::seconds(5)) {
        return end(begin(std::move(what), patience));
    }

    ice::testing::simulation sim;
    quiet_server up{sim.host("10.0.0.1")}, srv{sim.net()};
    std::list<std::optional<reply>> replies;

private:
    static ice::task<> keep(ice::pool<ice::line>& p, std::string what, ice::duration patience,
                            std::optional<reply>& slot) {
        auto got = co_await p.request(std::move(what), patience);
        slot.emplace(std::move(got));
    }
};
