// transport: where channels come from, and time. Sockets and the real clock, or a simulated world.
// Everything above gets connections, time and chance from here and from nowhere else.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <ice/address.hpp>
#include <ice/channel.hpp>
#include <ice/deadline.hpp>
#include <ice/descriptor_budget.hpp>
#include <ice/export.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <optional>
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

// One attempt to connect, which goes on by itself. Its destructor gives up and closes the socket.
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

    // A name listens on its first address, IPv4 before IPv6. Resolves at once (set-up may wait).
    // `socket_mode` is limits::socket_mode, of a Unix socket.
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    virtual std::unique_ptr<acceptor> listen(const address&,
                                             std::optional<unsigned> socket_mode) = 0;
    std::unique_ptr<acceptor> listen(const address& a) { return listen(a, std::nullopt); }

    // Resolves the name and connects to one of its addresses, all before `deadline` (RFC 8305): the
    // families take turns; the next attempt begins when one fails, or after 250 ms while the ones
    // before go on; the first that succeeds ends the others. At most 16 addresses are tried. Where
    // another than the first has succeeded, it is tried first for the next 10 minutes.
    // Errors: connect_error(..) of the first address that failed, errc::connect_timeout,
    // errc::host_not_found, errc::name_resolution_failed. A cancelled caller gets
    // connect_error(asio::error::operation_aborted).
    task<result<std::unique_ptr<channel>>> connect(address, time_point deadline);

    virtual time_point now() const = 0;
    virtual task<> sleep(duration) = 0;
    virtual std::uint64_t random() = 0;

    // How many descriptors the process may have open.
    virtual std::size_t descriptors() const = 0;
    // What listeners may take of them; of sockets there is one for the process.
    virtual descriptor_budget& budget() noexcept { return budget_; }

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
