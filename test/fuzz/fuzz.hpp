// fuzz: the parts of every fuzz target: an input, which is data and a plan of how to split it;
// checks that print their text and end the program; and the heap that a protocol uses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ice/protocol.hpp>
#include <ice/testing/script.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace fuzz {

// A finding: libFuzzer keeps the input.
inline void check(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "fuzz: not true: %s\n", what);
    std::abort();
}

// The data, and behind it a plan that is cut off the end, so that neither moves the other when
// libFuzzer changes one: .. data, sizes of pieces, how many of those, the target's own choice.
class input {
public:
    input(const std::uint8_t* bytes, std::size_t size)
        : data_(reinterpret_cast<const char*>(bytes), size) {
        choice_ = take();
        const std::size_t n = std::min<std::size_t>(take() % 16, data_.size());
        plan_ = data_.substr(data_.size() - n);
        data_.remove_suffix(n);
    }

    std::string_view data() const { return data_; }
    // 0 .. n - 1. The low digits first: each call takes its own out of the choice.
    unsigned choose(unsigned n) {
        const unsigned chosen = choice_ % n;
        choice_ /= n;
        return chosen;
    }
    // The data, cut in pieces of 1 to 256 bytes as the plan says, over and over; without a plan
    // it is one piece.
    std::vector<std::string_view> pieces() const {
        std::vector<std::string_view> cut;
        std::string_view rest = data_;
        for (std::size_t i = 0; !plan_.empty() && !rest.empty(); i = (i + 1) % plan_.size()) {
            const auto size = std::size_t{static_cast<unsigned char>(plan_[i])} + 1;
            cut.push_back(rest.substr(0, size));
            rest.remove_prefix(cut.back().size());
        }
        if (!rest.empty()) cut.push_back(rest);
        return cut;
    }

private:
    unsigned take() {
        if (data_.empty()) return 0;
        const auto last = static_cast<unsigned char>(data_.back());
        data_.remove_suffix(1);
        return last;
    }

    std::string_view data_;
    std::string_view plan_;
    unsigned choice_;
};

inline std::vector<std::string_view> byte_by_byte(std::string_view data) {
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < data.size(); ++i) single.push_back(data.substr(i, 1));
    return single;
}

// What is allocated while one of these lives: now, and at the worst moment. Not nested.
class heap_watch {
public:
    heap_watch();
    ~heap_watch();
    heap_watch(const heap_watch&) = delete;
    heap_watch& operator=(const heap_watch&) = delete;
};
struct heap {
    std::ptrdiff_t now = 0, peak = 0;
};
heap& watched() noexcept;

// A protocol under watch: what parse() may not do whatever it is given. It is a protocol itself, so
// that ice::testing::play() and a server can drive it.
template <class P>
class watched_protocol {
public:
    // `error_text`: the most bytes that it answers when it finds an error.
    explicit watched_protocol(P p, std::size_t error_text = 0)
        : p_(std::move(p)), error_text_(error_text) {
        watched() = {};
    }

    auto parse(std::string_view in, std::string& out) {
        check(in.size() >= expected_, "all that is not consumed is there again");
        fed_ += in.size() - expected_;
        const std::size_t answered = out.size();
        auto found = [&] {
            const heap_watch watching;
            if constexpr (ice::detail::parses<P>) return p_.parse(in);
            else return p_.parse(in, out);
        }();
        check(found.size() <= in.size(), "no more is consumed than was given");
        check(!found.has_message() || found.size() != 0, "a message has bytes");
        check(!found.failed() || !found.has_message(), "an error is no message");
        check(!ended_, "nothing is parsed after an error");
        ended_ = found.failed();
        expected_ = in.size() - found.size();
        answers_ += out.size() - answered;
        // Nothing is reserved for what a length only declares, and no peer makes us talk more than
        // it does, but for one error that ends the connection.
        check(watched().peak <= static_cast<std::ptrdiff_t>(64 * 1024 + 4 * fed_),
              "the heap is at most 64 KiB and four bytes for each one fed");
        check(answers_ <= fed_ + (ended_ ? error_text_ : 0), "no more is answered than was fed");
        return found;
    }
    template <class A>
    auto packet(const A& message, std::string& out) {
        return ice::packet(p_, message, out);
    }

private:
    P p_;
    std::size_t error_text_;
    std::size_t fed_ = 0;
    std::size_t expected_ = 0;  // given before and not consumed
    std::size_t answers_ = 0;
    bool ended_ = false;
};

// However it is cut, the same bytes are the same messages, answers and error.
template <class P>
auto same_at_every_cut(const P& p, const input& in, std::size_t error_text = 0) {
    using ice::testing::play;
    const watched_protocol<P> w(p, error_text);
    const auto whole = play(w, std::vector<std::string_view>{in.data()});
    for (const auto& pieces : {in.pieces(), byte_by_byte(in.data())}) {
        const auto seen = play(w, pieces);
        check(seen.messages == whole.messages, "cut, it is the same messages");
        check(seen.answers == whole.answers, "cut, it is the same answers");
        check(seen.error == whole.error, "cut, it is the same error");
        check(whole.error || seen.left == whole.left, "cut, as much is left over");
    }
    return whole;
}

}  // namespace fuzz
