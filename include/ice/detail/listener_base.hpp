// listener_base: the part of a listener that does not depend on its protocol, compiled once in
// lib/actions/listener_base.cpp. It accepts connections, lists the open ones, and closes them.
#pragma once

#include <exception>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/event.hpp>
#include <ice/session.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ice {

// Events of one listener since it was added. Each is counted where it happens; none is reset.
struct listener_counters {
    std::uint64_t accepted = 0;  // including those that were refused then
    std::uint64_t messages = 0;
    std::uint64_t closed = 0;        // by the peer, between messages
    std::uint64_t truncated = 0;     // by the peer, within a message
    std::uint64_t broken = 0;        // reset, unreachable, and other errors of sockets
    std::uint64_t bad_messages = 0;  // malformed, too large, unencodable answers
    std::uint64_t timeouts = 0;      // any of ice::timeouts
    std::uint64_t handshakes_failed = 0;
    std::uint64_t logic_threw = 0;    // an exception of the logic, the protocol or the handshake
    std::uint64_t unencodable = 0;    // answers, including those that were replaced
    std::uint64_t outbox_full = 0;    // pushes refused
    std::uint64_t ended_by_us = 0;    // close(), drain, stop
    std::uint64_t accept_errors = 0;  // no descriptor left, for example, or an exception
    std::uint64_t paused = 0;         // limits::connections or descriptor_budget was reached
    std::uint64_t refused = 0;        // limits::connections_per_peer was reached
};

// What to do about an error of accept(2).
enum class accept_disposition {
    next,      // of that connection alone: take the next one
    wait,      // there is none
    back_off,  // something ran out (descriptors, memory): try again in 100 ms, or it would spin
    give_up,   // the listener is closed
};
ICE_API accept_disposition judge_accept(error_code) noexcept;

// The key by which limits::connections_per_peer counts the connections of one peer:
// - an IPv4 address, mapped into IPv6; also one within 64:ff9b::/96 (NAT64, RFC 6052) or within
//   2002::/16 (6to4, RFC 3056);
// - an address in 64:ff9b:1::/48 whole, as each network places the IPv4 address there by its own
//   rule (RFC 8215);
// - the first `ipv6_prefix` bits of another IPv6 address.
// All zero, or empty, for this host, which is not counted.
ICE_API ip_bytes peer_key(ip_bytes, std::size_t ipv6_prefix = limits().ipv6_prefix) noexcept;
// The same as text: "192.0.2.1", "2001:db8::/56".
ICE_API std::string peer_key(const address&, std::size_t ipv6_prefix = limits().ipv6_prefix);

class ICE_API listener_base : public std::enable_shared_from_this<listener_base> {
public:
    virtual ~listener_base();
    listener_base(const listener_base&) = delete;
    listener_base& operator=(const listener_base&) = delete;

    // The address it listens on, with the port that the kernel chose if the action's was 0.
    const address& endpoint() const noexcept { return endpoint_; }

    // Open connections.
    std::size_t size() const noexcept { return open_; }

    // limits::connections, or what RLIMIT_NOFILE leaves beside the pools of the process, if that is
    // less. Connections of other listeners may use up that number earlier.
    std::size_t allowed() const noexcept;

    listener_counters counters() const noexcept;

    // Text for people: its counters in one line, then a line for each of the first `most` sessions.
    std::vector<std::string> report(std::size_t most = 100) const;

    // Accepts no more connections, and closes each when the messages that arrived are answered.
    void drain();

    // Accepts no more connections, and closes all of them now.
    void stop();

protected:
    // Listens at once. Throws as transport::listen() and server_context::transport_for() do.
    listener_base(std::shared_ptr<server_context>, const address&, const limits&, const timeouts&,
                  std::shared_ptr<transport> own);

    using peer_count = std::pair<const ip_bytes, std::size_t>;  // of peer_key(), while it has any
    // By uid, in ascending order; null for those that have ended.
    struct numbered_session {
        std::uint64_t number;
        session_base* session;
        std::uint32_t opened;  // at which second of the clock
    };
    const std::vector<numbered_session>& open_sessions() const noexcept { return sessions_; }
    session_base* find_base(uid) const noexcept;

    // Whether stop() was called: no session sends anything from then on.
    bool is_stopped() const noexcept { return settings_.stopped; }

    // Whether a session can be found and pushed to.
    static bool is_established(session_base* s) noexcept {
        return s && s->is_established() && !s->bytes().cancelled();
    }

    // One of size(), from its accepting to its end, however that comes; holds the listener.
    class counted_connection {
    public:
        // `of_peer` counts the connections of its peer; null if they are not counted. Is one of
        // the process's descriptor_budget already, and gives that back.
        counted_connection(std::shared_ptr<listener_base>, peer_count* of_peer) noexcept;
        counted_connection(counted_connection&&) noexcept = default;
        counted_connection& operator=(counted_connection&&) = delete;
        ~counted_connection();

    private:
        std::shared_ptr<listener_base> listener_;
        peer_count* of_peer_;
    };

    // Owns a session. While it lives, the listener knows the session: drain() and stop() reach it.
    // It can be found only while it is established.
    // One object with the count of the connection, as the session ends before it lets go of the
    // listener: compilers differ in the order in which they destroy a coroutine's parameters.
    class registration {
    public:
        registration(std::unique_ptr<session_base>, counted_connection);
        registration(registration&&) noexcept = default;
        registration& operator=(registration&&) = delete;
        ~registration();

        session_base& session() const noexcept { return *session_; }

    private:
        counted_connection counted_;
        std::unique_ptr<session_base> session_;
    };

    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>, uid) = 0;
    // Whether a message may be with the logic while the session waits.
    virtual bool logic_waits() const noexcept = 0;
    // Whether code of the user that a session runs may wait, such as opened(): then run_session()
    // can be cancelled.
    virtual bool can_be_cancelled() const noexcept = 0;
    // The parts of a session's life that depend on its protocol and its logic: run_session.hpp.
    virtual task<error_code> open(session_base&, bool& opened) = 0;
    virtual task<error_code> serve_messages(session_base&) = 0;
    virtual task<> close(session_base&, bool opened, error_code why,
                         std::exception_ptr& thrown) = 0;

    session_settings& settings() noexcept { return settings_; }

private:
    friend class server;

    void start();
    static task<> accept_all(std::shared_ptr<listener_base>);
    static task<> accept_until_end(listener_base&);
    static void accept_again(void* self);
    void accepting_threw() noexcept;
    bool has_room() const noexcept;
    task<> wait_for_room();
    bool accept_some();  // false: back off
    bool accept_a_batch();
    void begin(std::unique_ptr<channel>, descriptor_budget::share);
    bool admit(const channel&, peer_count*& of_peer);
    // The whole life of one connection. Throws nothing.
    template <bool can_be_cancelled>
    task<> run_session(registration);
    task<> end(session_base&, bool opened, error_code why);
    // Sends what is left, counts and logs why it ended, and lets the peer read to the end.
    task<> finish(session_base&, error_code why);
    // Counts and logs an exception of the user's code; what the conversation then ends with.
    error_code threw(session_base&, std::exception_ptr) noexcept;
    // The same where there is no session (any more).
    void broke(uid, std::exception_ptr) noexcept;
    void count(error_code why);
    static std::uint32_t whole_seconds(time_point) noexcept;

    session_settings settings_;
    std::shared_ptr<server_context> context_;
    std::shared_ptr<transport> net_;  // the server's, or that of the action
    std::unique_ptr<acceptor> acceptor_;
    address endpoint_;
    std::size_t descriptors_;  // that the process may have
    std::size_t open_ = 0;
    std::map<ip_bytes, std::size_t> open_from_;
    std::vector<numbered_session>::const_iterator place_of(std::uint64_t number) const noexcept;

    std::vector<numbered_session>
        sessions_;  // the null ones are taken out when they are half of it
    std::size_t ended_sessions_ = 0;
    listener_counters counters_;
    event room_;                        // there may be room for another connection
    deadline look_again_;               // for room, which another server of the process has made
    deadline again_;                    // accepting begins anew, after memory ran out
    std::function<void()> when_empty_;  // the server's
    bool ending_ = false;
};

}  // namespace ice
