// script: parses bytes with a protocol, and finds the split at which the protocol is wrong.
#include <boost/test/unit_test.hpp>
#include <ice/testing/script.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

using ice::need_more;
using ice::parsed;
using ice::testing::play;
using ice::testing::split_difference;
using text = parsed<std::string_view>;
using messages = std::vector<std::string>;

std::string cut_of(const std::string& difference) {
    return difference.substr(0, difference.find('\n'));
}

// Lines that end in LF. '#' is skipped, '!' is an error, '?' is answered by the protocol itself.
struct sound {
    text parse(std::string_view input, std::string& out) {
        if (input.empty()) return need_more;
        if (input[0] == '#') return ice::skip{1};
        if (input[0] == '!') return ice::errc::bad_message;
        const auto end = input.find('\n');
        if (end == input.npos) return need_more;
        if (input[0] == '?') out += "here;";
        return {input.substr(0, end), end + 1};
    }
};

// The classic: it remembers how far it looked, and forgets to begin again.
struct forgets {
    text parse(std::string_view input) {
        const auto end = input.find('\n', scanned);
        if (end == input.npos) {
            scanned = input.size();
            return need_more;
        }
        return {input.substr(0, end), end + 1};
    }
    std::size_t scanned = 0;
};

// CR LF, looked for in new bytes only.
struct misses_a_cut_delimiter {
    text parse(std::string_view input) {
        const auto end = input.find("\r\n", scanned);
        scanned = end == input.npos ? input.size() : 0;
        if (end == input.npos) return need_more;
        return {input.substr(0, end), end + 2};
    }
    std::size_t scanned = 0;
};

// Right when all comes at once, in single bytes, or in two pieces.
struct wrong_in_three_pieces {
    text parse(std::string_view input) {
        grown += input.size() > 1 + seen ? 1 : 0;  // by more than one byte
        seen = input.size();
        const auto end = input.find('\n');
        if (end == input.npos) return need_more;
        return {grown > 2 ? "wrong" : input.substr(0, end), end + 1};
    }
    std::size_t seen = 0;
    int grown = 0;
};

// Takes the pieces themselves for messages.
struct every_piece {
    text parse(std::string_view input) {
        if (input.empty()) return need_more;
        return {input, input.size()};
    }
};

// Answers once per call, not once per message.
struct answers_per_call {
    text parse(std::string_view input, std::string& out) {
        out += '.';
        const auto end = input.find('\n');
        if (end == input.npos) return need_more;
        return {input.substr(0, end), end + 1};
    }
};

// Its error depends on how much came.
struct impatient {
    text parse(std::string_view input) {
        const auto end = input.find('\n');
        if (end != input.npos) return {input.substr(0, end), end + 1};
        if (input.size() == 3) return ice::errc::message_too_large;
        return need_more;
    }
};

// Swallows an unfinished message, when it comes in one piece.
struct swallows {
    text parse(std::string_view input) {
        const auto end = input.find('\n');
        if (end != input.npos) return {input.substr(0, end), end + 1};
        if (input.size() > 1 + seen) return ice::skip{input.size()};
        seen = input.size();
        return need_more;
    }
    std::size_t seen = 0;
};

// Takes what comes at once for an attack.
struct suspicious {
    text parse(std::string_view input) {
        if (input.size() > 1 + seen) return ice::errc::bad_message;
        seen = input.size();
        return need_more;
    }
    std::size_t seen = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(script)

BOOST_AUTO_TEST_CASE(a_transcript_has_all_results_of_a_protocol) {
    // A test can compare only what the transcript contains.
    const auto seen = play(sound{}, "one\n#?two\nrest");
    BOOST_TEST(seen.messages == (messages{"one", "?two"}), boost::test_tools::per_element());
    BOOST_TEST(seen.answers == "here;");
    BOOST_TEST(seen.left == 4U);
    BOOST_TEST(!seen.error);
}

BOOST_AUTO_TEST_CASE(an_error_ends_the_transcript) {
    // An error ends a connection: the bytes behind it are not parsed.
    const auto seen = play(sound{}, {"one\n", "!two\n", "three\n"});
    BOOST_TEST(seen.messages == messages{"one"}, boost::test_tools::per_element());
    BOOST_TEST(seen.error == make_error_code(ice::errc::bad_message));
    BOOST_TEST(seen.left == 5U);
}

BOOST_AUTO_TEST_CASE(pieces_are_parsed_as_on_a_connection) {
    // Bytes that are not consumed come again, with the next piece behind them.
    const auto seen = play(sound{}, {"o", "", "ne\ntw", "o\n"});
    BOOST_TEST(seen.messages == (messages{"one", "two"}), boost::test_tools::per_element());
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST((seen == play(sound{}, "one\ntwo\n")));
    BOOST_TEST((seen != play(sound{}, "one\ntwo\nx")));
}

BOOST_AUTO_TEST_CASE(a_correct_protocol_has_no_difference) {
    // Users would learn to ignore false reports.
    for (const auto* bytes : {"", "\n", "one\n", "one\ntwo\n\n\n?\n", "#a\n##?b\nrest", "a\n!b\n"})
        BOOST_TEST(split_difference(sound{}, bytes) == "");
    BOOST_TEST(split_difference(sound{}, std::string(1000, 'x') + "\nshort\n") == "");
}

BOOST_AUTO_TEST_CASE(a_protocol_that_is_wrong_at_one_split_is_found) {
    // Each of these protocols works with unsplit input.
    BOOST_TEST(cut_of(split_difference(forgets{}, "long line\nx\n")) == "cut at 2");
    BOOST_TEST(cut_of(split_difference(misses_a_cut_delimiter{}, "ab\r\n")) == "byte by byte");
    BOOST_TEST(cut_of(split_difference(every_piece{}, "ab")) == "byte by byte");
    BOOST_TEST(cut_of(split_difference(answers_per_call{}, "ab\n")) == "byte by byte");
    BOOST_TEST(cut_of(split_difference(impatient{}, "abc\n")) == "byte by byte");
    BOOST_TEST(cut_of(split_difference(swallows{}, "abc\n")) == "cut at 2");
    BOOST_TEST(cut_of(split_difference(wrong_in_three_pieces{}, "abcdef\n")) == "cut at 2 and 4");
}

BOOST_AUTO_TEST_CASE(a_difference_comes_with_what_was_made_of_the_bytes) {
    // Without both transcripts a user has to run the protocol again by hand.
    BOOST_TEST(split_difference(forgets{}, "long line\nx\n") ==
               "cut at 2\n"
               "  at once: 2 messages: \"long line\", \"x\"; 0 bytes left\n"
               "  in pieces: 1 message: \"long line\"; 2 bytes left");
    BOOST_TEST(split_difference(answers_per_call{}, "ab") ==
               "byte by byte\n"
               "  at once: 0 messages; answers \".\"; 2 bytes left\n"
               "  in pieces: 0 messages; answers \"..\"; 2 bytes left");
    BOOST_TEST(split_difference(forgets{}, "long line\n1\n2\n3\n4\n5\n6\n") ==
               "cut at 2\n"
               "  at once: 7 messages, from number 1 on: \"1\", \"2\", \"3\", \"4\", \"5\", ..; "
               "0 bytes left\n"
               "  in pieces: 4 messages, from number 1 on: \"1\\x0a2\", \"3\\x0a4\", \"5\\x0a6\"; "
               "0 bytes left");
}

BOOST_AUTO_TEST_CASE(a_transcript_says_what_a_protocol_has_made) {
    BOOST_TEST(to_string(play(sound{}, "one\n\x01\n?\nrest")) ==
               "3 messages: \"one\", \"\\x01\", \"?\"; answers \"here;\"; 4 bytes left");
    const auto seen = play(sound{}, "1\n2\n3\n4\n5\n6\n7\n!");
    const auto why = ice::make_error_code(ice::errc::bad_message).message();
    BOOST_TEST(to_string(seen) ==
               "7 messages: \"1\", \"2\", \"3\", \"4\", \"5\", ..; " + why + "; 1 byte left");
    BOOST_TEST(to_string(seen, 5) ==
               "7 messages, from number 5 on: \"6\", \"7\"; " + why + "; 1 byte left");
}

BOOST_AUTO_TEST_CASE(a_difference_in_each_part_of_a_transcript_is_found) {
    // Messages, answers, error and rest: a part that is not compared hides a class of bugs.
    BOOST_TEST(split_difference(answers_per_call{}, "ab") != "", "answers only");
    BOOST_TEST(split_difference(suspicious{}, "ab") != "", "the error only");
    BOOST_TEST(split_difference(swallows{}, "ab") != "", "what is left only");
}

BOOST_AUTO_TEST_SUITE_END()
