// until_cancelled: an operation that ends within cancellation_signal::emit(), as one of a user may.
#pragma once

#include <asio/associated_cancellation_slot.hpp>
#include <asio/async_result.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/task.hpp>
#include <memory>
#include <utility>

namespace test {

struct end_when_cancelled {
    template <class Handler>
    void operator()(Handler h) const {
        auto slot = asio::get_associated_cancellation_slot(h);
        slot.assign([kept = std::make_shared<Handler>(std::move(h))](asio::cancellation_type) {
            Handler own = std::move(*kept);
            std::move(own)();
        });
    }
};

// Returns when it is cancelled. Its end takes no memory.
inline ice::task<> until_cancelled() {
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void()>(end_when_cancelled(), token);
}

}  // namespace test
