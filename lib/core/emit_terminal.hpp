// emit_terminal: cancels a coroutine by its signal.
#pragma once

#include <asio/cancellation_signal.hpp>

namespace ice {

// What the coroutine waits for may complete within this call, and with it the coroutine.
inline void emit_terminal(asio::cancellation_signal& s) noexcept {
    try {
        s.emit(asio::cancellation_type::terminal);
    } catch (...) {  // no memory to wake it: its next co_await ends it
    }
}

}  // namespace ice
