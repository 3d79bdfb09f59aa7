// server_context: what the listeners, pools and coroutines of one server share: its transport, its
// log, and the numbers of its sessions. They hold it by shared_ptr, so it outlives each of them.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/log.hpp>
#include <ice/transport.hpp>
#include <ice/uid.hpp>
#include <memory>
#include <string_view>
#include <vector>

namespace ice {

class listener_base;

struct server_context {
    explicit server_context(std::shared_ptr<transport> t) : net(std::move(t)) {}

    std::shared_ptr<transport> net;
    ice::log log;

    void write(log_level level, std::string_view kind, std::string_view text) {
        log.write(net->now(), level, kind, text);
    }

    // The number of the next session: each listener and each pool of a server takes it from here.
    uid next_uid() noexcept { return uid(++last_uid_); }

private:
    friend class listener_base;

    std::uint64_t last_uid_ = 0;
    std::vector<listener_base*> listeners_;
};

// Runs `work` on the transport's executor. An exception that leaves `work` is logged as an error of
// `name`; asio::detached would swallow it.
ICE_API void spawn(std::shared_ptr<server_context>, task<> work, std::string_view name);

// The transport of real sockets: TCP and Unix.
ICE_API std::shared_ptr<transport> make_socket_transport(asio::any_io_executor);

}  // namespace ice
