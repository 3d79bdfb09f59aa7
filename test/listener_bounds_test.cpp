// listener: limits::connections_per_peer, in virtual time, where peers have any address.
#include <deque>
#include <ice/listener.hpp>
#include <stdexcept>
#include <utility>

#include "conversation.hpp"

using namespace test;

namespace {

// A transport on which connections arrive when the test says so.
class listening final : public memory_transport {
public:
    explicit listening(asio::io_context& io) : memory_transport(io), changed_(io.get_executor()) {}

    std::unique_ptr<ice::acceptor> listen(const ice::address&, std::optional<unsigned>) override {
        return std::make_unique<door>(*this);
    }

    // The next ready(), or the next accept(), throws.
    bool ready_throws = false, accept_throws = false;

    // Its end of the connection belongs to the listener: valid until the conversation ends.
    memory_channel& arrive_from(const char* host) {
        auto made = std::make_unique<memory_channel>(*this, ice::address(host, 1));
        memory_channel& seen = *made;
        arrived_.push_back(std::move(made));
        changed_.set();
        return seen;
    }

private:
    struct door final : ice::acceptor {
        explicit door(listening& n) : net(n) {}
        ice::task<ice::io_status> ready() override {
            if (std::exchange(net.ready_throws, false)) throw std::runtime_error("ready");
            net.changed_.clear();
            if (net.arrived_.empty() && !net.closed_) co_await net.changed_.wait();
            ice::io_status said;
            if (net.closed_) said = ice::errc::stopped;
            co_return said;
        }
        ice::result<std::unique_ptr<ice::channel>> accept() override {
            if (std::exchange(net.accept_throws, false)) throw std::runtime_error("accept");
            if (net.arrived_.empty()) return std::make_error_code(std::errc::operation_would_block);
            auto first = std::move(net.arrived_.front());
            net.arrived_.pop_front();
            return first;
        }
        void cancel() override {
            net.closed_ = true;
            net.changed_.set();
        }
        ice::address local() const override { return {"memory", 1}; }

        listening& net;
    };

    std::deque<std::unique_ptr<ice::channel>> arrived_;
    ice::event changed_;
    bool closed_ = false;
};

struct bounded {
    explicit bounded(std::size_t per_peer) {
        srv.log().to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
        ice::limits l;
        l.connections_per_peer = per_peer;
        open = &srv.add(ice::tcp_server_action{ice::address("memory", 1)}.limits(l));
        settle();
    }
    ~bounded() {
        srv.stop();
        settle();
    }
    bounded(const bounded&) = delete;
    bounded& operator=(const bounded&) = delete;

    memory_channel& arrive_from(const char* host) {
        memory_channel& c = net->arrive_from(host);
        settle();
        return c;
    }
    // Runs whatever is ready now, and what that makes ready.
    void settle() {
        do {
            if (loop.stopped()) loop.restart();
        } while (loop.poll() != 0);
    }

    asio::io_context loop;
    std::shared_ptr<listening> net = std::make_shared<listening>(loop);
    std::vector<std::string> log;
    ice::server srv{net};
    ice::listener<ice::raw>* open = nullptr;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(listener_bounds)

BOOST_AUTO_TEST_CASE(a_peer_has_as_many_connections_as_the_limit_and_no_more) {
    // Otherwise one host alone could take all connections of the server.
    for (const std::size_t limit : {0U, 1U, 3U}) {
        bounded w(limit);
        for (std::size_t n = 1; n <= limit + 1; ++n) {
            w.arrive_from("192.0.2.1");
            BOOST_TEST(w.open->size() == std::min(n, limit));
        }
        BOOST_TEST(w.open->counters().refused == 1U);
        BOOST_TEST(w.open->counters().accepted == limit + 1);
        BOOST_TEST(w.log.back().find(fmt::format(
                       "listener memory:1: {} connections of 192.0.2.1 are open, one more is "
                       "refused",
                       limit)) != std::string::npos,
                   w.log.back());
    }
}

BOOST_AUTO_TEST_CASE(a_peer_at_its_limit_does_not_affect_other_peers) {
    bounded w(1);
    w.arrive_from("192.0.2.1");
    w.arrive_from("192.0.2.1");
    w.arrive_from("192.0.2.2");
    w.arrive_from("2001:db8::1");
    w.arrive_from("2001:db8::2");
    BOOST_TEST(w.open->size() == 3U);
    BOOST_TEST(w.open->counters().refused == 2U);
}

BOOST_AUTO_TEST_CASE(a_connection_that_has_ended_makes_room_for_another) {
    // If ends were not counted, the limit would refuse a peer for ever.
    bounded w(2);
    w.arrive_from("192.0.2.1");
    for (int i = 0; i < 10; ++i) {
        auto& c = w.arrive_from("192.0.2.1");
        BOOST_TEST(w.open->size() == 2U);
        c.arrive_end();
        w.settle();
        BOOST_TEST(w.open->size() == 1U);
    }
    BOOST_TEST(w.open->counters().refused == 0U);
}

BOOST_AUTO_TEST_CASE(peers_on_this_host_and_unlimited_have_no_bound) {
    bounded local(1);
    for (int i = 0; i < 10; ++i) local.arrive_from("127.0.0.1");
    BOOST_TEST(local.open->size() == 10U);
    bounded any(ice::unlimited);
    for (int i = 0; i < 10; ++i) any.arrive_from("192.0.2.1");
    BOOST_TEST(any.open->size() == 10U);
}

BOOST_AUTO_TEST_CASE(no_exception_ends_accepting) {
    // The name of a network interface that no address may have ended it for good, in silence.
    bounded w(1);
    const auto goes_on = [&](const char* why) {
        const std::size_t before = w.open->size();
        w.arrive_from("127.0.0.1");
        w.net->advance(100ms);
        w.settle();
        BOOST_TEST(w.open->size() == before + 1, why);
    };
    w.net->accept_throws = true;
    goes_on("accept() threw");
    w.net->ready_throws = true;
    goes_on("ready() will throw next");
    goes_on("ready() threw");
    BOOST_TEST(w.open->counters().accept_errors == 2U);
    w.srv.log().to([](ice::log_level, std::string_view) { throw std::runtime_error("log"); });
    w.arrive_from("192.0.2.1");
    w.arrive_from("192.0.2.1");  // one more is refused, and the log throws
    goes_on("the log threw");
    BOOST_TEST(w.open->counters().refused == 1U);
    BOOST_TEST(w.open->counters().accept_errors == 2U);  // its line went to stderr: no error here
}

BOOST_AUTO_TEST_SUITE_END()
