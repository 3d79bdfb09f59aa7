// server_context: the transport, the log and the session numbers of one server. The server's
// listeners, pools and coroutines share it by shared_ptr, so it outlives each of them.
#pragma once

#include <cstdint>
#include <exception>
#include <ice/detail/export.hpp>
#include <ice/log.hpp>
#include <ice/transport.hpp>
#include <ice/uid.hpp>
#include <memory>
#include <string_view>
#include <vector>

namespace ice {

class listener_base;

// All calls are for the loop's thread.
struct ICE_API server_context {
    explicit server_context(std::shared_ptr<transport> t) : net(std::move(t)) {}

    std::shared_ptr<transport> net;
    ice::log log;

    // log::write() at the time of the transport.
    void write(log_level level, std::string_view kind, std::string_view text) {
        log.write(net->now(), level, kind, text);
    }

    // The transport of an action: `own` or, if that is null, the server's. Throws
    // std::invalid_argument, with the name of the action, if `own` runs on another io_context.
    std::shared_ptr<transport> transport_for(std::string_view action,
                                             std::shared_ptr<transport> own) const;

    // Returns the number of the next session, from 1 on. Listeners and pools take it from here, so
    // a number never names two sessions of a server.
    uid next_uid() noexcept { return uid(++last_uid_); }

private:
    friend class listener_base;

    std::uint64_t last_uid_ = 0;
    std::vector<listener_base*> listeners_;  // in the order in which they were added
};

// Runs `work` on the transport's executor, and holds the context until its end. It logs an
// exception that leaves `work` as an error of `name`; asio::detached would swallow it.
ICE_API void spawn(std::shared_ptr<server_context>, task<> work, std::string_view name);
// Writes an exception that has left the coroutine `name` to the log, as an error.
ICE_API void log_thrown(server_context&, std::string_view name, std::exception_ptr thrown);

// The transport of real sockets, TCP and Unix. Requires: one thread runs the executor's context.
ICE_API std::shared_ptr<transport> make_socket_transport(asio::any_io_executor);

}  // namespace ice
