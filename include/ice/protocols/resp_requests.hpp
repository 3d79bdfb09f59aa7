// resp_requests: the requests that clients of Redis send to a server (RESP2, resp.hpp), and inline
// commands: lines of words, for people with telnet. For servers; clients use the stricter resp.
#pragma once

#include <cassert>
#include <ice/protocols/resp.hpp>

namespace ice {

// Whether a word of a request is the name of a command: compares ASCII letters without their case.
// `if (ice::resp_names(word.text(), "get")) ..` Requires: `command` has no capital letters.
inline bool resp_names(std::string_view word, std::string_view command) {
    if (word.size() != command.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        assert(command[i] < 'A' || command[i] > 'Z');
        const char c = word[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c) != command[i]) return false;
    }
    return true;
}

class ICE_API resp_requests {
public:
    // Bytes of an inline command with its line end: a terminal does not let users type a longer
    // line (Linux, N_TTY).
    static constexpr std::size_t inline_limit = 4 * 1024;

    // A request has at most 1 MiB, as limits::message.
    resp_requests() = default;
    // A request has at most `limit` bytes, lengths and line ends included. limits::message bounds
    // it as well.
    explicit resp_requests(std::size_t limit) : limit_(limit) {}

    // Returns a request: an array of at least one bulk string, with no other type in it. Its words:
    //     for (ice::resp_view word : request) .. word.text()
    // An inline command is returned as the same array. It ends with LF or CR LF, and blanks
    // separate its words. "two words" may contain \n \r \t \b \a \xHH \" and \\, 'two words' only
    // \'. As Redis does, parse() skips empty arrays and lines. It reserves no memory for a length
    // that is only declared.
    //
    // Returns errc::message_too_large for a request that is longer than the limit, or as soon
    // as a length that it declares would make it so, and for a line beyond inline_limit. Returns
    // errc::bad_message for anything else that is no request. Before each of these errors it
    // appends an error value that says why to `out`. It also returns errc::bad_message, without
    // such a text, for the inline commands POST and Host:, as a web page can make a browser send a
    // form to this port whose lines would be commands.
    //
    // The request is a view into the input, or into this object if it was inline. It is valid until
    // the next parse().
    parsed<resp_view> parse(std::string_view input, std::string& out);

    // Appends an answer of any type. Returns errc::message_too_large beyond the limit.
    error_code packet(resp_view value, std::string& out) {
        if (value.bytes().size() > limit_) return make_error_code(errc::message_too_large);
        out.append(value.bytes());
        return {};
    }

private:
    parsed<resp_view> array(std::string_view input, std::string& out);
    parsed<resp_view> inline_command(std::string_view input, std::string& out);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;    // array: words before this offset are whole; line: no LF before it
    std::size_t left_ = 0;  // words to come, once the array's header was read
    std::string inline_;    // an inline command, as an array
};

}  // namespace ice
