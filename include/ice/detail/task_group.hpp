// task_group: coroutines that run beside their owner, which can cancel them and wait for their end.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <memory>

namespace ice {

// Whether an exception is a std::system_error with asio::error::operation_aborted.
ICE_API bool is_aborted(const std::exception_ptr&) noexcept;

// All calls are for the thread of the executor.
class ICE_API task_group {
public:
    // Called with what a coroutine has thrown.
    using failed = std::function<void(std::exception_ptr)>;

    // `when_empty` is called each time that the last coroutine has ended, or was destroyed where it
    // waited; it must not throw.
    explicit task_group(const asio::any_io_executor&, std::function<void()> when_empty = {});
    // Cancels the coroutines, and calls `when_empty` no more. They end later.
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    // Begins `work` after the caller has returned to the loop. After cancel() it destroys `work`
    // instead. Calls `threw` with an exception that leaves it, but not with
    // asio::error::operation_aborted after cancel(), which is the usual end then.
    void spawn(task<> work, failed threw);
    // The same, but begins `work` at once: it runs until it first waits.
    void start(task<> work, failed threw);

    // Cancels all coroutines, for ever (asio::cancellation_type::terminal): one that has not begun
    // never begins, and in each other what it waits for, and every later co_await of an Asio
    // operation or a task, ends with asio::error::operation_aborted.
    void cancel() noexcept;

    // Returns when no coroutine is left. Throws asio::error::operation_aborted if cancelled.
    task<> join();

    // Coroutines that have not ended.
    std::size_t size() const noexcept;

private:
    struct member;
    struct state;
    struct ended;
    static task<> run(asio::any_io_executor, task<> work);
    static task<> join(std::shared_ptr<state>);

    std::shared_ptr<state> state_;
};

}  // namespace ice
