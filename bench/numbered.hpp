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
        : request_(std::move(request)), reply_(std::move(reply)), next_(first), due_(first) {}

    void open(std::string&) override {}
    bool is_open() const override { return true; }

    void ask(std::size_t count, std::string& out) override {
        const std::size_t begin = out.size();
        out.resize(begin + count * request_.size());
        for (char* to = out.data() + begin; count != 0; --count, to += request_.size())
            std::memcpy(to, request_.of(next_++).data(), request_.size());
    }

    // A piece of a reply is compared at once, and done with.
    heard listen(std::string_view input, std::string&) override {
        using ice::bench::fault;
        using ice::bench::detail::quoted;
        heard h;
        while (h.size < input.size()) {
            const std::string_view got = input.substr(h.size);
            if (due_ == next_) {
                h.wrong = fault::unexpected;
                h.why = "not asked for: " + quoted(got);
                return h;
            }
            const std::string_view reply = reply_.of(due_);
            const std::size_t size = std::min(got.size(), reply.size() - done_);
            if (std::memcmp(got.data(), reply.data() + done_, size) != 0) {
                h.wrong = fault::mismatch;
                h.why = "expected " + quoted(reply) + ", got " +
                        quoted(std::string(reply.substr(0, done_)).append(got));
                return h;
            }
            h.size += size;
            done_ += size;
            if (done_ != reply.size()) break;
            done_ = 0;
            ++due_;
            ++h.replies;
        }
        return h;
    }

private:
    text request_, reply_;
    std::uint64_t next_;    // the number of the next request
    std::uint64_t due_;     // of the next reply
    std::size_t done_ = 0;  // bytes of that reply that have come
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
