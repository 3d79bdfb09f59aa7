// nats: the client protocol of NATS (docs.nats.io: "Client Protocol"), with headers. A message is
// what the server sends of a subscription, in the bytes in which it arrived: parse() allocates
// nothing for it. nats_command.hpp makes what a client sends.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/nats_command.hpp>
#include <ice/nats_info.hpp>
#include <ice/nats_message.hpp>
#include <ice/protocol.hpp>
#include <memory>
#include <string>

namespace ice {

// How a connection begins: `ice::nats({.user = "app", .password = secret})`.
struct nats_options {
    std::string user{};
    std::string password{};
    std::string token{};  // instead of user and password
    std::string name{};   // what the server's monitoring shows
    bool echo = true;     // the connection's own messages come back, if it has subscribed to them
};

// The protocol of a client, for a link: a server sends messages unasked, so a pool cannot use it.
class ICE_API nats {
public:
    // Bytes of a line of the server with its end; that of an INFO, which lists the servers of a
    // cluster, has more.
    static constexpr std::size_t line_limit = 4096;
    static constexpr std::size_t info_limit = 32 * 1024;

    // Headers and payload of a message have at most 1 MiB, the default of nats-server
    // (max_payload).
    nats() = default;
    // Headers and payload of a message have at most `limit` bytes. link_limits::message and
    // link_limits::outbox bound a whole message, with its line: for payloads of up to `limit` bytes
    // set them to limit + line_limit + 2.
    explicit nats(nats_options options, std::size_t limit = 1024 * 1024);

    // A connection begins with INFO of the server. parse() answers with CONNECT and PING. If the
    // server refuses, the connection fails as a handshake does, and the log has the server's own
    // text, such as "Authorization Violation", or why this client cannot use the server: it
    // requires TLS, or a signature of its nonce (nkeys) and the options have neither user nor
    // token. PONG ends the handshake.
    //
    // Returns the messages of subscriptions. It answers PING with PONG, and skips +OK, PONG and
    // INFO; take_pongs() and take_infos() make it return the latter. An -ERR that ends no
    // connection (permissions, an invalid subject, too many subscriptions) is a message of the type
    // error. Any other -ERR is the error of parse(), with the server's text: the server closes the
    // connection, as after "Slow Consumer" or "Maximum Payload Violation".
    //
    // It resumes where it stopped, so its cost is O(n) however the bytes arrive. It reserves no
    // memory for a length that is only declared. It appends at most as many bytes as `input` has,
    // and CONNECT. Returns errc::message_too_large for a longer line, and for headers and payload
    // beyond the limit as soon as their length has arrived; errc::bad_message for anything else
    // that the protocol does not allow.
    parsed<nats_view> parse(std::string_view input, std::string& out);

    // Appends the command. Returns errc::unencodable as nats_command says, and for headers if the
    // server has none. Returns errc::message_too_large for headers and payload beyond the limit or
    // nats_info::max_payload: the server would close the connection.
    error_code packet(const nats_command& command, std::string& out);

    // What the server has told last. Empty before its first INFO.
    const nats_info& server() const noexcept { return server_; }

    // PINGs that were sent and have no PONG yet, without that of the handshake.
    std::size_t pings() const noexcept { return pings_; }

    // From now on parse() also returns each PONG, or each INFO but the first. A logic calls them in
    // opened(): `peer.protocol().take_infos();`
    void take_pongs() noexcept { takes_pongs_ = true; }
    void take_infos() noexcept { takes_infos_ = true; }

    // The handshake, for sessions: see protocol.hpp.
    std::size_t log_in(std::string&) const noexcept { return 1; }
    error_code logged_in(const nats_view& reply) const noexcept;

private:
    enum class phase : std::uint8_t { greeting, handshake, open };

    parsed<nats_view> take_line(std::string_view line, std::size_t size, std::string& out);
    parsed<nats_view> take_info(std::string_view line, std::size_t size, std::string& out);
    parsed<nats_view> take_error(std::string_view line, std::size_t size);
    error_code begin_message(std::string_view line, bool has_headers);
    parsed<nats_view> take_payload(std::string_view input);
    std::string_view refuses_server() const noexcept;
    void append_connect(std::string& out) const;

    std::size_t limit_ = 1024 * 1024;              // max_payload of nats-server
    std::shared_ptr<const nats_options> options_;  // one for all connections; may be null
    nats_info server_;
    detail::nats_layout message_;  // whose line has been read
    std::size_t end_ = 0;          // of that message, without its last CR LF; 0: no line was read
    std::size_t scanned_ = 0;      // the line has no CR before this offset
    std::size_t pings_ = 0;
    phase phase_ = phase::greeting;
    bool takes_pongs_ = false;
    bool takes_infos_ = false;
};

}  // namespace ice
