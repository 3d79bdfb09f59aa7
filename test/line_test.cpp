// line: text up to a delimiter, at every split, compared with a model that has all bytes.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/line.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::testing::play;
using ice::testing::split_difference;
using lines = std::vector<std::string>;

// One byte, two, three; of repeated letters; with a beginning that comes again in it; NUL.
const std::string delimiters[] = {"\n",   "\r\n", "aab", "aa",      "aaa",
                                  "abab", "aba",  "\0"s, "\r\n\r\n"};

// The same, from the whole input.
ice::testing::transcript<ice::line> model(std::string_view input, const std::string& delimiter,
                                          std::size_t limit) {
    ice::testing::transcript<ice::line> expected;
    for (;;) {
        const auto end = input.find(delimiter);
        const bool unfinished = end == input.npos;
        if (unfinished ? input.size() >= limit + delimiter.size() : end > limit)
            expected.error = errc::message_too_large;
        expected.left = input.size();
        if (unfinished || expected.error) return expected;
        expected.messages.emplace_back(input.substr(0, end));
        input.remove_prefix(end + delimiter.size());
    }
}

// What is wrong with its parsing of `input`, or "".
std::string fault(const std::string& delimiter, std::size_t limit, std::string_view input) {
    const ice::line p(delimiter, limit);
    if (play(p, input) != model(input, delimiter, limit)) return "not as the model";
    return split_difference(p, input);
}

errc packed(const ice::line& by, std::string_view text, std::string& out) {
    ice::line p = by;
    return static_cast<errc>(p.packet(text, out).value());
}
constexpr errc none{};

}  // namespace

BOOST_AUTO_TEST_SUITE(line)

BOOST_AUTO_TEST_CASE(a_line_is_the_text_between_two_delimiters) {
    // Empty lines are lines, and pipelined lines come one by one.
    const auto seen = play(ice::line(), "one\r\n\r\ntwo three\r\n\r\n\r\nrest");
    BOOST_TEST(seen.messages == (lines{"one", "", "two three", "", ""}),
               boost::test_tools::per_element());
    BOOST_TEST(seen.left == 4U);
    BOOST_TEST(!seen.error);
}

BOOST_AUTO_TEST_CASE(a_line_split_between_cr_and_lf_is_one_line) {
    // A parser that searches only new bytes misses a delimiter at this split.
    const auto seen = play(ice::line(), {"one\r", "\ntwo\r", "\n"});
    BOOST_TEST(seen.messages == (lines{"one", "two"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(only_the_delimiter_ends_a_line) {
    // Two parsers that disagree allow request smuggling: bare CR and bare LF are text.
    const auto seen = play(ice::line(), "a\nb\rc\n\rd\r\r\n\n\r\n");
    BOOST_TEST(seen.messages == (lines{"a\nb\rc\n\rd\r", "\n"}), boost::test_tools::per_element());
    const auto zero = play(ice::line(), "a\0b\r\n"s);
    BOOST_TEST(zero.messages == lines{"a\0b"s}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_real_session_is_parsed_alike_at_every_split) {
    // Each delimiter ends lines, and parts of it occur in the text.
    for (const auto& d : delimiters) {
        for (const std::string& before : {""s, "x"s, d.substr(0, 1), d.substr(1)}) {
            const std::string text = before + "get" + d.substr(1) + "x" + d + d + "a" + d + "rest";
            BOOST_TEST(fault(d, 100, text) == "", "delimiter " << d << " in " << text);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_as_by_the_model_at_every_split) {
    // All inputs of up to six bytes out of the delimiter's own letters and one other, with and
    // without room for them.
    for (const auto& d : delimiters) {
        const std::set<char> unique(d.begin(), d.end());
        const std::string letters = std::string(unique.begin(), unique.end()) + "x";
        std::vector<std::string> inputs{""};
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            for (const std::size_t limit : {std::size_t{1}, std::size_t{100}}) {
                const auto wrong = fault(d, limit, inputs[i]);
                if (!wrong.empty())
                    BOOST_ERROR(fmt::format("{} of {}, limit {}: {}", inputs[i], d, limit, wrong));
            }
            if (inputs[i].size() == 6) continue;
            for (const char c : letters) inputs.push_back(inputs[i] + c);
        }
        BOOST_TEST(inputs.size() > 100U);
    }
}

BOOST_AUTO_TEST_CASE(all_256_bytes_are_text) {
    // A line is bytes, not characters of some encoding.
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    BOOST_TEST(play(ice::line(), all + "\r\n").messages == lines{all},
               boost::test_tools::per_element());
    BOOST_TEST(split_difference(ice::line(), all + "\r\n" + all + "\r\n") == "");
}

BOOST_AUTO_TEST_CASE(a_whole_line_may_be_as_long_as_the_limit_and_no_longer) {
    // limit-1, limit, limit+1; the delimiter does not count, however long it is.
    for (const auto& d : delimiters) {
        for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{8192}}) {
            for (std::size_t n = limit == 0 ? 0 : limit - 1; n <= limit + 1; ++n) {
                const auto seen = play(ice::line(d, limit), std::string(n, 'x') + d);
                BOOST_TEST(seen.messages.size() == (n <= limit ? 1U : 0U));
                BOOST_TEST((seen.error == errc::message_too_large) == (n > limit));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(an_unfinished_line_fails_when_no_delimiter_could_save_it) {
    // The last bytes may be the beginning of the delimiter, so they do not count yet.
    for (const auto& d : delimiters) {
        constexpr std::size_t limit = 10;
        const std::string held = std::string(limit, 'x') + d.substr(0, d.size() - 1);
        BOOST_TEST(!play(ice::line(d, limit), held).error);
        BOOST_TEST(play(ice::line(d, limit), {held, d.substr(d.size() - 1)}).messages.size() == 1U);
        for (const auto& text : {held + 'x', std::string(limit + d.size(), 'x')}) {
            BOOST_TEST((play(ice::line(d, limit), text).error == errc::message_too_large));
            BOOST_TEST(split_difference(ice::line(d, limit), text) == "");
        }
    }
}

BOOST_AUTO_TEST_CASE(the_default_limit_is_8_kib) {
    // The documentation names this number.
    BOOST_TEST(!play(ice::line(), std::string(8192, 'x') + "\r\n").error);
    BOOST_TEST(
        (play(ice::line(), std::string(8193, 'x') + "\r\n").error == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(unlimited_is_no_limit) {
    // The largest of all numbers must not wrap around to a small one.
    ice::line p("\r\n", ice::unlimited);
    const auto seen = play(p, {"x", std::string(100'000, 'x'), "\r\n"});
    BOOST_TEST(seen.messages.size() == 1U);
    BOOST_TEST(!seen.error);
    std::string out;
    BOOST_TEST((packed(p, std::string(100'000, 'x'), out) == none));
}

BOOST_AUTO_TEST_CASE(no_byte_is_searched_twice) {
    // A search from the beginning at each read makes a long line cost O(n * n). The test overwrites
    // searched bytes with delimiters, so a second search is detected.
    for (const auto& d : delimiters) {
        ice::line p(d, ice::unlimited);
        const std::size_t kept = d.size() - 1;  // bytes that may be the beginning of a delimiter
        std::string input;
        for (int i = 0; i < 1000; ++i) {
            input += 'x';
            BOOST_TEST_REQUIRE(p.parse(input).size() == 0U, "after " << i << " bytes");
            if (input.size() < kept + d.size()) continue;
            input.replace(input.size() - kept - d.size(), d.size(), d);
            for (std::size_t k = input.size() - kept; k < input.size(); ++k) input[k] = 'x';
        }
        input += d;
        BOOST_TEST(p.parse(input).size() == input.size());
        BOOST_TEST(p.parse("x" + d).size() == 1 + d.size(), "the next line begins anew");
    }
}

BOOST_AUTO_TEST_CASE(a_line_of_256_kib_may_arrive_byte_by_byte) {
    // If the test above failed, this one would only be slow.
    constexpr std::size_t size = 256 * 1024;
    ice::line p("\r\n", size);
    std::string input;
    for (std::size_t i = 0; i < size; ++i) {
        input += 'x';
        if (p.parse(input).size() != 0 || p.parse(input).failed()) BOOST_FAIL("at byte " << i);
    }
    input += "\r\n";
    BOOST_TEST(p.parse(input).message().size() == size);
}

BOOST_AUTO_TEST_CASE(a_line_is_a_view_of_the_input) {
    // So no connection needs storage for its line.
    ice::line p;
    const std::string input = "one\r\ntwo\r\n";
    auto found = p.parse(input);
    BOOST_TEST(found.message().data() == input.data());
    BOOST_TEST(found.message() == "one");
    BOOST_TEST(found.size() == 5U);
}

BOOST_AUTO_TEST_CASE(a_line_is_sent_with_its_delimiter) {
    // packet() appends, as the answers of a burst follow each other.
    std::string out = "before ";
    BOOST_TEST((packed(ice::line(), "text", out) == none));
    BOOST_TEST((packed(ice::line(), "", out) == none));
    BOOST_TEST((packed(ice::line("aab"), "x\r\n", out) == none));
    BOOST_TEST(out == "before text\r\n\r\nx\r\naab");
}

BOOST_AUTO_TEST_CASE(a_text_with_the_delimiter_in_it_is_refused) {
    // The other side would parse two lines, and the author of the text would choose the second one.
    std::string out = "before";
    BOOST_TEST((packed(ice::line(), "one\r\ntwo", out) == errc::unencodable));
    BOOST_TEST((packed(ice::line(), "\r\n", out) == errc::unencodable));
    BOOST_TEST((packed(ice::line("aab"), "xaaaby", out) == errc::unencodable));
    BOOST_TEST((packed(ice::line("\0"s), "a\0b"s, out) == errc::unencodable));
    BOOST_TEST(out == "before", "nothing is left of it");
}

BOOST_AUTO_TEST_CASE(a_text_that_forms_a_delimiter_with_the_appended_one_is_refused) {
    // "a CR LF" before "CR LF CR LF" ends two bytes too early, and the rest begins the next line.
    std::string out = "before\r\n";
    BOOST_TEST((packed(ice::line("\r\n\r\n"), "a\r\n", out) == errc::unencodable));
    BOOST_TEST((packed(ice::line("aa"), "xa", out) == errc::unencodable));
    BOOST_TEST((packed(ice::line("aba"), "ab", out) == errc::unencodable));
    BOOST_TEST(out == "before\r\n");
    BOOST_TEST((packed(ice::line("\r\n\r\n"), "\n", out) == none), "only the text itself counts");
}

BOOST_AUTO_TEST_CASE(a_text_beyond_the_limit_is_refused) {
    // The other side, with the same limit, would close the connection.
    std::string out = "before";
    BOOST_TEST((packed(ice::line("\r\n", 4), "12345", out) == errc::message_too_large));
    BOOST_TEST(out == "before");
    BOOST_TEST((packed(ice::line("\r\n", 4), "1234", out) == none));
    BOOST_TEST((packed(ice::line("\r\n", 4), "123", out) == none));
    BOOST_TEST(out == "before1234\r\n123\r\n");
}

BOOST_AUTO_TEST_CASE(a_packed_text_is_parsed_as_the_same_text) {
    // Every text of up to six letters: either refused, or the same on the other side.
    for (const auto& d : delimiters) {
        const ice::line p(d, 6);
        const std::set<char> unique(d.begin(), d.end());
        const std::string letters = std::string(unique.begin(), unique.end()) + "x";
        std::vector<std::string> texts{""};
        std::size_t sent = 0;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            std::string out;
            if (packed(p, texts[i], out) == none) {
                ++sent;
                const auto seen = play(p, out);
                BOOST_TEST_REQUIRE(seen.messages == lines{texts[i]},
                                   boost::test_tools::per_element());
                BOOST_TEST_REQUIRE(seen.left == 0U);
            } else {
                BOOST_TEST_REQUIRE(play(p, texts[i] + d).messages != lines{texts[i]});
            }
            if (texts[i].size() == 6) continue;
            for (const char c : letters) texts.push_back(texts[i] + c);
        }
        BOOST_TEST(sent > 6U);
        BOOST_TEST(sent < texts.size());
    }
}

BOOST_AUTO_TEST_CASE(an_empty_delimiter_is_refused) {
    // An empty delimiter is found everywhere: endless empty lines.
    BOOST_CHECK_THROW(ice::line(""), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(packing_gives_the_same_bytes_with_and_without_spare_capacity) {
    // With spare capacity packet() writes in place: one byte too many would be beyond the string.
    for (const auto& d : delimiters) {
        for (const std::string& text : {""s, "x"s, std::string(30, 'x'), std::string(100, 'x')}) {
            for (std::size_t room = text.size(); room < text.size() + 10; ++room) {
                std::string out = "before";
                out.reserve(out.size() + room);
                BOOST_TEST((packed(ice::line(d), text, out) == none));
                BOOST_TEST(out == "before" + text + d);
                const std::string part = d.substr(0, d.size() - 1);
                BOOST_TEST((packed(ice::line(d), text + d + text, out) == errc::unencodable));
                BOOST_TEST((packed(ice::line(d), part + 'y', out) == none));
                BOOST_TEST(out == "before" + text + d + part + 'y' + d);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_line_end_in_a_text_is_found_at_every_position) {
    // packet() copies blocks, the last of which overlaps: a gap would send two lines as one.
    for (std::size_t size = 0; size < 300; ++size) {
        const std::string text(size, 'x');
        std::string out;
        out.reserve(2 * size + 10);
        BOOST_TEST_REQUIRE((packed(ice::line(), text, out) == none));
        BOOST_TEST_REQUIRE(out == text + "\r\n");
        for (std::size_t at = 0; at < size; ++at) {
            out.clear();
            std::string end = text;
            end[at] = '\n';
            BOOST_TEST_REQUIRE((packed(ice::line(), end, out) == none), "half of one is text");
            BOOST_TEST_REQUIRE(out == end + "\r\n");
            if (at == 0) continue;
            end[at - 1] = '\r';
            BOOST_TEST_REQUIRE((packed(ice::line(), end, out) == errc::unencodable));
            BOOST_TEST_REQUIRE(out.size() == size + 2);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
