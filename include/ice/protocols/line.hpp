// line: messages that end with a delimiter, CR LF unless said otherwise. Strict: no other end
// counts. The scan resumes where it stopped, so a line costs O(n) however its bytes arrive.
#pragma once

#include <cstring>
#include <ice/protocol.hpp>
#include <stdexcept>

namespace ice {

class line {
public:
    line() : line("\r\n") {}

    // A line of at most `limit` bytes, without its delimiter; 8 KiB is what HTTP servers allow too.
    // Throws std::invalid_argument if the delimiter is empty.
    explicit line(std::string delimiter, std::size_t limit = 8 * 1024)
        : delimiter_(std::move(delimiter)), limit_(limit) {
        if (delimiter_.empty()) throw std::invalid_argument("line: an empty delimiter");
    }

    // The line without its delimiter. errc::message_too_large as soon as it must be longer.
    parsed<std::string_view> parse(std::string_view input) {
        std::size_t last = find_last_byte(input, scanned_);
        while (last < input.size() && !ends_delimiter(input, last))
            last = find_last_byte(input, last + 1);
        if (last >= input.size()) return unfinished(input.size());
        scanned_ = 0;
        const std::size_t size = last + 1 - delimiter_.size();
        if (size > limit_) return errc::message_too_large;
        return {input.substr(0, size), last + 1};
    }

    // errc::unpackable if the text has the delimiter in it, or makes one with the beginning of its
    // own: it would be two lines on the other side; errc::message_too_large beyond the limit.
    error_code packet(std::string_view text, std::string& out) {
        if (text.size() > limit_) return make_error_code(errc::message_too_large);
        const std::size_t before = out.size();
        out.append(text);
        for (const char c : delimiter_) out.push_back(c);  // two bytes: less than a call
        if (cannot_hold_delimiter(text)) return {};
        if (out.find(delimiter_, before) == before + text.size()) return {};
        out.resize(before);
        return make_error_code(errc::unpackable);
    }

private:
    // Where the delimiter's last byte is next (memchr is the fastest scan there is), or the end.
    std::size_t find_last_byte(std::string_view input, std::size_t at) const {
        if (at >= input.size()) return input.size();
        const void* hit = std::memchr(input.data() + at, delimiter_.back(), input.size() - at);
        if (hit == nullptr) return input.size();
        return static_cast<std::size_t>(static_cast<const char*>(hit) - input.data());
    }

    // By hand: for one or two bytes a call of memcmp costs more.
    bool ends_delimiter(std::string_view input, std::size_t last) const {
        const std::size_t before = delimiter_.size() - 1;
        if (last < before) return false;
        for (std::size_t i = 0; i < before; ++i) {
            if (input[last - before + i] != delimiter_[i]) return false;
        }
        return true;
    }

    parsed<std::string_view> unfinished(std::size_t size) {
        scanned_ = size;
        if (size >= delimiter_.size() && size - delimiter_.size() >= limit_)
            return errc::message_too_large;
        return need_more;
    }

    // True for nearly all text: the delimiter's last byte is nowhere but at the delimiter's end.
    bool cannot_hold_delimiter(std::string_view text) const {
        for (std::size_t i = 0; i + 1 < delimiter_.size(); ++i) {
            if (delimiter_[i] == delimiter_.back()) return false;
        }
        return find_last_byte(text, 0) == text.size();
    }

    std::string delimiter_;
    std::size_t limit_;
    std::size_t scanned_ = 0;  // no delimiter ends before it
};

}  // namespace ice
