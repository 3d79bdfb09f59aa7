// session_completion: the completion handlers of the coroutines that run a session.
#pragma once

#include <asio/cancellation_signal.hpp>
#include <asio/system_executor.hpp>
#include <exception>
#include <memory>

namespace ice {

// The completion handler of run_session(). Asio keeps it and its executor in the coroutine frame of
// each connection, so both are as small as possible.
struct throws_nothing {
    using executor_type = asio::system_executor;  // calls at once
    executor_type get_executor() const noexcept { return {}; }
    void operator()(const std::exception_ptr&) const noexcept {}
};

// The same, of a coroutine that can be cancelled. The signal lives as long as the coroutine, whose
// slot refers to it.
struct throws_nothing_cancelled : throws_nothing {
    using cancellation_slot_type = asio::cancellation_slot;
    cancellation_slot_type get_cancellation_slot() const noexcept { return signal->slot(); }
    std::unique_ptr<asio::cancellation_signal> signal;
};

}  // namespace ice
