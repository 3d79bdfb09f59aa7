// transport: makes channels, and has the clock: real sockets and time, or a simulated network. The
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
#include <ice/time_limit.hpp>
#include <memory>
#include <optional>
#include <vector>

namespace ice {

// A listening socket. Its destructor closes it. Use it only on the thread of the transport's
// executor.
class ICE_API acceptor {
public:
    virtual ~acceptor() = default;

    // Waits until a connection may have arrived, or until cancel(), and then returns
    // asio::error::operation_aborted. A connection may be gone again when accept() is called.
    // Requires: no other ready() is pending.
    virtual task<io_status> ready() = 0;

    // Takes a connection that has arrived, without waiting. Returns asio::error::would_block if
    // there is none, and other errors of accept(2), such as EMFILE (no descriptor is left) and
    // ECONNABORTED (the peer has left).
    virtual result<std::unique_ptr<channel>> accept() = 0;

    // Stops listening, and ends the pending ready(). Peers that connect later are refused.
    virtual void cancel() = 0;

    // The address it listens on, with the port that the kernel chose if port 0 was requested.
    virtual address local() const = 0;
};

// One attempt to connect. It needs no coroutine that waits for it. Its destructor cancels it and
// closes the socket; then the callback is not called any more.
class ICE_API connect_attempt {
public:
    virtual ~connect_attempt() = default;

    // The attempt calls it once, never before begin_connect() has returned, with a connection or
    // connect_error(..). It must not destroy the attempt.
    using callback = std::function<void(result<std::unique_ptr<channel>>)>;
};

// The interface of all transports. Each server has one, and an action may have another, such as
// tcp_server_action::transport(). All transports of a server run on the io_context of the server,
// and have the same clock. Hold a transport by std::shared_ptr, as the handlers that it posts keep
// it alive. Use it only on the executor's thread.
// docs/transport.md says how to write one, and test/parity_test.cpp checks what all have in common.
class ICE_API transport : public std::enable_shared_from_this<transport> {
public:
    explicit transport(asio::any_io_executor executor);
    virtual ~transport();
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    // Listens on an address. A host name is looked up before the function returns, which blocks the
    // thread; the transport listens on its first address, IPv4 before IPv6.
    // `socket_mode` has the permissions of a Unix socket's file: limits::socket_mode. TCP ignores
    // it.
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    virtual std::unique_ptr<acceptor> listen(const address&,
                                             std::optional<unsigned> socket_mode) = 0;
    std::unique_ptr<acceptor> listen(const address& a) { return listen(a, std::nullopt); }

    // Looks the name up and connects to one of its addresses before `deadline`, as RFC 8305 says.
    // It takes IPv6 and IPv4 addresses in turn, begins the next attempt when one fails or after
    // 250 ms, and cancels the others when one succeeds. It tries at most 16 addresses. If another
    // address than the first succeeds, later calls try that address first, for 10 minutes.
    // Errors: connect_error(..) of the first address that failed, errc::connect_timeout,
    // errc::host_not_found, errc::name_resolution_failed. A cancelled caller gets
    // connect_error(asio::error::operation_aborted).
    task<result<std::unique_ptr<channel>>> connect(address, time_point deadline);

    // The numeric addresses of a host, with its port, the preferred one first. A
    // Unix socket and a numeric address resolve to themselves. Errors: errc::host_not_found,
    // errc::name_resolution_failed, errc::connect_timeout at `deadline`, connect_error(..).
    virtual task<result<std::vector<address>>> resolve(address, time_point deadline) = 0;

    // The steady clock, or virtual time. Two readings may differ, so read it once per decision.
    virtual time_point now() const = 0;
    // Waits for the duration. Throws std::system_error with asio::error::operation_aborted if the
    // waiting coroutine is cancelled.
    virtual task<> sleep(duration) = 0;
    // The limit that ends after the duration, for all() and first_of(). no_timeout gives one that
    // never ends.
    time_limit within(duration span) { return {shared_from_this(), after(now(), span)}; }
    // 64 random bits, for back-off and jitter; not for secrets.
    virtual std::uint64_t random() = 0;

    // How many descriptors the process may have open (getrlimit(2), RLIMIT_NOFILE).
    virtual std::size_t descriptors() const = 0;
    // The part of the descriptors that listeners may use. All socket transports of a process share
    // one budget.
    virtual descriptor_budget& budget() noexcept { return budget_; }

    // Cancels the transport's own waits. From then on no deadline expires. The server calls it, and
    // release(), once for each action that uses the transport, and once for itself.
    virtual void stop() = 0;

    // Lets the loop end: from then on the transport keeps the loop running only while a deadline is
    // set, so that the loop runs out of work after the last one.
    virtual void release() = 0;

    // Returns after the loop has run everything else that was ready.
    task<> yield();

    const asio::any_io_executor& executor() const noexcept { return executor_; }
    // The deadlines of all channels, pools and listeners of this transport.
    ice::deadlines& deadlines() noexcept { return deadlines_; }

protected:
    // Begins to connect to one of these addresses, without waiting. An attempt that fails at once
    // may return its error here instead of calling the callback.
    virtual result<std::unique_ptr<connect_attempt>> begin_connect(const address&,
                                                                   connect_attempt::callback) = 0;

    // Called when deadlines().next() has become earlier, with its value. An implementation calls
    // deadlines().expire(now()) at that time. `never` means that no deadline is left.
    virtual void wake_at(time_point) = 0;

private:
    friend class channel;
    struct race;  // the attempts of one connect()
    // The address of a name that succeeded although another address was tried first.
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
    std::vector<channel*> soon_;  // channels of flush_soon(); a handler is posted if not empty
    std::vector<preference> preferences_;  // the oldest first
};

}  // namespace ice
