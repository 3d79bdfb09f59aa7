// script: runs a protocol on given bytes, without a connection. For tests of your own protocols:
//     BOOST_TEST(ice::testing::split_difference(my_protocol{}, "some\r\nbytes\r\n") == "");
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <ice/log.hpp>
#include <ice/protocol.hpp>
#include <string>
#include <string_view>
#include <type_traits>
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

// Messages that a text for people shows.
inline constexpr std::size_t messages_shown = 5;

// For people: the messages from number `first` on, at most `messages_shown`, then the rest of the
// transcript: `2 messages: "one", "two"; answers "here"; bad message; 3 bytes left`. A message that
// is no text, and that fmt cannot format, is `..`. The wording may change.
template <protocol P>
std::string to_string(const transcript<P>& seen, std::size_t first = 0) {
    const auto text_of = [](const auto& m) -> std::string {
        using type = std::remove_cvref_t<decltype(m)>;
        if constexpr (std::convertible_to<const type&, std::string_view>)
            return fmt::format("\"{}\"", escaped(m, 64));
        else if constexpr (fmt::is_formattable<type>::value)
            return escaped(fmt::format("{}", m), 64);
        else return "..";
    };
    const std::size_t n = seen.messages.size(), end = std::min(n, first + messages_shown);
    std::string text = fmt::format("{} message{}", n, n == 1 ? "" : "s");
    for (std::size_t i = first; i < end; ++i) {
        if (i == first) text += first == 0 ? ": " : fmt::format(", from number {} on: ", first);
        else text += ", ";
        text += text_of(seen.messages[i]);
    }
    if (end < n) text += ", ..";
    if (!seen.answers.empty()) text += fmt::format("; answers \"{}\"", escaped(seen.answers));
    if (seen.error) text += "; " + seen.error.message();
    return text + fmt::format("; {} byte{} left", seen.left, seen.left == 1 ? "" : "s");
}

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
// anywhere. Returns "" if so. Otherwise it returns the first cut that made a difference, such as
// "cut at 7", and two lines with what the protocol made of all bytes at once and of the pieces,
// from the first message that differs if there are many.
template <protocol P>
std::string split_difference(const P& p, std::string_view bytes) {
    const auto whole = play(p, bytes);
    transcript<P> seen;
    const auto same = [&](const std::vector<std::string_view>& pieces) {
        seen = play(p, pieces);
        // An error may come before the rest is fed, so `left` differs then.
        return seen.messages == whole.messages && seen.answers == whole.answers &&
               seen.error == whole.error && (whole.error || seen.left == whole.left);
    };
    const auto difference = [&](const std::string& where) {
        const std::size_t n = seen.messages.size(), m = whole.messages.size();
        std::size_t first = 0;
        if (std::max(n, m) > messages_shown) {
            while (first < std::min(n, m) && seen.messages[first] == whole.messages[first]) ++first;
        }
        return fmt::format("{}\n  at once: {}\n  in pieces: {}", where, to_string(whole, first),
                           to_string(seen, first));
    };
    std::vector<std::string_view> single;
    for (std::size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
    if (!same(single)) return difference("byte by byte");
    for (std::size_t i = 1; i < bytes.size(); ++i) {
        if (!same({bytes.substr(0, i), bytes.substr(i)}))
            return difference(fmt::format("cut at {}", i));
    }
    if (bytes.size() > 128) return "";  // n * n / 2 cuts of n bytes each: short ones only
    for (std::size_t i = 1; i < bytes.size(); ++i) {
        for (std::size_t j = i + 1; j < bytes.size(); ++j) {
            if (!same({bytes.substr(0, i), bytes.substr(i, j - i), bytes.substr(j)}))
                return difference(fmt::format("cut at {} and {}", i, j));
        }
    }
    return "";
}

}  // namespace ice::testing
