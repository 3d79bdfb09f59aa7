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
        const std::size_t found = find(input);
        if (found == input.npos) {
            const std::size_t size = input.size();
            if (size >= delimiter_.size() && size - delimiter_.size() >= limit_)
                return errc::message_too_large;
            return need_more;
        }
        scanned_ = 0;
        if (found > limit_) return errc::message_too_large;
        return {input.substr(0, found), found + delimiter_.size()};
    }

    // errc::unpackable if the text has the delimiter in it, or makes one with the beginning of its
    // own: it would be two lines on the other side; errc::message_too_large beyond the limit.
    error_code packet(std::string_view text, std::string& out) {
        if (text.size() > limit_) return make_error_code(errc::message_too_large);
        const std::size_t before = out.size();
        out.append(text).append(delimiter_);
        if (out.find(delimiter_, before) == before + text.size()) return {};
        out.resize(before);
        return make_error_code(errc::unpackable);
    }

private:
    // Looks for the delimiter's last byte (memchr is the fastest scan there is), then behind it.
    std::size_t find(std::string_view input) {
        const std::size_t before = delimiter_.size() - 1;
        std::size_t at = scanned_ < before ? before : scanned_;
        while (at < input.size()) {
            const void* hit = std::memchr(input.data() + at, delimiter_.back(), input.size() - at);
            if (hit == nullptr) break;
            const auto last =
                static_cast<std::size_t>(static_cast<const char*>(hit) - input.data());
            if (std::memcmp(input.data() + last - before, delimiter_.data(), before) == 0)
                return last - before;
            at = last + 1;
        }
        scanned_ = input.size();
        return input.npos;
    }

    std::string delimiter_;
    std::size_t limit_;
    std::size_t scanned_ = 0;  // no delimiter ends before it
};

}  // namespace ice
