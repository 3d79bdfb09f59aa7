// length_prefixed: each prefix, its limits and what it refuses, at every split, compared with a
// model that writes prefixes in the plainest way.
#include <fmt/ranges.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/protocols/length_prefixed.hpp>
#include <ice/testing/script.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <vector>

#include "unreadable.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::length_prefix;
using ice::length_prefixed;
using ice::testing::play;
using ice::testing::split_difference;
using texts = std::vector<std::string>;
constexpr errc none{};

struct variant {
    length_prefix prefix;
    bool counted;
    std::size_t bytes;  // of the prefix; 0: a varint
    bool big;

    length_prefixed made(std::size_t limit = ice::unlimited) const {
        const length_prefixed p(prefix, limit);
        return counted ? p.counting_prefix() : p;
    }
    // The length of a message of `size` bytes, as the bytes of the prefix.
    std::string head(std::uint64_t size) const {
        if (bytes == 0) {
            std::size_t most = 1;
            while (varint(size + (counted ? most : 0)).size() > most) ++most;
            return varint(size + (counted ? most : 0));
        }
        std::uint64_t length = size + (counted ? bytes : 0);
        std::string text;
        for (std::size_t i = 0; i < bytes; ++i, length /= 256)
            text.insert(big ? 0 : text.size(), 1, static_cast<char>(length % 256));
        return text;
    }
    static std::string varint(std::uint64_t value) {
        std::string text;
        for (; value >= 128; value /= 128) text += static_cast<char>(value % 128 + 128);
        return text + static_cast<char>(value);
    }
    // The largest size that the prefix can express.
    std::uint64_t most() const {
        const std::uint64_t all = bytes == 0 || bytes == 8 ? UINT64_MAX : (1ULL << 8 * bytes) - 1;
        return all - (counted ? bytes == 0 ? 10 : bytes : 0);
    }
};
std::ostream& operator<<(std::ostream& out, const variant& v) {
    return out << "prefix " << static_cast<int>(v.prefix) << (v.counted ? ", counted" : "");
}

std::vector<variant> variants() {
    std::vector<variant> all;
    for (const bool counted : {false, true}) {
        all.insert(all.end(), {{length_prefix::u8, counted, 1, true},
                               {length_prefix::u16_be, counted, 2, true},
                               {length_prefix::u16_le, counted, 2, false},
                               {length_prefix::u32_be, counted, 4, true},
                               {length_prefix::u32_le, counted, 4, false},
                               {length_prefix::u64_be, counted, 8, true},
                               {length_prefix::u64_le, counted, 8, false},
                               {length_prefix::varint, counted, 0, false}});
    }
    return all;
}

errc packed(const length_prefixed& p, std::string_view text, std::string& out) {
    return static_cast<errc>(p.packet(text, out).value());
}
std::string packed(const length_prefixed& p, std::string_view text) {
    std::string out;
    BOOST_TEST((packed(p, text, out) == none));
    return out;
}

// The first message of an input, and its error, by the model: a prefix is right if the model writes
// it for the size that it has.
ice::testing::transcript<length_prefixed> model(const variant& v, std::string_view input,
                                                std::size_t limit) {
    ice::testing::transcript<length_prefixed> expected;
    for (;;) {
        expected.left = input.size();
        std::size_t n = v.bytes;
        if (n == 0) {
            while (n < input.size() && static_cast<unsigned char>(input[n]) >= 128) ++n;
            ++n;
        }
        if (input.size() < n) return expected;
        std::uint64_t length = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const auto byte = static_cast<unsigned char>(input[v.big ? i : n - 1 - i]);
            length = v.bytes == 0 ? length * 128 + byte % 128 : length * 256 + byte;
        }
        const std::uint64_t own = v.counted ? n : 0;
        if (length < own || v.head(length - own) != input.substr(0, n)) {
            expected.error = errc::bad_message;
        } else if (length - own > limit) {
            expected.error = errc::message_too_large;
        } else if (input.size() - n >= length - own) {
            expected.messages.emplace_back(input.substr(n, length - own));
            input.remove_prefix(n + length - own);
            continue;
        }
        return expected;
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(length_prefixed_protocol)

BOOST_AUTO_TEST_CASE(a_length_is_written_as_its_prefix_says) {
    // The model could have the same misunderstanding, so these bytes are written by hand.
    const std::string text(300, 'x');
    using enum length_prefix;
    BOOST_TEST(packed(length_prefixed(), "hello") == "\0\0\0\5hello"s);
    BOOST_TEST(packed(length_prefixed(u8), "hello") == "\5hello"s);
    BOOST_TEST(packed(length_prefixed(u16_be), text) == "\x01\x2c"s + text);
    BOOST_TEST(packed(length_prefixed(u16_le), text) == "\x2c\x01"s + text);
    BOOST_TEST(packed(length_prefixed(u32_be), text) == "\0\0\x01\x2c"s + text);
    BOOST_TEST(packed(length_prefixed(u32_le), text) == "\x2c\x01\0\0"s + text);
    BOOST_TEST(packed(length_prefixed(u64_be), text) == "\0\0\0\0\0\0\x01\x2c"s + text);
    BOOST_TEST(packed(length_prefixed(u64_le), text) == "\x2c\x01\0\0\0\0\0\0"s + text);
    // The example of protobuf's documentation: 300 is AC 02.
    BOOST_TEST(packed(length_prefixed(varint), text) == "\xac\x02"s + text);
    BOOST_TEST(packed(length_prefixed(u16_be).counting_prefix(), text) == "\x01\x2e"s + text);
    BOOST_TEST(packed(length_prefixed(varint).counting_prefix(), text) == "\xae\x02"s + text);
    BOOST_TEST(packed(length_prefixed(u32_le).counting_prefix(), "") == "\4\0\0\0"s);
}

BOOST_AUTO_TEST_CASE(messages_of_every_size_come_back_at_every_split) {
    // Each size at which some prefix takes another byte, or cannot express the size.
    for (const auto& v : variants()) {
        for (const std::size_t edge :
             {0U, 125U, 128U, 252U, 255U, 16'382U, 16'384U, 65'532U, 65'535U}) {
            for (std::size_t size = edge == 0 ? 0 : edge - 1; size <= edge + 1; ++size) {
                const std::string text(size, '\x80');
                std::string out = "before";
                if (size > v.most()) {
                    BOOST_TEST((packed(v.made(), text, out) == errc::unencodable), v);
                    BOOST_TEST(out == "before");
                    continue;
                }
                BOOST_TEST((packed(v.made(), text, out) == none), v);
                BOOST_TEST((out == "before" + v.head(size) + text), v << ", " << size);
                const auto seen = play(v.made(), std::string_view(out).substr(6));
                BOOST_TEST((seen.messages == texts{text}), v << ", " << size);
                BOOST_TEST(seen.left == 0U);
            }
        }
        const std::string stream = packed(v.made(), "one") + packed(v.made(), "") +
                                   packed(v.made(), std::string(20, '\0')) + v.head(9) + "rest";
        BOOST_TEST(split_difference(v.made(), stream) == "", v);
        BOOST_TEST((play(v.made(), stream).messages == texts{"one", "", std::string(20, '\0')}), v);
        if (v.bytes != 1) continue;
        BOOST_TEST(split_difference(v.made(), packed(v.made(), std::string(200, 'x'))) == "");
    }
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_as_by_the_model_at_every_split) {
    for (const auto& v : variants()) {
        std::vector<std::string> inputs{""};
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            for (const std::size_t limit : {std::size_t{1}, ice::unlimited}) {
                if (play(v.made(limit), inputs[i]) != model(v, inputs[i], limit))
                    BOOST_ERROR(fmt::format("{}, counted {}, limit {}, not as the model: {:02x}",
                                            static_cast<int>(v.prefix), v.counted, limit,
                                            fmt::join(inputs[i], " ")));
                BOOST_TEST(split_difference(v.made(limit), inputs[i]) == "", v);
            }
            if (inputs[i].size() == 4) continue;
            for (const char c : "\0\1\2\x7f\x80\xff"s) inputs.push_back(inputs[i] + c);
        }
        BOOST_TEST(inputs.size() == 1555U);
    }
}

BOOST_AUTO_TEST_CASE(a_message_that_the_prefix_cannot_express_is_refused_before_it_is_read) {
    // Otherwise 32 bits of the length would be sent, and the peer would take the rest for messages.
    const char byte = 'x';
    std::string out = "before";
    for (const auto& v : variants()) {
        if (v.bytes != 4) continue;
        const std::string_view text(&byte, v.most() + 1);  // of which only the size may be read
        BOOST_TEST((packed(v.made(), text, out) == errc::unencodable), v);
    }
    BOOST_TEST(out == "before");
}

BOOST_AUTO_TEST_CASE(a_message_may_be_as_long_as_the_limit_and_no_longer) {
    // The error comes with the prefix: the peer need not send the message first.
    for (const auto& v : variants()) {
        for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{100}}) {
            for (std::size_t n = limit == 0 ? 0 : limit - 1; n <= limit + 1; ++n) {
                const bool fits = n <= limit;
                const std::string text(n, 'x');
                BOOST_TEST(play(v.made(limit), v.head(n) + text).messages.size() == fits, v);
                BOOST_TEST((play(v.made(limit), v.head(n)).error ==
                            (fits ? ice::error_code() : errc::message_too_large)),
                           v);
                BOOST_TEST(split_difference(v.made(limit), v.head(n) + text) == "", v);
                std::string out = "before";
                BOOST_TEST(
                    (packed(v.made(limit), text, out) == (fits ? none : errc::message_too_large)),
                    v);
                BOOST_TEST(out == (fits ? "before" + v.head(n) + text : "before"), v);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(the_default_limit_is_1_mib) {
    // The documentation names this number.
    for (const auto& p : {length_prefixed(), length_prefixed(length_prefix::u32_be)}) {
        BOOST_TEST(!play(p, "\0\x10\0\0"s).error);
        BOOST_TEST((play(p, "\0\x10\0\1"s).error == errc::message_too_large));
    }
}

BOOST_AUTO_TEST_CASE(the_largest_length_does_not_wrap_around_to_a_small_one) {
    // Prefix and message together have more bytes than a size_t can count.
    for (const auto& v : variants()) {
        const std::string head = v.head(v.most());
        const auto seen = play(v.made(), head + "x");
        BOOST_TEST(seen.messages.empty(), v);
        BOOST_TEST(!seen.error, v);
        BOOST_TEST(seen.left == head.size() + 1, v);
        if (v.bytes != 1)
            BOOST_TEST((play(v.made(300), head + "x").error == errc::message_too_large), v);
    }
}

BOOST_AUTO_TEST_CASE(a_length_that_counts_the_prefix_is_not_smaller_than_it) {
    // Subtracted without a check, it is a message of 2^64 - 1 bytes.
    for (const auto& v : variants()) {
        if (!v.counted) continue;
        const variant plain{v.prefix, false, v.bytes, v.big};
        const std::size_t size = v.head(0).size();
        for (std::size_t n = 0; n < size; ++n) {
            BOOST_TEST((play(v.made(), plain.head(n)).error == errc::bad_message), v);
            BOOST_TEST(split_difference(v.made(), plain.head(n) + "text") == "", v);
        }
        BOOST_TEST(play(v.made(), plain.head(size)).messages == texts{""}, v);
    }
}

BOOST_AUTO_TEST_CASE(a_varint_has_one_form_and_64_bits) {
    // Two parsers that disagree on a length allow request smuggling.
    const length_prefixed p(length_prefix::varint, ice::unlimited);
    const std::string nine(9, '\xff');
    for (const auto& bad : {"\x80\0"s, "\x85\x80\0hello"s, nine + '\0', nine + '\2', nine + '\x7f',
                            nine + '\x81', nine + '\xff', std::string(10, '\x80') + '\1'}) {
        BOOST_TEST((play(p, bad).error == errc::bad_message));
        BOOST_TEST(split_difference(p, bad) == "");
    }
    BOOST_TEST(!play(p, nine).error);
    BOOST_TEST(!play(p, nine + '\1').error);
    BOOST_TEST(play(p, nine + '\1').left == 10U);
    // 127 is the length of 126 bytes in one byte of prefix; 128 would be the same in two bytes.
    const auto counted = p.counting_prefix();
    BOOST_TEST(play(counted, "\x7f" + std::string(126, 'x')).messages.size() == 1U);
    BOOST_TEST((play(counted, "\x80\x01" + std::string(126, 'x')).error == errc::bad_message));
    BOOST_TEST(play(counted, "\x81\x01" + std::string(127, 'x')).messages.size() == 1U);
}

BOOST_AUTO_TEST_CASE(an_unfinished_message_is_not_read) {
    // Reading it again at each call makes a long message that comes in pieces cost O(n * n).
    for (const auto& v : variants()) {
        const std::size_t size = v.bytes == 1 ? 200 : test::unreadable("").page();
        const test::unreadable bytes(v.head(size));
        const auto p = v.made();
        const std::size_t whole = v.head(size).size() + size;
        for (std::size_t n = 0; n < whole; ++n) BOOST_TEST(p.parse(bytes.first(n)).size() == 0U);
        auto found = p.parse(bytes.first(whole));
        BOOST_TEST(found.size() == whole);
        BOOST_TEST(found.message().size() == size);
        BOOST_TEST((found.message().data() == bytes.first(whole).data() + whole - size),
                   "a view of the input");
    }
}

BOOST_AUTO_TEST_CASE(a_listener_and_a_pool_speak_it) {
    for (const auto& v : variants()) {
        ice::testing::simulation sim;
        ice::server srv(sim.net());
        srv.log().to([](ice::log_level, std::string_view) {});
        const ice::address where("10.0.0.1", 80);
        srv.add(
            ice::tcp_server_action{where}.protocol(v.made(200)).logic([](std::string_view text) {
                return std::string(text.rbegin(), text.rend());
            }));
        auto& pool = srv.add(ice::tcp_client_action{where, "up", 1, v.made(200)});
        const auto ask = [&](std::string text) { return sim.run(pool.request(std::move(text))); };
        BOOST_TEST(ask("abc\r\n").value_or("-") == "\n\rcba", v);
        BOOST_TEST(ask("").value_or("-") == "", v);
        BOOST_TEST(ask(std::string(200, 'x')).value_or("-") == std::string(200, 'x'), v);
        const auto refused = ask(std::string(201, 'x'));
        BOOST_TEST((refused.error() == errc::message_too_large), v);
        BOOST_TEST(!refused.failure().may_have_been_executed(), v);
        BOOST_TEST(pool.counters().connects == 1U, v);
        srv.stop();
        sim.run_for(std::chrono::seconds(1));
    }
}

BOOST_AUTO_TEST_CASE(a_listener_ends_a_connection_whose_prefix_is_wrong) {
    ice::testing::simulation sim;
    ice::server srv(sim.net());
    srv.log().to([](ice::log_level, std::string_view) {});
    const ice::address where("10.0.0.1", 80);
    const auto& l = srv.add(ice::tcp_server_action{where}.protocol(length_prefixed()));
    const auto reply = sim.run(sim.ask<ice::raw>(where, "\xff\xff\xff\xff"));
    BOOST_TEST((reply.error() == errc::closed));
    BOOST_TEST(l.counters().bad_messages == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
