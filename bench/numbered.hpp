// numbered: requests that differ in a number only, and replies that are known to the byte. Nothing
// is parsed: a burst of requests costs a copy, and all that came of replies one comparison.
#pragma once

#include <algorithm>
#include <cstring>
#include <ice/bench.hpp>
#include <memory>
#include <string>

namespace numbered {

// Bytes with a number in them.
class text {
public:
    static constexpr std::string_view blank = "###########";  // 11 digits of 6 bits

    // Requires: blank is in `bytes`.
    explicit text(std::string_view bytes) : size_(bytes.size()), digits_(bytes.find(blank)) {
        for (std::size_t i = 0; i < std::max(most_of_copy / size_, std::size_t{1}); ++i)
            copies_ += bytes;
    }

    std::size_t size() const { return size_; }

    // Writes the texts of `first`, `first` + 1, ..: `count` * size() bytes.
    void write(std::uint64_t first, std::size_t count, char* to) const {
        char digits[blank.size()];
        spell(first, digits);
        while (count != 0) {
            const std::size_t part = std::min(count, copies_.size() / size_);
            std::memcpy(to, copies_.data(), part * size_);
            for (std::size_t i = 0; i < part; ++i, ++first, to += size_) {
                if (first % 64 == 0) spell(first, digits);
                std::memcpy(to + digits_, digits, sizeof digits);
                to[digits_ + blank.size() - 1] = alphabet[first % 64];
            }
            count -= part;
        }
    }

private:
    static constexpr std::string_view alphabet =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-";
    static constexpr std::size_t most_of_copy = 2048;  // stays in the first cache, beside the rest

    static void spell(std::uint64_t n, char* digits) {
        for (std::size_t i = blank.size(); i-- > 0; n /= 64) digits[i] = alphabet[n % 64];
    }

    std::size_t size_, digits_;
    std::string copies_;  // one behind the other
};

// Replies that are due, and before them some that have come. An echo's are its requests: they are
// sent from here.
class replies {
public:
    // Room for `size` bytes, which are due last. It moves what is due only over bytes that have
    // come, and only if those are not fewer: each is moved once at most, on average.
    char* add(std::size_t size) {
        if (begin_ == end_) begin_ = end_ = 0;
        const std::size_t due = end_ - begin_;
        if (bytes_.size() - end_ < size) {
            if (begin_ < due || bytes_.size() - due < size) {
                bytes_.resize(std::max(end_ + size, 2 * bytes_.size()));
            } else {
                std::memcpy(bytes_.data(), bytes_.data() + begin_, due);
                begin_ = 0;
                end_ = due;
            }
        }
        end_ += size;
        return bytes_.data() + end_ - size;
    }
    // The oldest `size` bytes have come.
    void take(std::size_t size) { begin_ += size; }
    std::string_view due() const { return {bytes_.data() + begin_, end_ - begin_}; }

private:
    std::string bytes_;
    std::size_t begin_ = 0, end_ = 0;
};

class dialogue final : public ice::bench::dialogue {
public:
    // `asks` is nothing if a request is its own reply.
    dialogue(std::shared_ptr<const text> asks, std::shared_ptr<const text> answers,
             std::uint64_t first)
        : asks_(std::move(asks)), answers_(std::move(answers)), next_(first) {}

    void open(std::string&) override {}
    bool is_open() const override { return true; }

    std::string_view ask(std::size_t count) override {
        const std::size_t size = count * answers_->size();
        char* const to = due_.add(size);
        answers_->write(next_, count, to);
        std::string_view requests(to, size);
        if (asks_) {
            requests_.resize(count * asks_->size());
            asks_->write(next_, count, requests_.data());
            requests = requests_;
        }
        next_ += count;
        return requests;
    }

    // All that has come is compared at once, and done with: also a piece of a reply.
    heard listen(std::string_view input, std::string&) override {
        const std::string_view due = due_.due().substr(begun_);
        const std::size_t size = std::min(input.size(), due.size());
        if (std::memcmp(input.data(), due.data(), size) != 0) {
            const auto differs = std::mismatch(due.begin(), due.end(), input.begin()).first;
            const auto right = static_cast<std::size_t>(differs - due.begin());
            const std::size_t whole = take(right);
            std::string got(due_.due().substr(0, begun_));
            got += input.substr(right);
            return {0, whole, ice::bench::fault::mismatch,
                    "expected " + quoted(due_.due().substr(0, answers_->size())) + ", got " +
                        quoted(got)};
        }
        const std::size_t whole = take(size);
        if (size == input.size()) return {size, whole, ice::bench::fault::none, {}};
        return {size, whole, ice::bench::fault::unexpected,
                "not asked for: " + quoted(input.substr(size))};
    }

private:
    static std::string quoted(std::string_view bytes) { return ice::bench::detail::quoted(bytes); }

    // So many bytes more are right; returns how many replies they end.
    std::size_t take(std::size_t size) {
        begun_ += size;
        const std::size_t whole = begun_ / answers_->size();
        due_.take(whole * answers_->size());
        begun_ %= answers_->size();
        return whole;
    }

    std::shared_ptr<const text> asks_, answers_;
    std::uint64_t next_;     // the number of the next request
    std::size_t begun_ = 0;  // bytes of the reply that is due next which have come
    replies due_;
    std::string requests_;  // if they are not their own replies
};

// A mode of such messages. Each function makes of a text of `size` bytes what goes over the wire.
inline ice::bench::make_dialogue talk(std::size_t size, std::string (*request)(std::string_view),
                                      std::string (*reply)(std::string_view)) {
    std::string words(text::blank);
    while (words.size() < size) words += static_cast<char>('a' + words.size() % 26);
    const auto answers = std::make_shared<const text>(reply(words));
    std::shared_ptr<const text> asks;
    if (request(words) != reply(words)) asks = std::make_shared<const text>(request(words));
    return [=](std::uint64_t first) { return std::make_unique<dialogue>(asks, answers, first); };
}

}  // namespace numbered
