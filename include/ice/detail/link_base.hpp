// link_base: the part of a link that does not depend on its protocol, compiled once in
// lib/actions/link_base.cpp. It keeps one connection open, to one of several addresses.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <ice/address.hpp>
#include <ice/detail/backoff.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/detail/session_base.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/event.hpp>
#include <ice/limits.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ice {

// Events of one link since it was added. Each is counted where it happens; none is reset.
struct link_counters {
    std::uint64_t connects = 0;  // connections made, whose opened() has returned
    // Attempts that failed, the handshake and opened() included.
    std::uint64_t connect_failures = 0;
    std::uint64_t messages = 0;  // received
    // Connections that the peer ended between messages, and those that ended for any other reason
    // but reconnect(), drain() and stop().
    std::uint64_t closed = 0;
    std::uint64_t broken = 0;
    std::uint64_t reconnects = 0;       // connections that reconnect() ended
    std::uint64_t heartbeats = 0;       // sent
    std::uint64_t heartbeats_lost = 0;  // connections that ended as the peer was silent
    std::uint64_t logic_threw = 0;      // an exception of the logic, the protocol or the handshake
    std::uint64_t unencodable = 0;      // answers that the protocol could not pack
    std::uint64_t outbox_full = 0;      // messages refused by push(), as too many bytes are unsent
    std::uint64_t not_connected = 0;    // messages refused by push() while there was no connection
    std::uint64_t queued = 0;           // messages that waited in the queue
    std::uint64_t queue_refused = 0;    // of these, messages that the protocol could not pack
    std::uint64_t unsent_bytes = 0;  // bytes that no kernel had taken when their connection ended
};

// What a link does.
enum class link_state : std::uint8_t {
    waiting,     // for the end of the pause before its next attempt
    connecting,  // the name's lookup, the connect, the handshake, opened() of the logic
    connected,   // messages are received and sent
    closing,     // the connection has ended, and closed() of the logic runs
    ended,       // the server drains or has stopped: there will be no other connection
};
ICE_API std::string_view to_string(link_state) noexcept;

// What a link is made of, except its protocol and its logic. tcp_link_action fills it in.
struct link_options {
    std::string name;  // unique among the links of a server
    std::vector<address> addresses;
    link_limits limits{};
    link_timeouts timeouts{};
    backoff_limits backoff{};
    duration heartbeat = no_timeout;              // its interval
    std::shared_ptr<ice::transport> transport{};  // null: the server's
};

class ICE_API link_base : public std::enable_shared_from_this<link_base> {
public:
    virtual ~link_base();
    link_base(const link_base&) = delete;
    link_base& operator=(const link_base&) = delete;

    const std::string& name() const noexcept { return options_.name; }
    link_state state() const noexcept { return state_; }
    bool is_connected() const noexcept { return state_ == link_state::connected; }
    // The address of the connection, or of the attempt that is being made or comes next. Valid
    // until learn_addresses().
    const address& where() const noexcept { return options_.addresses[at_]; }
    // Why there is no connection: the last error; none before the first and while connected.
    error_code why() const noexcept { return why_; }
    link_counters counters() const noexcept;
    // Messages that wait in the queue for a connection.
    virtual std::size_t queued() const noexcept = 0;

    // Returns no error when the link is connected, at once if it is; errc::draining or stopped if
    // it will not be any more. Any number of coroutines may wait. There is no timeout:
    // time_limit has one. Returns asio::error::operation_aborted if the caller was cancelled.
    // The connection may have ended again when the caller runs: push() says so.
    task<error_code> connected();

    // Those of the action, then those that were learnt. Valid until learn_addresses().
    const std::vector<address>& addresses() const noexcept { return options_.addresses; }
    // Of a link that has learnt some. A cluster has fewer servers, or others tell of the rest.
    static constexpr std::size_t addresses_limit = 64;
    // Adds addresses of which the upstream has told, such as the other servers of its cluster. They
    // replace those that were learnt before; those of the action stay, and the one that is
    // connected. The link has at most addresses_limit addresses, unless its action has more: those
    // beyond it are not added.
    void learn_addresses(const std::vector<address>& learnt);

    // Ends the connection, as session::close() does, and makes another, to the next address: at
    // once if there is one and this connection has lasted for a second, else after a pause. For an
    // upstream that has told that it will close. No effect without a connection.
    void reconnect();

    // Text for people: its state and its counters in one line.
    std::string report() const;

    // Makes no other connection. closed() of the logic gets errc::draining and may push a last
    // message; link_timeouts::drain later the connection is closed whatever the logic does.
    void drain();
    // Closes the connection now, and makes no other.
    void stop();
    // Whether nothing is left after drain() or stop(), or too much time has passed.
    bool is_over() const noexcept;

protected:
    // Throws std::invalid_argument if there is no address, and as server_context::transport_for().
    link_base(std::shared_ptr<server_context>, link_options);

    // Owns a session. While it lives, the link knows the session.
    class registration {
    public:
        registration(std::shared_ptr<link_base>, std::unique_ptr<session_base>) noexcept;
        registration(registration&&) noexcept = default;
        registration& operator=(registration&&) = delete;
        ~registration();

        session_base& session() const noexcept { return *session_; }

        error_code why;  // the session ended; what run_session() says

    private:
        std::shared_ptr<link_base> link_;
        std::unique_ptr<session_base> session_;
    };

    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>, uid) = 0;
    // The parts of a session's life that depend on its protocol and its logic: run_session.hpp.
    virtual task<error_code> open(session_base&, bool& opened) = 0;
    virtual task<error_code> serve_messages(session_base&) = 0;
    virtual task<> close(session_base&, bool opened, error_code why,
                         std::exception_ptr& thrown) = 0;
    // Pushes the oldest message of the queue. Returns false if it has to wait until bytes before it
    // are sent.
    virtual bool push_oldest(session_base&) = 0;
    // Pushes the heartbeat's message.
    virtual error_code push_heartbeat() = 0;
    // Counts and logs an exception of the user's code; what the conversation then ends with.
    error_code threw(session_base&, std::exception_ptr) noexcept;

    session_settings& settings() noexcept { return settings_; }
    // Refuses a message, as there is no connection.
    error_code refuse() noexcept;
    // Whether a message may wait for a connection.
    bool can_enqueue() const noexcept;
    void count_queued() noexcept { ++counters_.queued; }
    // A message of the queue did not fit into the outbox: it is no message that push() refused.
    void count_no_refusal() noexcept { --settings_.outbox_full; }
    // A message of the queue could not be packed.
    void drop_queued(error_code why) noexcept;
    // The session while the link is connected; null otherwise.
    session_base* established_session() const noexcept;

private:
    friend class server;

    // Of all sessions of a link: which link that is.
    struct link_settings : session_settings {
        link_base* link;
    };
    static link_base& of(session_base&) noexcept;

    void start();
    void tick() noexcept;
    void connect() noexcept;
    static task<> connect_once(std::shared_ptr<link_base>);
    void begin(std::unique_ptr<channel>);
    // The whole life of one connection. Throws nothing.
    task<> run_session(registration);
    task<error_code> talk(session_base&);
    task<error_code> serve_established(session_base&);
    // Sends what waits in the queue, while the session receives. What is left when the connection
    // is lost waits for the next one.
    task<> send_queued(session_base&);
    // The logic's opened() has returned: push() works from here on.
    void established();
    // Logs an exception that is nobody's.
    void broke(std::exception_ptr) noexcept;
    void attempt_failed(error_code) noexcept;
    void session_ended(error_code) noexcept;
    void try_again(bool at_once) noexcept;
    void beat() noexcept;
    void one_ended() noexcept;
    template <class Text>  // a function that returns it
    void write(log_level, std::string_view kind, Text) noexcept;

    std::shared_ptr<server_context> context_;
    std::shared_ptr<transport> net_;  // the server's, or that of the action
    link_options options_;
    link_settings settings_;
    backoff backoff_;
    task_group attempts_;
    // The next attempt, or the next look at the heartbeat. It is always set until the link ends,
    // if only to a time far away, as moving it then takes no memory.
    deadline timer_;
    deadline drain_ends_;
    event changed_;                    // it is connected, or has ended
    session_base* session_ = nullptr;  // also while it shakes hands or closes
    std::size_t at_ = 0;               // the index of where()
    std::size_t configured_;           // addresses of the action, the first ones
    std::size_t failed_in_a_row_ = 0;  // attempts since the last pause
    link_state state_ = link_state::waiting;
    error_code why_;
    link_counters counters_;
    time_point connected_since_ = never;  // of this session; never if its opened() has not returned
    std::uint32_t consumed_ = 0;          // channel::consumed() at the last look
    bool beats_ = false;                  // a heartbeat was sent, and nothing has arrived since
    bool is_logged_ = false;              // that no connection can be made
    bool reconnects_ = false;             // reconnect() was called
    bool ending_ = false;                 // drain() or stop() was called
    bool is_late_ = false;                // link_timeouts::drain has passed
    std::function<void()> when_empty_;    // the server's
};

}  // namespace ice
