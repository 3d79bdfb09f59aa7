// script: runs a protocol on given bytes, without a connection. For tests of your own protocols:
//     BOOST_TEST(ice::testing::split_difference(my_protocol{}, "some\r\nbytes\r\n") == "");
#pragma once

#include <fmt/format.h>

#include <ice/protocol.hpp>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace ice::testing {

// What a protocol made of given bytes.
template <protocol P>
struct transcript {
    // The messages in order, as copies that own their bytes.
    std::vector<owned_t<message_t<P>>> messages;
    std::string answers;   // what the protocol appended to `out`
    error_code error;      // the error of parse(); the bytes behind it were not fed
    std::size_t left = 0;  // bytes of an unfinished message

    friend bool operator==(const transcript&, const transcript&) = default;
};

// Feeds the pieces as a session would: it appends each to the bytes that are not yet consumed, and
// calls parse() until it consumes nothing. It takes `p` by value: pass a protocol in its first
// state. Does not compile for a protocol with handle(), which needs a session.
template <protocol P>
transcript<P> play(P p, const std::vector<std::string_view>& pieces) {
    transcript<P> seen;
    std::string input;
    for (const std::string_view piece : pieces) {
        input += piece;
        for (;;) {
            auto found = [&] {
                if constexpr (detail::parses<P>) return p.parse(input);
                else return p.parse(input, seen.answers);
            }();
            seen.error = found.error();
            if (found.has_message()) seen.messages.emplace_back(std::move(found.message()));
            const std::size_t used = found.size();
            // A fresh copy each time, so that AddressSanitizer finds a protocol that uses a view
            // into the input of an earlier call.
            input = std::string(std::string_view(input).substr(used));
            seen.left = input.size();
            if (seen.error) return seen;
            if (used == 0) break;
        }
    }
    return seen;
}
// The same with all bytes in one piece.
template <protocol P>
transcript<P> play(P p, std::string_view bytes) {
    return play(std::move(p), std::vector<std::string_view>{bytes});
}

// Checks that a protocol makes the same of `bytes` however they arrive: byte by byte, cut in two at
// every point and, up to 128 bytes, cut in three at every pair of points. TCP may split a stream
// anywhere. Returns "" if so, or else the first cut that made a difference, such as "cut at 7".
template <protocol P>
std::string split_difference(const P& p, std::string_view bytes) {
    const auto whole = play(p, bytes);
    const auto same = [&](const std::vector<std::string_view>& pieces) {
        const auto seen = play(p, pieces);
        // An error may come before the rest is fed, so `left` differs then.
        return seen.messages == whole.messages && seen.answers == whole.answers &&
               seen.error == whole.error && (whole.error || seen.left == whole.left);
    };
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
    if (!same(single)) return "byte by byte";
    for (std::size_t i = 1; i < bytes.size(); ++i) {
        if (!same({bytes.substr(0, i), bytes.substr(i)})) return fmt::format("cut at {}", i);
    }
    if (bytes.size() > 128) return "";  // n * n / 2 cuts of n bytes each: short ones only
    for (std::size_t i = 1; i < bytes.size(); ++i) {
        for (std::size_t j = i + 1; j < bytes.size(); ++j) {
            if (!same({bytes.substr(0, i), bytes.substr(i, j - i), bytes.substr(j)}))
                return fmt::format("cut at {} and {}", i, j);
        }
    }
    return "";
}

}  // namespace ice::testing
