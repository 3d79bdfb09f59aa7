// line: messages that end with a delimiter, CR LF by default, and with nothing else: a lone LF is
// part of a line. parse() looks at each byte once, however the bytes arrive.
#pragma once

#include <cstdint>
#include <cstring>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

class ICE_API line {
public:
    line() : line("\r\n") {}

    // A line has at most `limit` bytes without its delimiter; HTTP servers usually allow 8 KiB too.
    // A `limit` above 4 GiB - 1 means 4 GiB - 1. Throws std::invalid_argument if the delimiter is
    // empty.
    explicit line(std::string delimiter, std::size_t limit = 8 * 1024);

    // Returns the line without its delimiter, a view into the input; errc::message_too_large when
    // more than `limit` bytes have no delimiter.
    parsed<std::string_view> parse(std::string_view input) {
        // The usual line, without a call: memchr is the fastest scan there is.
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

    // errc::unencodable if the text has the delimiter in it, or makes one with the beginning of its
    // own: it would be two lines on the other side; errc::message_too_large beyond the limit. What
    // becomes of an answer then stands in logic.hpp.
    error_code packet(std::string_view text, std::string& out);

private:
    parsed<std::string_view> parse_any(std::string_view input);
    error_code packet_any(std::string_view text, std::string& out) const;

    std::string delimiter_;
    std::size_t scanned_ = 0;    // no delimiter ends before it
    std::uint32_t limit_;        // 32 bits: each connection has one of these
    std::int16_t first_of_two_;  // of a delimiter of two different bytes; of others no char
    char last_;                  // of the delimiter
};

}  // namespace ice
