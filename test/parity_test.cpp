// parity: what a connection promises holds on each transport alike: real sockets, the simulation,
// and one that stands on sockets. Each case here runs on all. Where they differ, the sockets are
// right.
#include <poll.h>
#include <sys/socket.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <boost/test/data/test_case.hpp>
#include <functional>
#include <ice/testing/sim.hpp>

#include "masked_transport.hpp"
#include "world.hpp"

using namespace test;
using ice::channel;
using ice::errc;
using ice::error_code;

namespace {

const auto all = boost::unit_test::data::make({"sockets", "simulated", "masked"});

// A coroutine that runs beside the test, and may be cancelled by Asio's own means.
struct operation {
    std::optional<error_code> ended;
    asio::cancellation_signal leave;
};

struct ends {
    std::unique_ptr<channel> near;  // has connected
    std::unique_ptr<channel> far;   // was accepted
};

class place {
public:
    virtual ~place() = default;
    virtual const std::shared_ptr<ice::transport>& net() = 0;
    virtual void until(const std::function<bool()>& done) = 0;
    // Lets everything happen that is in flight.
    virtual void pass() = 0;
    virtual void wait_for_reset(channel&) = 0;  // and take no notice of it
    virtual void half_close(channel&) = 0;
    virtual void reset(std::unique_ptr<channel>) = 0;

    template <class T>
    T run(ice::task<T> work) {
        std::optional<T> made;
        asio::co_spawn(net()->executor(), keep(std::move(work), made),
                       [](const std::exception_ptr& e) { BOOST_TEST(!e); });
        until([&] { return made.has_value(); });
        return *std::move(made);
    }
    // It ends before the test does: a channel must not die while something waits in it.
    std::shared_ptr<operation> start(ice::task<ice::io_status> work) {
        auto o = std::make_shared<operation>();
        asio::co_spawn(net()->executor(), std::move(work),
                       asio::bind_cancellation_slot(
                           o->leave.slot(), [o](const std::exception_ptr&,
                                                const ice::io_status& ec) { o->ended = ec; }));
        pass();
        return o;
    }
    error_code end_of(const std::shared_ptr<operation>& o) {
        until([&] { return o->ended.has_value(); });
        return *o->ended;
    }

    error_code fill(channel& c) { return run(c.fill()); }
    error_code flush(channel& c) { return run(c.flush(10s, ice::never, errc::stopped)); }

    ice::result<std::unique_ptr<channel>> connect(const ice::address& to) {
        return run(net()->connect(to, net()->now() + 5s));
    }
    std::unique_ptr<channel> accept(ice::acceptor& from) {
        const error_code ec = run(from.ready());
        BOOST_TEST(!ec);
        return from.accept().value();
    }
    ends pair() {
        const auto door = net()->listen(any_port);
        auto near = connect(door->local()).value();
        return {std::move(near), accept(*door)};
    }
    void arrive(ends& e, std::string_view text) {
        const std::size_t before = e.far->data().size();
        e.near->out() += text;
        BOOST_TEST(!flush(*e.near));
        while (e.far->data().size() < before + text.size()) BOOST_TEST_REQUIRE(!fill(*e.far));
    }
    void wait_for_news(channel& c) {
        until([&] { return !c.has_no_input(); });
    }
    // As much as neither end's kernel takes.
    void stuff(channel& c) {
        c.out().append(16 * 1024 * 1024, 'x');
        BOOST_TEST(!c.try_flush());
    }

private:
    template <class T>
    static ice::task<> keep(ice::task<T> work, std::optional<T>& made) {
        made.emplace(co_await std::move(work));
    }
};

class on_loopback : public place {
public:
    explicit on_loopback(std::shared_ptr<ice::transport> make(const asio::any_io_executor&))
        : net_(make(w_.io.get_executor())) {}
    const std::shared_ptr<ice::transport>& net() override { return net_; }
    void until(const std::function<bool()>& done) override { w_.until(done); }
    void pass() override { w_.settle(); }
    void wait_for_reset(channel& c) override {
        pollfd p{.fd = descriptor(c), .events = 0, .revents = 0};
        BOOST_TEST(::poll(&p, 1, 10'000) == 1);
    }
    void half_close(channel& c) override { ::shutdown(descriptor(c), SHUT_WR); }
    void reset(std::unique_ptr<channel> c) override {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(descriptor(*c), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

private:
    static int descriptor(channel& c) {
        return dynamic_cast<ice::socket_channel&>(c).native().native_handle();
    }
    world w_;
    std::shared_ptr<ice::transport> net_;
};

template <class Transport>
std::shared_ptr<ice::transport> made(const asio::any_io_executor& executor) {
    return std::make_shared<Transport>(executor);
}

class sockets final : public on_loopback {
public:
    sockets() : on_loopback(made<ice::socket_transport>) {}
};

class masked final : public on_loopback {
public:
    masked() : on_loopback(made<masked_transport>) {}
};

class simulated final : public place {
public:
    const std::shared_ptr<ice::transport>& net() override { return sim_.net(); }
    void until(const std::function<bool()>& done) override {
        BOOST_TEST_REQUIRE(sim_.run_until(done, 10s));
    }
    void pass() override { sim_.run_for(2ms); }
    void wait_for_reset(channel&) override { pass(); }
    void half_close(channel& c) override { ice::testing::simulation::half_close(c); }
    void reset(std::unique_ptr<channel> c) override { ice::testing::simulation::reset(*c); }

private:
    ice::testing::simulation sim_;
};

std::unique_ptr<place> make(std::string_view kind) {
    if (kind == "sockets") return std::make_unique<sockets>();
    if (kind == "masked") return std::make_unique<masked>();
    return std::make_unique<simulated>();
}

const error_code reset = asio::error::connection_reset;
const error_code broken_pipe = asio::error::broken_pipe;

ice::task<ice::io_status> sleep(std::shared_ptr<ice::transport> net, ice::duration span) {
    try {
        co_await net->sleep(span);
    } catch (const std::system_error& e) { co_return e.code(); }
    co_return ice::io_status();
}
ice::task<ice::io_status> close_gracefully(channel& c, ice::duration timeout) {
    co_await c.linger(timeout);
    co_return ice::io_status();
}
// Reads `n` bytes and forgets them.
ice::task<ice::io_status> read(channel& c, std::size_t n) {
    for (;;) {
        const std::size_t got = std::min(n, c.data().size());
        c.consume(got);
        n -= got;
        if (n == 0) co_return ice::io_status();
        const error_code ec = co_await c.fill();
        if (ec) co_return ec;
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parity)

// -- bytes

BOOST_DATA_TEST_CASE(bytes_arrive_in_order, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->arrive(e, "one ");
    w->arrive(e, "two");
    BOOST_TEST(e.far->data() == "one two");
}

BOOST_DATA_TEST_CASE(both_ends_send, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->arrive(e, "question");
    e.far->out() = "answer";
    BOOST_TEST(e.far->try_flush());
    BOOST_TEST(!w->fill(*e.near));
    BOOST_TEST(e.near->data() == "answer");
}

BOOST_DATA_TEST_CASE(sending_nothing_sends_nothing, all) {
    const auto w = make(sample);
    auto e = w->pair();
    BOOST_TEST(e.near->try_flush());
    BOOST_TEST(!w->flush(*e.near));
    w->pass();
    BOOST_TEST(e.far->has_no_input());
    BOOST_TEST(e.near->sent() == 0u);
}

BOOST_DATA_TEST_CASE(one_read_returns_at_most_its_limit, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far->read_at_most(10);
    e.near->out().assign(25, 'x');
    BOOST_TEST(e.near->try_flush());
    w->pass();
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data().size() == 10u);
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data().size() == 20u);
}

// Danger: a pool leases a connection whose reply lies between the kernel and data().
BOOST_DATA_TEST_CASE(bytes_that_a_read_left_over_count_as_input, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far->read_at_most(10);
    e.near->out().assign(15, 'x');
    BOOST_TEST(e.near->try_flush());
    w->pass();
    BOOST_TEST(!w->fill(*e.far));
    e.far->consume(10);
    BOOST_TEST(!e.far->has_no_input());
    BOOST_TEST(!w->fill(*e.far));
    e.far->consume(5);
    BOOST_TEST(e.far->has_no_input());
}

BOOST_DATA_TEST_CASE(one_read_without_waiting_returns_what_has_arrived, all) {
    const auto w = make(sample);
    auto e = w->pair();
    BOOST_TEST(!e.far->read_arrived());
    e.near->out() = "options";
    BOOST_TEST(e.near->try_flush());
    w->wait_for_news(*e.far);
    BOOST_TEST(e.far->read_arrived());
    BOOST_TEST(e.far->data() == "options");
    BOOST_TEST(!e.far->read_arrived());
    e.far->consume(7);
    BOOST_TEST(e.far->has_no_input());
    e.near.reset();
    w->wait_for_news(*e.far);
    BOOST_TEST(!e.far->read_arrived());
}

BOOST_DATA_TEST_CASE(pushes_are_sent_after_the_running_handler, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "pushed";
    e.near->flush_soon();
    BOOST_TEST(e.near->sent() == 0u);
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data() == "pushed");
}

BOOST_DATA_TEST_CASE(bytes_count_as_sent_when_the_kernel_has_them, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "12345";
    BOOST_TEST(e.near->unsent() == 5u);
    BOOST_TEST(e.near->try_flush());
    BOOST_TEST(e.near->unsent() == 0u);
    BOOST_TEST(e.near->sent() == 5u);
}

// -- a peer that does not read

BOOST_DATA_TEST_CASE(a_full_window_stops_the_writer, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    w->pass();
    BOOST_TEST(e.near->unsent() > 0u);
    BOOST_TEST(e.near->unsent() + e.near->sent() == 16u * 1024 * 1024);
    BOOST_TEST(!e.near->cancelled());
}

BOOST_DATA_TEST_CASE(a_reader_lets_the_writer_continue, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto flushed = w->start(e.near->flush(10s, ice::never, errc::stopped));
    BOOST_TEST(!flushed->ended);
    BOOST_TEST(!w->run(read(*e.far, 16 * 1024 * 1024)));
    BOOST_TEST(!w->end_of(flushed));
    BOOST_TEST(e.near->unsent() == 0u);
    BOOST_TEST(e.near->sent() == 16u * 1024 * 1024);
}

BOOST_DATA_TEST_CASE(bytes_added_during_a_flush_follow_the_others, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    e.near->out() += "tail";
    BOOST_TEST(!e.near->try_flush());
    BOOST_TEST(!w->run(read(*e.far, 16 * 1024 * 1024)));
    while (e.far->data().size() < 4) BOOST_TEST_REQUIRE(!w->fill(*e.far));
    BOOST_TEST(e.far->data() == "tail");
}

BOOST_DATA_TEST_CASE(a_write_to_a_peer_that_never_reads_ends_by_its_timeout, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto flushed = w->start(e.near->flush(20ms, ice::never, errc::stopped));
    BOOST_TEST(w->end_of(flushed) == errc::write_timeout);
    BOOST_TEST(e.near->cancelled() == errc::write_timeout);
}

BOOST_DATA_TEST_CASE(a_write_ends_at_its_latest_instant, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto at = w->net()->now() + 20ms;
    const auto flushed = w->start(e.near->flush(10s, at, errc::request_timeout));
    BOOST_TEST(w->end_of(flushed) == errc::request_timeout);
    BOOST_TEST((w->net()->now() >= at));
}

// -- the end of the stream

BOOST_DATA_TEST_CASE(the_end_of_the_stream_is_errc_closed, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near.reset();
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    BOOST_TEST(!e.far->cancelled());
}

BOOST_DATA_TEST_CASE(the_end_of_the_stream_is_reported_each_time, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near.reset();
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
}

BOOST_DATA_TEST_CASE(the_end_of_the_stream_behind_unconsumed_bytes_is_errc_truncated, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->arrive(e, "half a mess");
    e.near.reset();
    BOOST_TEST(w->fill(*e.far) == errc::truncated);
    BOOST_TEST(e.far->data() == "half a mess");
}

BOOST_DATA_TEST_CASE(sent_bytes_arrive_before_the_end_of_the_stream, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "last words";
    BOOST_TEST(e.near->try_flush());
    e.near.reset();
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data() == "last words");
    e.far->consume(10);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
}

BOOST_DATA_TEST_CASE(a_waiting_reader_gets_the_end_of_the_stream, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto waits = w->start(e.far->fill());
    BOOST_TEST(!waits->ended);
    e.near.reset();
    BOOST_TEST(w->end_of(waits) == errc::closed);
}

BOOST_DATA_TEST_CASE(one_direction_ends_and_the_other_continues, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->half_close(*e.near);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    e.far->out() = "still here";
    BOOST_TEST(e.far->try_flush());
    BOOST_TEST(!w->fill(*e.near));
    BOOST_TEST(e.near->data() == "still here");
    e.near->consume(10);
    e.far.reset();
    BOOST_TEST(w->fill(*e.near) == errc::closed);
}

BOOST_DATA_TEST_CASE(after_half_close_a_write_is_a_broken_pipe, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->half_close(*e.near);
    e.near->out() = "one more thing";
    BOOST_TEST(!e.near->try_flush());
    BOOST_TEST(e.near->cancelled() == broken_pipe);
    BOOST_TEST(w->flush(*e.near) == broken_pipe);
}

BOOST_DATA_TEST_CASE(each_direction_ends_separately, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->half_close(*e.near);
    w->half_close(*e.far);
    BOOST_TEST(w->fill(*e.near) == errc::closed);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
}

// -- resets

BOOST_DATA_TEST_CASE(a_waiting_reader_gets_a_reset, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto waits = w->start(e.far->fill());
    w->reset(std::move(e.near));
    BOOST_TEST(w->end_of(waits) == reset);
}

BOOST_DATA_TEST_CASE(a_later_reader_gets_a_reset, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->reset(std::move(e.near));
    w->wait_for_reset(*e.far);
    BOOST_TEST(w->fill(*e.far) == reset);
}

BOOST_DATA_TEST_CASE(a_writer_gets_a_reset, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->reset(std::move(e.near));
    w->wait_for_reset(*e.far);
    e.far->out() = "x";
    BOOST_TEST(!e.far->try_flush());
    BOOST_TEST(e.far->cancelled() == reset);
}

BOOST_DATA_TEST_CASE(a_reset_is_reported_once, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->reset(std::move(e.near));
    w->wait_for_reset(*e.far);
    BOOST_TEST(w->fill(*e.far) == reset);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    e.far->out() = "x";
    BOOST_TEST(!e.far->try_flush());
    BOOST_TEST(e.far->cancelled() == broken_pipe);
}

BOOST_DATA_TEST_CASE(bytes_from_before_a_reset_can_still_be_read, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "last words";
    BOOST_TEST(e.near->try_flush());
    w->pass();
    w->reset(std::move(e.near));
    w->wait_for_reset(*e.far);
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data() == "last words");
    BOOST_TEST(w->fill(*e.far) == reset);
}

BOOST_DATA_TEST_CASE(closing_with_unread_bytes_sends_a_reset, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "unread";
    BOOST_TEST(e.near->try_flush());
    w->wait_for_news(*e.far);
    e.far.reset();
    BOOST_TEST(w->fill(*e.near) == reset);
}

BOOST_DATA_TEST_CASE(a_write_to_a_peer_that_is_gone_succeeds_once, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far.reset();
    w->wait_for_news(*e.near);
    e.near->out() = "first";
    BOOST_TEST(e.near->try_flush());
    w->wait_for_reset(*e.near);
    e.near->out() = "second";
    BOOST_TEST(!e.near->try_flush());
    BOOST_TEST(e.near->cancelled() == broken_pipe);
}

BOOST_DATA_TEST_CASE(a_reset_ends_a_write_that_waits, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto flushed = w->start(e.near->flush(10s, ice::never, errc::stopped));
    w->reset(std::move(e.far));
    BOOST_TEST(w->end_of(flushed) == reset);
}

// -- has_no_input()

BOOST_DATA_TEST_CASE(a_new_connection_has_no_input, all) {
    const auto w = make(sample);
    auto e = w->pair();
    BOOST_TEST(e.near->has_no_input());
    BOOST_TEST(e.far->has_no_input());
}

BOOST_DATA_TEST_CASE(bytes_are_input_until_they_are_consumed, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->arrive(e, "abc");
    BOOST_TEST(!e.far->has_no_input());
    e.far->consume(2);
    BOOST_TEST(!e.far->has_no_input());
    e.far->consume(1);
    BOOST_TEST(e.far->has_no_input());
}

BOOST_DATA_TEST_CASE(the_end_of_the_stream_counts_as_input, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near.reset();
    w->wait_for_news(*e.far);
    BOOST_TEST(!e.far->has_no_input());
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    BOOST_TEST(!e.far->has_no_input());
}

BOOST_DATA_TEST_CASE(a_reset_counts_as_input_and_is_reported_by_that_check, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->reset(std::move(e.near));
    w->wait_for_news(*e.far);
    BOOST_TEST(!e.far->has_no_input());
    BOOST_TEST(w->fill(*e.far) == errc::closed);
}

BOOST_DATA_TEST_CASE(a_cancelled_channel_counts_as_having_input, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->cancel(errc::stopped);
    BOOST_TEST(!e.near->has_no_input());
}

// -- cancelling, on our side

BOOST_DATA_TEST_CASE(cancelling_ends_pending_and_later_reads, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto waits = w->start(e.far->fill());
    e.far->cancel(errc::logic_timeout);
    e.far->cancel(errc::stopped);  // the first why counts
    BOOST_TEST(w->end_of(waits) == errc::logic_timeout);
    BOOST_TEST(w->fill(*e.far) == errc::logic_timeout);
    BOOST_TEST(w->flush(*e.far) == errc::logic_timeout);
    BOOST_TEST(!e.far->try_flush());
}

BOOST_DATA_TEST_CASE(a_cancelled_channel_reads_no_bytes_that_have_arrived, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "too late";
    BOOST_TEST(e.near->try_flush());
    w->wait_for_news(*e.far);
    e.far->cancel(errc::stopped);
    BOOST_TEST(w->fill(*e.far) == errc::stopped);
    BOOST_TEST(e.far->data() == "");
}

BOOST_DATA_TEST_CASE(cancelling_ends_a_write, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto flushed = w->start(e.near->flush(10s, ice::never, errc::request_timeout));
    e.near->cancel(errc::stopped);
    BOOST_TEST(w->end_of(flushed) == errc::stopped);
}

BOOST_DATA_TEST_CASE(a_cancelled_reader_loses_no_bytes, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto waits = w->start(e.far->fill());
    waits->leave.emit(asio::cancellation_type::terminal);
    BOOST_TEST(w->end_of(waits) == asio::error::operation_aborted);
    BOOST_TEST(!e.far->cancelled());
    w->arrive(e, "for the next");
    BOOST_TEST(e.far->data() == "for the next");
}

BOOST_DATA_TEST_CASE(a_cancelled_writer_does_not_stop_the_write, all) {
    const auto w = make(sample);
    auto e = w->pair();
    w->stuff(*e.near);
    const auto flushed = w->start(e.near->flush(10s, ice::never, errc::stopped));
    flushed->leave.emit(asio::cancellation_type::terminal);
    BOOST_TEST(w->end_of(flushed) == asio::error::operation_aborted);
    BOOST_TEST(!w->run(read(*e.far, 16 * 1024 * 1024)));
    BOOST_TEST(e.near->unsent() == 0u);
}

BOOST_DATA_TEST_CASE(a_waiting_reader_gets_the_error_of_the_deadline, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto at = w->net()->now() + 20ms;
    e.far->deadline(at, errc::idle_timeout);
    const auto waits = w->start(e.far->fill());
    BOOST_TEST(w->end_of(waits) == errc::idle_timeout);
    BOOST_TEST(e.far->cancelled() == errc::idle_timeout);
    BOOST_TEST((w->net()->now() >= at));
}

BOOST_DATA_TEST_CASE(a_removed_deadline_does_not_fire, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far->deadline(w->net()->now() + 5ms, errc::idle_timeout);
    e.far->deadline(ice::never, errc{});
    w->run(sleep(w->net(), 20ms));
    BOOST_TEST(!e.far->cancelled());
}

BOOST_DATA_TEST_CASE(a_moved_deadline_fires_later, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far->deadline(w->net()->now() + 5ms, errc::idle_timeout);
    const auto at = w->net()->now() + 40ms;
    e.far->deadline(at, errc::message_timeout);
    const auto waits = w->start(e.far->fill());
    BOOST_TEST(w->end_of(waits) == errc::message_timeout);
    BOOST_TEST((w->net()->now() >= at));
}

// -- draining

BOOST_DATA_TEST_CASE(a_drain_ends_a_waiting_reader, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto waits = w->start(e.far->fill());
    e.far->drain(errc::draining);
    e.far->drain(errc::stopped);  // the first why counts
    BOOST_TEST(w->end_of(waits) == errc::draining);
    BOOST_TEST(!e.far->cancelled());
}

BOOST_DATA_TEST_CASE(a_drain_first_returns_bytes_that_have_arrived, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near->out() = "in time";
    BOOST_TEST(e.near->try_flush());
    w->wait_for_news(*e.far);
    e.far->drain(errc::draining);
    BOOST_TEST(!w->fill(*e.far));
    BOOST_TEST(e.far->data() == "in time");
    BOOST_TEST(w->fill(*e.far) == errc::draining);
}

BOOST_DATA_TEST_CASE(a_drain_does_not_end_sending, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.far->drain(errc::draining);
    BOOST_TEST(w->fill(*e.far) == errc::draining);
    e.far->out() = "the last";
    BOOST_TEST(e.far->try_flush());
    BOOST_TEST(!w->fill(*e.near));
    BOOST_TEST(e.near->data() == "the last");
}

BOOST_DATA_TEST_CASE(a_drain_reports_an_end_of_the_stream_that_has_arrived, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near.reset();
    w->wait_for_news(*e.far);
    e.far->drain(errc::draining);
    BOOST_TEST(w->fill(*e.far) == errc::closed);
}

// -- closing gracefully

BOOST_DATA_TEST_CASE(a_graceful_close_waits_for_the_peer_to_close, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto leaves = w->start(close_gracefully(*e.far, 10s));
    BOOST_TEST(!leaves->ended);
    BOOST_TEST(w->fill(*e.near) == errc::closed);
    e.near.reset();
    BOOST_TEST(!w->end_of(leaves));
}

BOOST_DATA_TEST_CASE(a_graceful_close_discards_bytes_that_still_arrive, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto leaves = w->start(close_gracefully(*e.far, 10s));
    e.near->out() = "wait, one more";
    BOOST_TEST(e.near->try_flush());
    w->pass();
    BOOST_TEST(!leaves->ended);
    e.near.reset();
    BOOST_TEST(!w->end_of(leaves));
    BOOST_TEST(e.far->data() == "");
}

BOOST_DATA_TEST_CASE(a_graceful_close_ends_at_its_timeout, all) {
    const auto w = make(sample);
    auto e = w->pair();
    const auto at = w->net()->now() + 20ms;
    const auto leaves = w->start(close_gracefully(*e.far, 20ms));
    BOOST_TEST(!w->end_of(leaves));
    BOOST_TEST((w->net()->now() >= at));
}

BOOST_DATA_TEST_CASE(a_graceful_close_returns_at_once_if_the_peer_has_closed, all) {
    const auto w = make(sample);
    auto e = w->pair();
    e.near.reset();
    BOOST_TEST(w->fill(*e.far) == errc::closed);
    BOOST_TEST(!w->run(close_gracefully(*e.far, 1h)));
}

// -- connecting and accepting

BOOST_DATA_TEST_CASE(a_port_without_a_listener_is_refused, all) {
    const auto w = make(sample);
    const auto where = w->net()->listen(any_port)->local();
    const auto refused = w->connect(where);
    BOOST_TEST((refused.error() == std::errc::connection_refused));
    BOOST_TEST((refused.error() == ice::condition::not_executed));
    BOOST_TEST(refused.error().message() == "cannot connect: Connection refused");
}

BOOST_DATA_TEST_CASE(a_missing_unix_socket_is_an_error, all) {
    const auto w = make(sample);
    const auto refused = w->connect(ice::address("unix:/nowhere/at/all"));
    BOOST_TEST((refused.error() == std::errc::no_such_file_or_directory));
    BOOST_TEST((refused.error() == ice::condition::not_executed));
}

BOOST_DATA_TEST_CASE(an_unknown_name_is_an_error, all) {
    const auto w = make(sample);
    BOOST_TEST(w->connect(ice::address("no.such.invalid", 1)).error() == errc::host_not_found);
}

BOOST_DATA_TEST_CASE(localhost_is_this_host, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(ice::address("localhost", 0));
    BOOST_TEST(w->connect(ice::address("localhost", door->local().port())).has_value());
}

BOOST_DATA_TEST_CASE(a_port_has_one_listener, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    const std::string text =
        fmt::format("cannot listen on {}: Address already in use", door->local());
    BOOST_CHECK_EXCEPTION(w->net()->listen(door->local()), std::runtime_error,
                          [&](const std::exception& e) { return e.what() == text; });
}

BOOST_DATA_TEST_CASE(chosen_ports_differ, all) {
    const auto w = make(sample);
    const auto one = w->net()->listen(any_port), two = w->net()->listen(any_port);
    BOOST_TEST(one->local().port() != 0);
    BOOST_TEST(one->local().port() != two->local().port());
    BOOST_TEST(one->local().host() == "127.0.0.1");
}

BOOST_DATA_TEST_CASE(accept_without_a_connection_would_block, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    BOOST_TEST(door->accept().error() == asio::error::would_block);
}

BOOST_DATA_TEST_CASE(a_connection_is_made_before_it_is_accepted, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    auto near = w->connect(door->local()).value();
    near->out() = "early";
    BOOST_TEST(near->try_flush());
    w->pass();
    const auto far = w->accept(*door);
    BOOST_TEST(!w->fill(*far));
    BOOST_TEST(far->data() == "early");
}

BOOST_DATA_TEST_CASE(a_connection_that_its_peer_has_closed_is_accepted_and_at_its_end, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    w->connect(door->local()).value().reset();
    w->pass();
    const auto far = w->accept(*door);
    BOOST_TEST(w->fill(*far) == errc::closed);
}

BOOST_DATA_TEST_CASE(connections_are_accepted_in_order, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    const auto one = w->connect(door->local()).value();
    const auto two = w->connect(door->local()).value();
    one->out() = "1";
    two->out() = "2";
    BOOST_TEST(one->try_flush());
    BOOST_TEST(two->try_flush());
    for (const char* text : {"1", "2"}) {
        const auto far = w->accept(*door);
        BOOST_TEST(!w->fill(*far));
        BOOST_TEST(far->data() == text);
    }
}

BOOST_DATA_TEST_CASE(closing_an_acceptor_ends_its_wait, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    const auto waits = w->start(door->ready());
    BOOST_TEST(!waits->ended);
    door->cancel();
    BOOST_TEST(w->end_of(waits) == asio::error::operation_aborted);
    BOOST_TEST(door->accept().error() == asio::error::bad_descriptor);
    BOOST_TEST((w->connect(door->local()).error() == std::errc::connection_refused));
}

BOOST_DATA_TEST_CASE(closing_an_acceptor_resets_connections_that_were_not_accepted, all) {
    const auto w = make(sample);
    auto door = w->net()->listen(any_port);
    const auto near = w->connect(door->local()).value();
    door.reset();
    BOOST_TEST(w->fill(*near) == reset);
}

BOOST_DATA_TEST_CASE(each_end_knows_the_address_of_the_other, all) {
    const auto w = make(sample);
    const auto door = w->net()->listen(any_port);
    const auto near = w->connect(door->local()).value();
    const auto far = w->accept(*door);
    BOOST_TEST((near->peer() == door->local()));
    BOOST_TEST(far->peer().host() == "127.0.0.1");
    BOOST_TEST(far->peer().port() != 0);
}

// -- time

BOOST_DATA_TEST_CASE(a_sleep_can_be_cancelled, all) {
    const auto w = make(sample);
    const auto sleeps = w->start(sleep(w->net(), 1h));
    BOOST_TEST(!sleeps->ended);
    sleeps->leave.emit(asio::cancellation_type::terminal);
    BOOST_TEST(w->end_of(sleeps) == asio::error::operation_aborted);
}

BOOST_DATA_TEST_CASE(a_sleep_lasts_its_duration, all) {
    const auto w = make(sample);
    const auto at = w->net()->now() + 10ms;
    BOOST_TEST(!w->run(sleep(w->net(), 10ms)));
    BOOST_TEST((w->net()->now() >= at));
}

BOOST_AUTO_TEST_SUITE_END()
