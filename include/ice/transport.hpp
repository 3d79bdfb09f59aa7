// transport: where channels come from, and time. Sockets and the real clock, or a simulated world.
// Everything above gets connections, time and chance from here and from nowhere else.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <ice/address.hpp>
#include <ice/channel.hpp>
#include <ice/deadline.hpp>
#include <ice/export.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <vector>

namespace ice {

// Where connections arrive. Destroying it closes it.
class ICE_API acceptor {
public:
    virtual ~acceptor() = default;

    // Waits until a connection may have arrived, or until cancel().
    virtual task<outcome> ready() = 0;

    // A connection that has arrived. Never waits: asio::error::would_block if there is none.
    virtual result<std::unique_ptr<channel>> accept() = 0;

    virtual void cancel() = 0;

    // Where it listens, with the real port.
    virtual address local() const = 0;
};

class ICE_API transport : public std::enable_shared_from_this<transport> {
public:
    explicit transport(asio::any_io_executor executor);
    virtual ~transport();
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    // A name listens on its first address, IPv4 before IPv6. Resolves at once (set-up may wait).
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    virtual std::unique_ptr<acceptor> listen(const address&) = 0;

    // Tries each address of the name in turn, until `deadline`. Errors: connect_error(..) of the
    // last attempt, errc::connect_timeout, errc::host_not_found.
    virtual task<result<std::unique_ptr<channel>>> connect(address, time_point deadline) = 0;

    virtual time_point now() const = 0;
    virtual task<> sleep(duration) = 0;
    virtual std::uint64_t random() = 0;

    // How many descriptors the process may have open.
    virtual std::size_t descriptors() const = 0;

    // Ends what the transport itself waits for: no deadline rings any more.
    virtual void stop() = 0;

    // From here on the transport waits only for deadlines that somebody still has, so that the loop
    // runs out of work after the last.
    virtual void release() = 0;

    // Gives way once: everything that is ready runs before the caller goes on.
    task<> yield();

    const asio::any_io_executor& executor() const noexcept { return executor_; }
    ice::deadlines& deadlines() noexcept { return deadlines_; }

protected:
    // deadlines().next() has come nearer: call deadlines().expire(now()) then. `never`: there is
    // nothing to wake for any more.
    virtual void wake_at(time_point) = 0;

private:
    friend class channel;
    void flush_soon(channel&);
    void flush_all();

    asio::any_io_executor executor_;
    ice::deadlines deadlines_;
    std::vector<channel*> soon_;  // those with something to flush; a handler is posted if not empty
};

}  // namespace ice
