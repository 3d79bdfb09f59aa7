// line: messages that end with a delimiter, CR LF by default. Nothing else ends a message: a lone
// LF is part of the line. parse() looks at each byte once, however the bytes arrive.
#pragma once

#include <cstdint>
#include <cstring>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

// Lines may hold any bytes, NUL included: a logic that prints them uses ice::escaped(). For people
// with a telnet client use ice::telnet, which removes the client's commands from the lines.
//     ice::line()             lines with CR LF, as in SMTP and HTTP headers
//     ice::line("\n", 1024)   lines with LF, of at most 1024 bytes
class ICE_API line {
public:
    // Delimiter CR LF, limit 8 KiB.
    line() : line("\r\n") {}

    // A line has at most `limit` bytes without its delimiter; HTTP servers usually allow 8 KiB too.
    // limits::message bounds it as well. A `limit` above 4 GiB - 1 means 4 GiB - 1. Throws
    // std::invalid_argument if the delimiter is empty.
    explicit line(std::string delimiter, std::size_t limit = 8 * 1024);

    // Returns the line without its delimiter, a view into the input, or errc::message_too_large
    // when more than `limit` bytes have no delimiter. An empty line is a message.
    parsed<std::string_view> parse(std::string_view input) {
        // The usual line takes no call but memchr, the fastest scan there is.
        if (scanned_ < input.size()) {
            const auto* end = static_cast<const char*>(
                std::memchr(input.data() + scanned_, last_, input.size() - scanned_));
            if (end != nullptr && end != input.data() && end[-1] == first_of_two_) {
                const auto size = static_cast<std::size_t>(end - 1 - input.data());
                if (size <= limit_) {
                    scanned_ = 0;
                    return {std::string_view(input.data(), size), size + 2};
                }
            }
        }
        return parse_any(input);
    }

    // Appends the text and the delimiter. Returns errc::unencodable if the text contains the
    // delimiter, or if its last bytes and the first ones of the appended delimiter make one: the
    // other side would see two lines. Returns errc::message_too_large beyond the limit. logic.hpp
    // says what the session does with an answer that is refused.
    error_code packet(std::string_view text, std::string& out);

private:
    // The general cases, for any delimiter.
    parsed<std::string_view> parse_any(std::string_view input);
    error_code packet_any(std::string_view text, std::string& out) const;

    std::string delimiter_;
    std::size_t scanned_ = 0;    // no delimiter ends before this offset
    std::uint32_t limit_;        // 32 bits: each connection has a copy
    std::int16_t first_of_two_;  // a delimiter of two different bytes: its first; else no char
    char last_;                  // the last byte of the delimiter
};

}  // namespace ice
