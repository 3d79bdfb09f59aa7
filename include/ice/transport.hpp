// transport: makes channels, and has the clock: real sockets and time, or a simulated world. The
// rest of ice gets connections, time and random numbers only from here.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <ice/address.hpp>
#include <ice/channel.hpp>
#include <ice/detail/deadline.hpp>
#include <ice/detail/descriptor_budget.hpp>
#include <ice/detail/export.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <optional>
#include <vector>

namespace ice {

// A listening socket. Its destructor closes it.
class ICE_API acceptor {
public:
    virtual ~acceptor() = default;

    // Waits until a connection may have arrived, or until cancel().
    virtual task<io_status> ready() = 0;

    // Takes a connection that has arrived, without waiting: asio::error::would_block if there is
    // none.
    virtual result<std::unique_ptr<channel>> accept() = 0;

    virtual void cancel() = 0;

    // The address it listens on, with the port that the kernel chose if it was asked for port 0.
    virtual address local() const = 0;
};

// One attempt to connect, which continues without its owner. Its destructor cancels it and closes
// the socket.
class ICE_API connect_attempt {
public:
    virtual ~connect_attempt() = default;

    // Called once, never before begin_connect() has returned: a connection, or
    // connect_error(..). Must not destroy the attempt.
    using callback = std::function<void(result<std::unique_ptr<channel>>)>;
};

class ICE_API transport : public std::enable_shared_from_this<transport> {
public:
    explicit transport(asio::any_io_executor executor);
    virtual ~transport();
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    // Listens on an address; of a name on its first one, IPv4 before IPv6. Looks the name up before
    // it returns, and blocks meanwhile.
    // `socket_mode` is limits::socket_mode, of a Unix socket.
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    virtual std::unique_ptr<acceptor> listen(const address&,
                                             std::optional<unsigned> socket_mode) = 0;
    std::unique_ptr<acceptor> listen(const address& a) { return listen(a, std::nullopt); }

    // Looks the name up and connects to one of its addresses before `deadline`, as RFC 8305 says:
    // it takes IPv6 and IPv4 addresses in turn, begins the next attempt when one fails or after
    // 250 ms, and cancels the others when one succeeds. It tries at most 16 addresses. If another
    // than the first succeeds, later calls try that one first, for 10 minutes.
    // Errors: connect_error(..) of the first address that failed, errc::connect_timeout,
    // errc::host_not_found, errc::name_resolution_failed. A cancelled caller gets
    // connect_error(asio::error::operation_aborted).
    task<result<std::unique_ptr<channel>>> connect(address, time_point deadline);

    virtual time_point now() const = 0;
    virtual task<> sleep(duration) = 0;
    virtual std::uint64_t random() = 0;

    // RLIMIT_NOFILE: how many descriptors the process may have open.
    virtual std::size_t descriptors() const = 0;
    // The part of them that listeners may use. All transports of sockets of a process share one.
    virtual descriptor_budget& budget() noexcept { return budget_; }

    // Cancels what the transport itself waits for. No deadline expires any more.
    virtual void stop() = 0;

    // From here on the transport waits only while a deadline is set, so that the loop runs out of
    // work after the last one.
    virtual void release() = 0;

    // Returns after the loop has run everything else that was ready.
    task<> yield();

    const asio::any_io_executor& executor() const noexcept { return executor_; }
    ice::deadlines& deadlines() noexcept { return deadlines_; }

protected:
    // The addresses in digits, with the port, to which connect() may connect instead, best first;
    // of a Unix socket and of digits that same address. Errors: errc::host_not_found,
    // errc::name_resolution_failed, errc::connect_timeout at `deadline`, connect_error(..).
    virtual task<result<std::vector<address>>> resolve(address, time_point deadline) = 0;

    // Begins to connect to one of them, and does not wait.
    virtual result<std::unique_ptr<connect_attempt>> begin_connect(const address&,
                                                                   connect_attempt::callback) = 0;

    // deadlines().next() has come nearer: call deadlines().expire(now()) then. `never`: there is
    // nothing to wake for any more.
    virtual void wake_at(time_point) = 0;

private:
    friend class channel;
    struct race;  // the attempts of one connect()
    // The address of a name that connected although another was tried first.
    struct preference {
        address name, at;
        time_point until;
    };

    void flush_soon(channel&);
    void flush_all();
    const address* preferred(const address& name, time_point now) const noexcept;
    void prefer(const address& name, const address& at, time_point now);

    asio::any_io_executor executor_;
    descriptor_budget budget_;
    ice::deadlines deadlines_;
    std::vector<channel*> soon_;  // those with something to flush; a handler is posted if not empty
    std::vector<preference> preferences_;  // the oldest first
};

}  // namespace ice
