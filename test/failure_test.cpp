// failure: its text and its kind, and the failure that a pool returns in each case.
#include <ice/failure.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using ice::failure_kind;

std::string text(ice::error_code code, ice::error_code cause = {}, bool sent = true) {
    return fmt::format("{}", ice::failure(code, cause, sent, "timeserver", "127.0.0.1:10000"));
}

// A protocol whose handshake refuses each upstream.
struct refusing : ice::line {
    ice::task<ice::error_code> handshake(ice::session<refusing>&) {
        co_return std::make_error_code(std::errc::permission_denied);
    }
};

// An upstream that answers with what it is asked; or not; or is not there.
struct fixture : asking {
    void listen() {
        serve([](std::string_view m, ice::session<ice::line>& peer) -> ice::task<std::string> {
            if (m == "slow") co_await peer.sleep(1min);
            if (m == "closed") throw std::runtime_error("closed");
            co_return std::string(m);
        });
    }
    std::string told(const slot& s) {
        end(s);
        BOOST_TEST_REQUIRE(!s->has_value());
        return fmt::format("{}", s->failure());
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(failure)

BOOST_AUTO_TEST_CASE(the_text_of_a_failure_names_the_pool_and_the_upstream) {
    // In a log with ten pools "connection refused" does not say which one.
    const auto refused = ice::connect_error(std::make_error_code(std::errc::connection_refused));
    BOOST_TEST(text(refused) ==
               "pool 'timeserver' of 127.0.0.1:10000: cannot connect: Connection refused (not "
               "executed)");
    BOOST_TEST(text(errc::request_timeout) ==
               "pool 'timeserver' of 127.0.0.1:10000: no reply in time (may have been executed)");
    BOOST_TEST(text(errc::pool_full, refused) ==
               "pool 'timeserver' of 127.0.0.1:10000: too many callers wait for a connection of "
               "the pool; of the upstream: cannot connect: Connection refused (not executed)");
    BOOST_TEST(text(refused, refused) == text(refused), "nothing is said twice");
    const auto unparsed = [](ice::error_code code, ice::error_code cause = {}) {
        return fmt::format("{}", ice::failure(code, cause, true, "p", "u:1", 5));
    };
    BOOST_TEST(unparsed(errc::request_timeout, refused) ==
               "pool 'p' of u:1: no reply in time; 5 bytes received are no whole message; of the "
               "upstream: cannot connect: Connection refused (may have been executed)");
    BOOST_TEST(unparsed(errc::bad_message).find("received") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_unsent_request_was_not_executed_whatever_its_error) {
    // A payment that is not sent again is lost; one that is sent twice is worse.
    BOOST_TEST(text(errc::stopped, {}, false).ends_with("(not executed)"));
    BOOST_TEST(text(errc::stopped, {}, true).ends_with("(may have been executed)"));
    BOOST_TEST(text(errc::unencodable, {}, true).ends_with("(not executed)"));
}

BOOST_AUTO_TEST_CASE(each_error_has_one_kind) {
    const auto kind = [](errc e) { return ice::kind_of(e); };
    BOOST_TEST((kind(errc::acquire_timeout) == failure_kind::wait));
    BOOST_TEST((kind(errc::host_not_found) == failure_kind::connect));
    BOOST_TEST((kind(errc::name_resolution_failed) == failure_kind::connect));
    BOOST_TEST((kind(errc::request_timeout) == failure_kind::timeout));
    BOOST_TEST((kind(errc::closed) == failure_kind::closed));
    BOOST_TEST((kind(errc::truncated) == failure_kind::truncated));
    BOOST_TEST((kind(errc::bad_message) == failure_kind::bad_reply));
    BOOST_TEST((kind(errc::unencodable) == failure_kind::bad_request));
    BOOST_TEST((kind(errc::draining) == failure_kind::ended));
    BOOST_TEST((ice::kind_of(asio::error::operation_aborted) == failure_kind::ended));
    BOOST_TEST((ice::kind_of(asio::error::connection_reset) == failure_kind::closed));
    BOOST_TEST((ice::kind_of(ice::connect_error(asio::error::connection_refused)) ==
                failure_kind::connect));
    BOOST_TEST((ice::kind_of(std::make_error_code(std::errc::invalid_argument)) ==
                failure_kind::bad_reply),
               "a logic of replies may say what it likes");
}

// -- what a pool says

BOOST_FIXTURE_TEST_CASE(a_refused_connect_is_named_in_the_failure, fixture) {
    add(1);
    BOOST_TEST(told(begin("anyone")) ==
               "pool 'far' of 10.0.0.1:7: cannot connect: Connection refused (not executed)");
}

BOOST_FIXTURE_TEST_CASE(the_cause_of_a_failed_handshake_is_in_the_failure, fixture) {
    // "The handshake failed" alone does not tell a wrong password from a wrong version.
    listen();
    auto& p = srv.add(ice::tcp_client_action(far, "refused", 1, refusing()));
    const auto reply = sim.run(p.request("hello"));
    BOOST_TEST_REQUIRE(!reply.has_value());
    BOOST_TEST(reply.error() == errc::handshake_failed);
    BOOST_TEST((reply.failure().cause() == std::errc::permission_denied));
    BOOST_TEST(reply.failure().text() ==
               "pool 'refused' of 10.0.0.1:7: handshake refused; of the upstream: Permission "
               "denied (not executed)");
}

BOOST_FIXTURE_TEST_CASE(acquire_timeout_comes_with_the_cause_of_the_missing_connection, fixture) {
    // "No connection came free" sends people to look for a pool that is too small.
    listen();
    auto& p = add(1, {.acquire = 100ms});
    auto& busy = begin("slow", 1min);
    BOOST_TEST(told(begin("hello")) ==
               "pool 'far' of 10.0.0.1:7: no connection of the pool came free in time (not "
               "executed)");
    up.stop();
    BOOST_TEST(told(busy).find("may have been executed") != std::string::npos, told(busy));
    sim.run_for(1min);
    BOOST_TEST(told(begin("hello")).ends_with("cannot connect: Connection refused (not executed)"));
    BOOST_TEST(p.counters().refused == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_connection_closed_before_the_reply_is_counted_as_closed, fixture) {
    listen();
    auto& p = add(1);
    BOOST_TEST(told(begin("closed")) ==
               "pool 'far' of 10.0.0.1:7: closed by the peer (may have been executed)");
    BOOST_TEST(p.counters().failures == 1U);
    BOOST_TEST(p.counters().closed == 1U);
    BOOST_TEST(p.counters().truncated == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_waited_when_the_pool_stopped_was_not_executed, fixture) {
    listen();
    auto& p = add(1);
    auto &sent = begin("slow"), &waiting = begin("hello");
    p.stop();
    BOOST_TEST(
        told(sent).find("stopped by this side (may have been executed)") != std::string::npos,
        told(sent));
    BOOST_TEST(told(waiting).find("stopped by this side (not executed)") != std::string::npos,
               told(waiting));
    BOOST_TEST(told(begin("late")).find("stopped by this side (not executed)") !=
               std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_failure_outlives_its_pool, fixture) {
    // A caller may print a failure at any later time.
    const slot* told_later = nullptr;
    {
        quiet_server gone(sim.net());
        told_later = &begin(gone.add(ice::tcp_client_action{far, name, 1}), "anyone");
        sim.run_for(1s);
    }
    sim.run_for(1s);
    BOOST_TEST(told(*told_later).find("pool 'far' of 10.0.0.1:7: ") == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_lease_without_a_connection_has_a_failure, fixture) {
    auto& p = add(1);
    auto borrow = [&]() -> ice::task<std::string> {
        const auto lease = co_await p.acquire();
        co_return lease ? std::string() : fmt::format("{}", lease.failure());
    };
    BOOST_TEST(sim.run(borrow()).find("Connection refused (not executed)") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
