// memory_transport: channels without sockets and a clock that the test moves, to count reads and
// writes exactly and to test timeouts without waiting. Bytes come when the test says so.
#pragma once

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <functional>
#include <ice/detail/server_context.hpp>
#include <ice/event.hpp>
#include <ice/transport.hpp>
#include <optional>
#include <string>
#include <vector>

namespace test {

class memory_transport : public ice::transport {
public:
    explicit memory_transport(asio::io_context& io) : transport(io.get_executor()) {}

    std::unique_ptr<ice::acceptor> listen(const ice::address&, std::optional<unsigned>) override {
        throw std::runtime_error("a memory_transport does not listen");
    }
    ice::time_point now() const override { return now_; }
    ice::task<> sleep(ice::duration span) override {
        ice::event over(executor());
        ice::deadline timer(
            deadlines(), [](void* e) { static_cast<ice::event*>(e)->set(); }, &over);
        timer.set(ice::after(now_, span));
        const ice::error_code cancelled = co_await over.wait();
        if (cancelled) throw std::system_error(cancelled);
    }
    std::uint64_t random() override { return chance; }
    std::size_t descriptors() const override { return 1024; }
    void stop() override {}
    void release() override {}

    // What connect() gives, and random().
    std::function<ice::result<std::unique_ptr<ice::channel>>()> dial = [] {
        return ice::errc::host_not_found;
    };
    std::uint64_t chance = 0;

    // Moves the clock, and rings what is due.
    void advance(ice::duration span) {
        now_ += span;
        deadlines().expire(now_);
    }

private:
    struct dialing final : ice::connect_attempt {
        explicit dialing(callback d) : done(std::make_shared<callback>(std::move(d))) {}
        std::shared_ptr<callback> done;
    };
    ice::task<ice::result<std::vector<ice::address>>> resolve(ice::address to,
                                                              ice::time_point) override {
        co_return std::vector<ice::address>{to};
    }
    ice::result<std::unique_ptr<ice::connect_attempt>> begin_connect(
        const ice::address&, ice::connect_attempt::callback done) override {
        auto attempt = std::make_unique<dialing>(std::move(done));
        asio::post(executor(), [this, weak = std::weak_ptr(attempt->done)] {
            if (const auto waiting = weak.lock()) (*waiting)(dial());
        });
        return std::unique_ptr<ice::connect_attempt>(std::move(attempt));
    }
    void wake_at(ice::time_point) override {}

    ice::time_point now_{};
};

// One conversation whose other end is the test.
class memory_channel : public ice::channel {
public:
    explicit memory_channel(memory_transport& net, ice::address peer = {"memory", 1})
        : channel(net), peer_(std::move(peer)), more_(net.executor()) {}

    // What the peer has sent, in one piece that one read takes as far as it has room.
    void arrive(std::string_view bytes) {
        arrived_ += bytes;
        more_.set();
    }
    void arrive_end() {
        ended_ = true;
        more_.set();
    }

    // The peer, which read nothing since `stalled` was set, takes all.
    void resume() {
        stalled = false;
        end_stall();
    }

    ice::task<ice::io_status> fill() override {
        ++fills;
        while (arrived_.empty() && !ended_ && (!draining_ || in_message_) && !cancelled_) {
            more_.clear();
            co_await more_.wait();
        }
        if (cancelled_) co_return cancelled_;
        if (arrived_.empty()) {
            if (!ended_) co_return ice::io_status(draining_);
            if (data().empty()) co_return ice::errc::closed;
            co_return ice::errc::truncated;
        }
        ++reads;
        const auto r = room();
        const std::size_t n = arrived_.copy(r.data, r.size);
        arrived_.erase(0, n);
        received(n);
        co_return ice::io_status();
    }
    bool has_no_input() noexcept override { return arrived_.empty() && !ended_ && in_.size() == 0; }
    bool try_flush() override {
        if (cancelled_) return false;
        if (stalled) {
            if (!out_.empty()) begin_stall();
            return out_.empty();
        }
        if (!out_.empty()) ++writes;
        written += out_;
        sent_ += out_.size();
        out_.clear();
        return true;
    }
    void drain(ice::error_code why) override {
        if (!draining_) draining_ = why;
        more_.set();
    }
    void cancel(ice::error_code why) override {
        if (!cancelled_) cancelled_ = why;
        more_.set();
        end_stall();
    }
    ice::task<> linger(ice::duration) override { co_return; }
    ice::address peer() const override { return peer_; }

    std::size_t capacity() const { return in_.capacity(); }

    std::string written;
    unsigned fills = 0, reads = 0, writes = 0;
    bool stalled = false;  // the peer reads nothing

private:
    ice::address peer_;
    std::string arrived_;
    bool ended_ = false;
    ice::error_code draining_;
    ice::event more_;
};

}  // namespace test
