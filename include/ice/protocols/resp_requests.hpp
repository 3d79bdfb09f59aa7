// resp_requests: what a server of Redis' language is asked (RESP2, the requests of resp.hpp), and
// inline commands: lines of words, for people with telnet. A client's side is the stricter resp.
#pragma once

#include <ice/protocols/resp.hpp>

namespace ice {

// Whether a word of a request is the name of a command, which is given in small letters; in a
// request it may have large ones. `if (ice::resp_names(word.text(), "get")) ..`
inline bool resp_names(std::string_view word, std::string_view command) {
    if (word.size() != command.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        const char c = word[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c) != command[i]) return false;
    }
    return true;
}

class ICE_API resp_requests {
public:
    // Of an inline command with its line end: what a terminal lets one type (N_TTY of Linux).
    static constexpr std::size_t inline_limit = 4 * 1024;

    resp_requests() = default;
    // A request of at most `limit` bytes, all of it counted.
    explicit resp_requests(std::size_t limit) : limit_(limit) {}

    // A request: an array of at least one bulk string, and nothing else in it. Its words:
    //     for (ice::resp_view word : request) .. word.text()
    // An inline command comes as the same array. It ends with LF or CR LF, its words are parted by
    // blanks; "two words" may have \n \r \t \b \a \xHH \" and \\ in them, 'two words' only \'.
    // As Redis does, it passes over empty arrays and lines. Nothing is reserved for what a length
    // only declares.
    // errc::message_too_large: a request that is longer than the limit, or must become so by a
    // length it declares, or a line beyond inline_limit; errc::bad_message: anything else that is
    // no request, also POST and Host:, by which a browser would carry commands here from a page.
    // Before the connection ends `out` gets an error that says so.
    // The request is a view of the input, or of this object if it was inline: it lives until the
    // next parse().
    parsed<resp_view> parse(std::string_view input, std::string& out);

    // An answer of any type. errc::message_too_large beyond the limit.
    error_code packet(resp_view value, std::string& out) {
        if (value.bytes().size() > limit_) return make_error_code(errc::message_too_large);
        out.append(value.bytes());
        return {};
    }

private:
    parsed<resp_view> array(std::string_view input, std::string& out);
    parsed<resp_view> inline_command(std::string_view input, std::string& out);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;               // the words before it are whole; of a line: no LF before it
    std::size_t left_ = 0;             // words to come, once the array's header is passed
    std::string inline_;               // an inline command, packed
};

}  // namespace ice
