// numbered: requests that differ in a number only, and replies that are known to the byte. Nothing
// is parsed: a request costs a copy, and a reply a comparison.
#pragma once

#include <algorithm>
#include <cstring>
#include <ice/bench.hpp>

namespace numbered {

// Bytes with a number in them, written in place.
class text {
public:
    static constexpr std::string_view blank = "###########";  // 11 digits of 6 bits

    // Requires: blank is in `bytes`.
    explicit text(std::string bytes)
        : bytes_(std::move(bytes)), digits_(bytes_.find(blank)), last_(digits_ + blank.size() - 1) {
        write(0);
    }

    std::size_t size() const { return bytes_.size(); }

    // Valid until the next call. Cheap for numbers in order: then only the last digit differs.
    std::string_view of(std::uint64_t n) {
        if (n / 64 != written_ / 64) write(n);
        bytes_[last_] = alphabet[n % 64];
        return bytes_;
    }

private:
    void write(std::uint64_t n) {
        written_ = n;
        for (std::size_t i = last_ + 1; i-- > digits_; n /= 64) bytes_[i] = alphabet[n % 64];
    }

    static constexpr std::string_view alphabet =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-";
    std::string bytes_;
    std::size_t digits_, last_;
    std::uint64_t written_ = 0;
};

class dialogue final : public ice::bench::dialogue {
public:
    dialogue(text request, text reply, std::uint64_t first)
        : request_(std::move(request)), reply_(std::move(reply)),
          alike_(request_.of(0) == reply_.of(0)), next_(first) {}

    void open(std::string&) override {}
    bool is_open() const override { return true; }

    void ask(std::size_t count, std::string& out) override {
        forget_what_has_come();
        const std::size_t begin = out.size();
        append(request_, count, out);
        if (alike_) due_.append(out, begin);
        else append(reply_, count, due_);
        next_ += count;
    }

    // All that has come is compared at once, and done with: also a piece of a reply.
    heard listen(std::string_view input, std::string&) override {
        const std::string_view due = std::string_view(due_).substr(done_);
        const std::size_t size = std::min(input.size(), due.size());
        if (std::memcmp(input.data(), due.data(), size) != 0) {
            const auto differs = std::mismatch(due.begin(), due.end(), input.begin()).first;
            const std::size_t replies = take(static_cast<std::size_t>(differs - due.begin()));
            const std::size_t begin = done_ / reply_.size() * reply_.size();
            const std::string_view expected = std::string_view(due_).substr(begin, reply_.size());
            std::string got = due_.substr(begin, done_ - begin);
            got += input.substr(static_cast<std::size_t>(differs - due.begin()));
            return {0, replies, ice::bench::fault::mismatch,
                    "expected " + quoted(expected) + ", got " + quoted(got)};
        }
        const std::size_t replies = take(size);
        if (size == input.size()) return {size, replies, ice::bench::fault::none, {}};
        return {size, replies, ice::bench::fault::unexpected,
                "not asked for: " + quoted(input.substr(size))};
    }

private:
    static std::string quoted(std::string_view bytes) { return ice::bench::detail::quoted(bytes); }

    void append(text& t, std::size_t count, std::string& out) {
        const std::size_t begin = out.size();
        out.resize(begin + count * t.size());
        char* to = out.data() + begin;
        for (std::uint64_t n = next_; n != next_ + count; ++n, to += t.size())
            std::memcpy(to, t.of(n).data(), t.size());
    }

    // So many bytes are right; returns how many replies they end.
    std::size_t take(std::size_t size) {
        const std::size_t before = done_ / reply_.size();
        done_ += size;
        return done_ / reply_.size() - before;
    }

    // Only whole replies, and seldom: each byte is moved once at most, on average.
    void forget_what_has_come() {
        if (done_ * 2 < due_.size()) return;
        const std::size_t whole = done_ / reply_.size() * reply_.size();
        due_.erase(0, whole);
        done_ -= whole;
    }

    text request_, reply_;
    bool alike_;          // an echo
    std::uint64_t next_;  // the number of the next request
    std::string due_;     // replies to come, and before them some that have
    std::size_t done_ = 0;
};

// A mode of such messages. Each function makes of a text of `size` bytes what goes over the wire.
inline ice::bench::make_dialogue talk(std::size_t size, std::string (*request)(std::string_view),
                                      std::string (*reply)(std::string_view)) {
    std::string words(text::blank);
    while (words.size() < size) words += static_cast<char>('a' + words.size() % 26);
    return [asks = text(request(words)), answers = text(reply(words))](std::uint64_t first) {
        return std::make_unique<dialogue>(asks, answers, first);
    };
}

}  // namespace numbered
