// spot: where a coroutine of a simulated world waits.
#pragma once

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/channel.hpp>
#include <type_traits>
#include <utility>

namespace ice::testing {

class network;

// A coroutine that waits at a spot. The network lists them, to destroy who still waits at its end.
class parked {
public:
    explicit parked(network&);
    virtual ~parked();
    parked(const parked&) = delete;
    parked& operator=(const parked&) = delete;

    virtual void resume(outcome) = 0;

private:
    friend class network;
    network& net_;
    parked* before_ = nullptr;
    parked* behind_ = nullptr;
};

// Where one coroutine at a time waits.
class spot {
public:
    explicit spot(network& net) noexcept : net_(net) {}
    ~spot() { wake(asio::error::make_error_code(asio::error::operation_aborted)); }
    spot(const spot&) = delete;
    spot& operator=(const spot&) = delete;

    task<outcome> wait() {
        asio::use_awaitable_t<> token;
        return asio::async_initiate<asio::use_awaitable_t<>, void(outcome)>(start{this}, token);
    }
    bool waits() const noexcept { return who_ != nullptr; }
    // Who waits goes on after the caller.
    void wake(outcome result = {}) {
        if (auto* who = std::exchange(who_, nullptr)) who->resume(result);
    }

private:
    template <class Handler>
    struct waiter final : parked {
        waiter(spot& s, Handler h) : parked(s.net_), at(s), handler(std::move(h)) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.template emplace<cancel>(&s);
        }
        ~waiter() override { at.who_ = nullptr; }
        void resume(outcome result) override {
            auto slot = asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.clear();
            const auto executor = asio::get_associated_executor(handler);
            auto go = [h = std::move(handler), result]() mutable { std::move(h)(result); };
            delete this;
            asio::post(executor, std::move(go));
        }
        spot& at;
        Handler handler;
    };
    struct cancel {
        explicit cancel(spot* s) : at(s) {}
        void operator()(asio::cancellation_type) const {  // wake() destroys this
            at->wake(asio::error::make_error_code(asio::error::operation_aborted));
        }
        spot* at;
    };
    struct start {
        template <class Handler>
        void operator()(Handler&& handler) const {
            using kept = waiter<std::decay_t<Handler>>;
            at->who_ = new kept(*at, std::forward<Handler>(handler));
        }
        spot* at;
    };

    network& net_;
    parked* who_ = nullptr;
};

}  // namespace ice::testing
