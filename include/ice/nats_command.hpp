// nats_command: what a client sends to a NATS server. nats_pub(), nats_sub() .. make commands with
// subjects that the server cannot misread. No I/O.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/nats_message.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ice {

// Whether a message may be published on `text`: tokens between dots, none of them empty, none with
// blanks or control characters, none a wildcard.
ICE_API bool is_nats_subject(std::string_view text) noexcept;
// Whether a subscription may have `text`: a subject in which * stands for one token, and > at the
// end for one or more.
ICE_API bool is_nats_pattern(std::string_view text) noexcept;

// One command; a function below makes it. nats::packet() returns errc::unencodable, and nothing is
// sent, for a command that the server would misread or refuse: see the functions. Otherwise one
// wrong subject would end the connection, and all subscriptions with it.
class ICE_API nats_command {
public:
    using owns = std::true_type;  // see ice::owned

    // Bytes of its first line with the line end; the default of nats-server (max_control_line).
    static constexpr std::size_t line_limit = 4096;

    nats_command() = default;  // is not encodable

    std::string_view bytes() const noexcept { return bytes_; }
    bool is_encodable() const noexcept { return is_encodable_; }
    // Bytes of headers and payload, which the server's max_payload bounds.
    std::size_t payload_size() const noexcept { return payload_size_; }
    bool has_headers() const noexcept { return has_headers_; }

private:
    friend struct nats_command_maker;
    std::string bytes_;
    std::size_t payload_size_ = 0;
    bool is_encodable_ = false;
    bool has_headers_ = false;
};

// Publishes a message. A subscriber may send a reply to `reply_to`, if it is not empty.
ICE_API nats_command nats_pub(std::string_view subject, std::string_view payload,
                              std::string_view reply_to = {});
// The same with headers; a server that has none refuses it (nats_info::headers). A name has no
// blanks and no ':', a value no CR and LF, and no blanks at its ends.
ICE_API nats_command nats_hpub(std::string_view subject, const std::vector<nats_header>& headers,
                               std::string_view payload, std::string_view reply_to = {});

// Subscribes to a subject, or a pattern. Messages carry `sid`, which the client chooses; it is
// unique in its connection. Of all subscribers with the same `queue` one gets each message.
ICE_API nats_command nats_sub(std::string_view pattern, std::uint64_t sid,
                              std::string_view queue = {});
// Ends a subscription: after `messages` that it got since it began, or at once if that is 0.
ICE_API nats_command nats_unsub(std::uint64_t sid, std::uint64_t messages = 0);

// The server answers with PONG, when it has processed all commands before it.
ICE_API nats_command nats_ping();

// Replies to a message, also as the answer of a logic. None if the message expects no reply, or if
// its publisher expects it at what is no subject: then nothing is sent.
ICE_API std::optional<nats_command> nats_reply(const nats_view& message, std::string_view payload);

}  // namespace ice
