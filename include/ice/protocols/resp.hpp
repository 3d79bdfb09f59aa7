// resp: RESP2 and RESP3, the protocol of Redis, Valkey and KeyDB (redis.io: "Redis serialization
// protocol specification"). A message is one value, in the bytes in which it arrived: parse()
// allocates nothing for it. resp_value.hpp has the values and the requests.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>
#include <ice/resp_value.hpp>
#include <memory>
#include <string>

namespace ice {

// How a connection begins: `ice::resp({.user = "app", .password = secret, .version = 3})`.
struct resp_login {
    std::string user{};      // AUTH with a user, since Redis 6; without one the default user's
    std::string password{};  // AUTH, unless user and password are empty
    std::string name{};      // CLIENT SETNAME: what CLIENT LIST shows; without blanks
    unsigned database = 0;   // SELECT, unless it is 0
    int version = 2;         // 3: HELLO 3, since Redis 6: replies have the types of RESP3
};

// The protocol of a client, and of a server that takes no inline commands (resp_requests).
class ICE_API resp {
public:
    // How deep arrays, maps, sets, pushes and attributes may be nested. An attribute is a level for
    // the value behind it as well. Replies of Redis itself have at most about 8 levels.
    static constexpr std::size_t depth_limit = 32;

    // A value has at most 1 MiB, as limits::message.
    resp() = default;
    // A value has at most `limit` bytes, type, lengths and line ends included. limits::message and
    // pool_limits::message bound it as well: raise both for larger values.
    explicit resp(std::size_t limit) : limit_(limit) {}

    // A pool logs each connection in, before it assigns it to a caller: it sends the commands that
    // `login` needs in one write, and waits for their replies, at most pool_timeouts::handshake. If
    // Redis refuses one of them, the connection fails as a handshake does, and failure::cause() and
    // the log have Redis' own text, such as "WRONGPASS invalid username-password pair or user is
    // disabled." A text that may hold the password is cut. Throws std::invalid_argument for a
    // version other than 2 and 3.
    explicit resp(resp_login login, std::size_t limit = 1024 * 1024);

    // Makes this the server's end of a connection, to which a push is a bad message, and which does
    // not log in. A listener calls it.
    void as_server() noexcept { is_server_ = true; }

    // parse() skips a push (RESP3), as it is no reply: otherwise the caller of a request would get
    // it, and the next caller the reply. After take_pushes() it returns them as messages, and a
    // pool closes the connection when its lease ends. So a lease can subscribe:
    //     (*lease)->protocol().take_pushes();
    //     co_await (*lease)->send(ice::resp_command("SUBSCRIBE", "news"));
    // then receive() returns the pushes. In RESP3 the confirmation of SUBSCRIBE is a push as well.
    // Requires: it is of a lease's session, or of a session without a pool.
    void take_pushes() noexcept { takes_pushes_ = true; }
    // Whether a pool may use the connection for another request: see protocol.hpp.
    bool is_reusable() const noexcept { return !takes_pushes_; }

    // Returns one value: a reply, or a request (an array of bulk strings; servers also have
    // resp_requests, with inline commands). It reads RESP2 and RESP3, whichever the other end
    // sends. It resumes where it stopped, so its cost is O(n) however the bytes arrive. It reserves
    // no memory for a length that is only declared.
    // Returns errc::message_too_large for a value that is longer than the limit, or as soon
    // as a length that it declares would make it so. Returns errc::bad_message for anything else
    // that RESP3 does not allow, for a push within another value, for the streamed types ($?, *?),
    // which Redis does not send, and for values nested deeper than depth_limit.
    parsed<resp_view> parse(std::string_view input);

    // The log-in, for sessions: see protocol.hpp.
    std::size_t log_in(std::string& out) const;
    error_code logged_in(const resp_view& reply) const;

    // Appends the value. Returns errc::message_too_large beyond the limit.
    error_code packet(resp_view value, std::string& out);

    // Appends a request, an array of bulk strings, of any container of words such as
    // std::vector<std::string>. Returns errc::unencodable if the container is empty, as Redis never
    // replies to an empty array, and errc::message_too_large beyond the limit.
    template <class Words>
        requires requires(const Words& w) {
            { *w.begin() } -> std::convertible_to<std::string_view>;
            { w.size() } -> std::convertible_to<std::size_t>;
        }
    error_code packet(const Words& words, std::string& out) {
        const std::size_t before = out.size();
        if (words.size() == 0) return make_error_code(errc::unencodable);
        detail::append_resp_header('*', static_cast<std::int64_t>(words.size()), out);
        for (const std::string_view word : words) detail::append_resp_bulk(word, out);
        if (out.size() - before <= limit_) return {};
        out.resize(before);
        return make_error_code(errc::message_too_large);
    }

private:
    // What became of the next value: it is whole, it needs more bytes, or parse() fails.
    enum class step : std::uint8_t { taken, more, too_large, bad };

    step take(std::string_view input);
    step taken(std::size_t end);
    step take_number(std::string_view input, std::string_view text, std::size_t end);
    step take_bulk(std::string_view input, std::size_t end, std::size_t size);
    step open_aggregate(char type, std::size_t end, std::size_t size);

    std::size_t limit_ = 1024 * 1024;          // limits::message
    std::shared_ptr<const resp_login> login_;  // one for all connections; may be null
    std::size_t at_ = 0;                       // the offset of the first value that is not whole
    std::size_t scanned_ = 0;                  // its header has no CR before this offset
    std::array<std::uint32_t, depth_limit> left_{};  // elements to come, for each enclosing value
    bool is_server_ = false;
    bool takes_pushes_ = false;
    std::uint32_t depth_ = 0;  // enclosing values
};

}  // namespace ice
