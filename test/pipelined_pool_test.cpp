// Requests without a coroutine on shared connections: each ends once, however its connection ends.
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    struct request final : ice::pool<ice::line>::forwarded {
        explicit request(fixture& f) : owner(f) {}
        bool keep(std::string_view& text) override {
            kept = text;
            return takes;
        }
        void resume() override { ++resumed; }
        void resume_later(const asio::any_io_executor&) noexcept override { ++resumed_later; }

        fixture& owner;
        std::string kept;
        bool takes = true;
        int resumed = 0, resumed_later = 0;
    };

    ice::pool<ice::line>& add(std::size_t preconnected = 1) {
        return asking::add(1, {.request = 1s}, {.preconnect = preconnected, .pipeline = 8});
    }
    bool sends(ice::pool<ice::line>& p, request& r, std::string_view message) {
        return p.try_request(r, message, sim.now(), srv.transport());
    }
    std::unique_ptr<ice::channel> accept() {
        std::unique_ptr<ice::channel> got;
        const auto comes = [&] {
            if (auto one = listening->accept()) got = *std::move(one);
            return got != nullptr;
        };
        BOOST_REQUIRE(sim.run_until(comes, 10s));
        sim.run_for(1ms);
        return got;
    }
    void send(ice::channel& end, std::string_view text) {
        end.out() += text;
        end.try_flush();
        sim.run_for(1ms);
    }

    std::shared_ptr<ice::transport> host = sim.host("10.0.0.1");
    std::unique_ptr<ice::acceptor> listening = host->listen(far);
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pipelined_pool, fixture)

BOOST_AUTO_TEST_CASE(without_a_connection_nothing_is_sent_or_counted) {
    auto& p = add(0);
    request r(*this);
    BOOST_TEST(!sends(p, r, "a"));
    BOOST_TEST(r.is_over());
    BOOST_TEST(p.counters().requests == 0u);
}

BOOST_AUTO_TEST_CASE(each_request_keeps_its_own_reply_or_has_it_as_its_result) {
    auto& p = add();
    const auto end = accept();
    request a(*this), b(*this);
    b.takes = false;
    BOOST_TEST(sends(p, a, "a"));
    BOOST_TEST(sends(p, b, "b"));
    send(*end, "one\r\n");
    BOOST_TEST(a.resumed == 1);
    BOOST_TEST(a.kept == "one");
    a.succeeded();
    BOOST_TEST(b.resumed == 0);
    send(*end, "two\r\n");
    BOOST_TEST(b.resumed == 1);
    BOOST_TEST(**b.finish() == "two");
    BOOST_TEST(p.counters().replies == 2u);
    BOOST_TEST(p.idle() == 1u);
    BOOST_TEST(sends(p, a, "again"), "on the same entry");
    send(*end, "three\r\n");
    BOOST_TEST(a.kept == "three");
}

BOOST_AUTO_TEST_CASE(an_abandoned_request_takes_its_reply_with_it) {
    auto& p = add();
    const auto end = accept();
    std::optional<request> a(std::in_place, *this);
    request b(*this);
    BOOST_TEST(sends(p, *a, "a"));
    BOOST_TEST(sends(p, b, "b"));
    a.reset();
    send(*end, "one\r\ntwo\r\n");
    BOOST_TEST(b.kept == "two");
    b.succeeded();
    BOOST_TEST(p.counters().requests == 2u);
    BOOST_TEST(p.counters().replies == 1u);
    BOOST_TEST(p.counters().failures + p.counters().refused == 1u);
}

BOOST_AUTO_TEST_CASE(a_request_ends_late_or_with_its_connection) {
    auto& p = add();
    auto end = accept();
    request a(*this);
    BOOST_TEST(sends(p, a, "a"));
    sim.run_for(2s);
    BOOST_TEST(a.resumed + a.resumed_later == 1);
    BOOST_TEST((a.finish()->error() == ice::errc::request_timeout));
    end = accept();
    BOOST_TEST(sends(p, a, "a"));
    sim.run_for(1ms);
    end.reset();
    sim.run_for(1ms);
    BOOST_TEST(a.resumed_later == 1, "its owner may be in the middle of something");
    BOOST_TEST(a.finish()->failure().may_have_been_executed());
    BOOST_TEST(p.counters().requests == 2u);
    BOOST_TEST(p.counters().timeouts == 1u);
    BOOST_TEST(p.counters().failures == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
