// netstring: messages of any bytes as "5:hello,", the length in decimal digits before them and a
// comma behind them (D. J. Bernstein, "Netstrings", 1997; https://cr.yp.to/proto/netstrings.txt).
#pragma once

#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

// Both ends of a connection use it. The comma shows at once that the two ends disagree on lengths.
//     ice::netstring()          messages of at most 1 MiB
//     ice::netstring(99'999)    of at most five digits
class ICE_API netstring {
public:
    // A message has at most `limit` bytes without digits, colon and comma. limits::message bounds
    // it as well, and counts those. Default: 1 MiB.
    explicit netstring(std::size_t limit = 1024 * 1024) noexcept;

    // Returns the message, a view into the input. "0:," is an empty message. The length is checked
    // digit by digit, and nothing is allocated for the bytes that it announces. Errors:
    // errc::message_too_large as soon as the digits exceed the limit. errc::bad_message for a
    // length that is empty, has a zero before other digits or has any other byte in it, and for a
    // message without its comma.
    parsed<std::string_view> parse(std::string_view input) const;

    // Appends the message as a netstring. It can express any bytes. Returns
    // errc::message_too_large beyond the limit. logic.hpp says what the session does with an
    // answer that is refused.
    error_code packet(std::string_view message, std::string& out) const;

private:
    std::size_t limit_;
};

}  // namespace ice
