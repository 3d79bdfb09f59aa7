// nats_client: a client of NATS on a link: subscriptions that outlive a connection, requests with
// replies, and responders. It follows the servers of a cluster.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/link.hpp>
#include <ice/protocols/nats.hpp>
#include <ice/result.hpp>
#include <ice/server.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ice {

// How a nats_client logs in, and its bounds.
struct nats_client_options {
    std::string name = "nats";  // of its link: unique among the links of a server
    nats_options login{};
    // Bytes of headers and payload of one message, and of all that is not sent yet. 1 MiB, the
    // default of nats-server (max_payload).
    std::size_t payload = 1024 * 1024;
    std::size_t outbox = 1024 * 1024;
    // Commands that wait while there is no connection: link_limits::queue.
    std::size_t queue = 0;
    // Requests that wait for a reply. A further one is errc::outbox_full (nats_counters::refused).
    std::size_t requests = 1024;
    // A server that is silent for so long is sent a PING: see tcp_link_action::heartbeat(). 30 s:
    // the server pings every 2 minutes, which shows nothing to the client.
    duration heartbeat = std::chrono::seconds(30);
    link_timeouts timeouts{};
    backoff_limits backoff{};
};

// Events of one client since it was made.
struct nats_counters {
    std::uint64_t requests = 0;       // sent
    std::uint64_t replies = 0;        // of these, those that had a reply
    std::uint64_t no_responders = 0;  // nobody has subscribed to the subject
    std::uint64_t timeouts = 0;
    std::uint64_t lost = 0;     // the connection ended before the reply
    std::uint64_t late = 0;     // replies whose request had ended
    std::uint64_t refused = 0;  // not sent: too many wait, no connection, or what push() refuses
    std::uint64_t unsent_replies = 0;  // replies of handlers that could not be sent
    std::uint64_t errors = 0;          // of the server that end no connection: see on_error()
};

// Adds a link to a server when it is made. Use it on the loop's thread. It may be destroyed before
// the server: its handlers are not called any more then, and requests end with errc::stopped. The
// link stays until the server drains or stops. It may also outlive the server, but not the loop:
// push() and request() return errc::stopped then.
//     ice::nats_client bus(srv, ice::address("127.0.0.1:4222"));
//     bus.subscribe("news.>", [](ice::nats_view m) { use(m.subject(), m.payload()); });
//     bus.subscribe("time", [](ice::nats_view) { return now(); }, "workers");  // replies
//     auto reply = co_await bus.request("time", "");
//
// Messages are delivered at most once: what is published while there is no connection is lost to
// it. When a server tells of others of its cluster, the link learns their addresses (at most
// link_base::addresses_limit). When a server says that it will close (lame duck mode) and another
// address is known, the client unsubscribes, takes all that the server has sent, waits for the
// replies of its requests, and connects to the next address.
class ICE_API nats_client {
public:
    // Throws as server::add() of a link.
    nats_client(server& srv, pool_addresses where, nats_client_options options = {});
    ~nats_client();
    nats_client(const nats_client&) = delete;
    nats_client& operator=(const nats_client&) = delete;

    // Publishes: `bus.push(ice::nats_pub("news", text))`. The errors are those of link::push().
    [[nodiscard]] error_code push(const nats_command& command);

    // Calls `handle` with each message of a subject or pattern, on each connection from now on. Of
    // all subscribers with the same `queue` one gets each message. `handle` takes a nats_view and
    // returns nothing, a text that is the reply, or (an optional of) a nats_command that is sent.
    // It must not wait; to wait, it spawns a coroutine with a nats_message. An exception of it ends
    // the connection, as that of any logic. Returns the number of the subscription. Throws
    // std::invalid_argument if `pattern` or `queue` is none.
    template <class F>
    std::uint64_t subscribe(std::string pattern, F handle, std::string queue = {}) {
        return add(std::move(pattern), std::move(queue), handler(std::move(handle)));
    }
    // Ends a subscription: its handler is not called any more. No effect if there is none.
    void unsubscribe(std::uint64_t sid);

    // Sends a request, and returns the first reply. Errors: errc::no_responders at once if nobody
    // has subscribed to the subject; errc::request_timeout; why the connection ended, if it did
    // before the reply (errc::draining and stopped among them); or errc::outbox_full, not_connected
    // or those of nats::packet(), if it was not sent. asio::error::operation_aborted if the caller
    // was cancelled. After another error than those of a request that was not sent, and than
    // no_responders, a responder may have executed the request. Copies subject and payload.
    task<result<nats_message>> request(std::string_view subject, std::string_view payload,
                                       duration timeout = std::chrono::seconds(5));

    // Is called with the text of each error of the server that ends no connection, such as
    // "Permissions Violation for Publish to "a"". Without it the log has the text.
    void on_error(std::function<void(std::string_view)> report);

    // Requires: the server lives.
    ice::link<nats>& link() const noexcept;
    // Requests that wait for a reply.
    std::size_t in_flight() const noexcept;
    nats_counters counters() const noexcept;

private:
    struct state;
    struct logic;
    using handler_function = std::function<std::optional<nats_command>(const nats_view&)>;

    template <class F>
    static handler_function handler(F handle) {
        using answer = std::invoke_result_t<F&, nats_view>;
        return [handle =
                    std::move(handle)](const nats_view& m) mutable -> std::optional<nats_command> {
            if constexpr (std::is_void_v<answer>) {
                handle(m);
                return std::nullopt;
            } else if constexpr (std::convertible_to<answer, std::optional<nats_command>>) {
                return handle(m);
            } else {
                static_assert(std::convertible_to<answer, std::string_view>,
                              "ice: a handler of nats_client returns nothing, a text, or a "
                              "nats_command");
                const auto& text = handle(m);
                return nats_reply(m, text);
            }
        };
    }
    std::uint64_t add(std::string pattern, std::string queue, handler_function);
    static task<result<nats_message>> request(std::shared_ptr<state>, std::string subject,
                                              std::string payload, duration timeout);

    std::shared_ptr<state> state_;
};

}  // namespace ice
