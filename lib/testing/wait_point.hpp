// wait_point: lets a coroutine of a simulation wait until another one wakes it.
#pragma once

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <cassert>
#include <ice/channel.hpp>
#include <type_traits>
#include <utility>

namespace ice::testing {

class network;

// A coroutine that waits at a wait_point. The network lists all of them. At its end it destroys
// those that still wait.
class suspended_coroutine {
public:
    explicit suspended_coroutine(network&);
    virtual ~suspended_coroutine();
    suspended_coroutine(const suspended_coroutine&) = delete;
    suspended_coroutine& operator=(const suspended_coroutine&) = delete;

    virtual void resume(io_status) = 0;

private:
    friend class network;
    network& net_;
    suspended_coroutine* before_ = nullptr;
    suspended_coroutine* behind_ = nullptr;
};

// One coroutine at a time may wait at it. The destructor ends the wait with
// asio::error::operation_aborted.
class wait_point {
public:
    explicit wait_point(network& net) noexcept : net_(net) {}
    ~wait_point() { wake(asio::error::make_error_code(asio::error::operation_aborted)); }
    wait_point(const wait_point&) = delete;
    wait_point& operator=(const wait_point&) = delete;

    // Requires: no other coroutine waits.
    task<io_status> wait() {
        assert(who_ == nullptr);
        asio::use_awaitable_t<> token;
        return asio::async_initiate<asio::use_awaitable_t<>, void(io_status)>(start{this}, token);
    }
    bool waits() const noexcept { return who_ != nullptr; }
    // Ends the wait with `result`. The coroutine runs after the caller has returned to the loop. No
    // effect if none waits.
    void wake(io_status result = {}) {
        if (auto* who = std::exchange(who_, nullptr)) who->resume(result);
    }

private:
    template <class Handler>
    struct waiter final : suspended_coroutine {
        waiter(wait_point& s, Handler h)
            : suspended_coroutine(s.net_), at(s), handler(std::move(h)) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.template emplace<cancel>(&s);
        }
        ~waiter() override { at.who_ = nullptr; }
        void resume(io_status result) override {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.clear();
            const auto executor = asio::get_associated_executor(handler);
            auto go = [h = std::move(handler), result]() mutable { std::move(h)(result); };
            delete this;
            asio::post(executor, std::move(go));
        }
        wait_point& at;
        Handler handler;
    };
    struct cancel {
        explicit cancel(wait_point* s) : at(s) {}
        void operator()(asio::cancellation_type) const {  // wake() destroys this object
            at->wake(asio::error::make_error_code(asio::error::operation_aborted));
        }
        wait_point* at;
    };
    struct start {
        template <class Handler>
        void operator()(Handler&& handler) const {
            using kept = waiter<std::decay_t<Handler>>;
            at->who_ = new kept(*at, std::forward<Handler>(handler));
        }
        wait_point* at;
    };

    network& net_;
    suspended_coroutine* who_ = nullptr;
};

}  // namespace ice::testing
