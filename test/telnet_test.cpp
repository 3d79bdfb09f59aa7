// telnet: lines of text between commands, at every split, compared with a simple model of RFC 854.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/telnet.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "sim/heap.hpp"
#include "telnet_bytes.hpp"

namespace {

using namespace std::string_literals;
using namespace telnet_bytes;
using ice::errc;
using ice::testing::play;
using ice::testing::split_difference;
using lines = std::vector<std::string>;
using transcript = ice::testing::transcript<ice::telnet>;

// The same from the whole input, without any state between bytes: what each place means is seen
// by looking ahead. Requires: all is within the limits. `left` is not told.
transcript model(std::string_view in) {
    const std::string verbs = will + wont + do_ + dont;
    transcript expected;
    std::string line;
    const auto end_line = [&] {
        expected.messages.push_back(line);
        line.clear();
    };
    const auto at = [&](std::size_t i) { return i < in.size() ? in.substr(i, 1) : ""; };
    for (std::size_t i = 0; i < in.size();) {
        if (at(i) == iac && at(i + 1) == iac) {
            line += iac;
            i += 2;
        } else if (at(i) == iac && at(i + 1) == sb) {
            for (i += 2; i < in.size() && !(at(i) == iac && at(i + 1) == se);)
                i += at(i) == iac ? 2 : 1;
            i += 2;
        } else if (at(i) == iac && i + 1 < in.size() && verbs.find(in[i + 1]) != verbs.npos) {
            if (i + 2 < in.size() && at(i + 1) == will) expected.answers += iac + dont + in[i + 2];
            if (i + 2 < in.size() && at(i + 1) == do_) expected.answers += iac + wont + in[i + 2];
            i += 3;
        } else if (at(i) == iac) {
            i += 2;
        } else if (at(i) == "\r" && i + 1 == in.size()) {
            i += 1;  // nobody knows yet
        } else if (at(i) == "\n" || (at(i) == "\r" && (at(i + 1) == "\n" || at(i + 1) == nul))) {
            end_line();
            i += at(i) == "\n" ? 1 : 2;
        } else {
            if (at(i) != nul && at(i) != "\r") line += in[i];
            i += 1;
        }
    }
    return expected;
}

// What is wrong with its parsing of `input`, or "".
std::string fault(std::string_view input) {
    transcript expected = model(input);
    const transcript seen = play(ice::telnet(), input);
    expected.left = seen.left;
    if (seen.error) return seen.error.message();
    if (seen.messages != expected.messages) return "other lines than the model's";
    if (seen.answers != expected.answers) return "other answers than the model's";
    return split_difference(ice::telnet(), input);
}

errc packed(std::string_view text, std::string& out, std::size_t limit = 8192) {
    ice::telnet p(limit);
    return static_cast<errc>(p.packet(text, out).value());
}
constexpr errc none{};

bool too_large(const transcript& t) { return t.error == errc::message_too_large; }
bool broken(const transcript& t) { return t.error == errc::bad_message; }

const ice::telnet_options all_options{
    .terminal_type = true, .window = true, .utf8 = true, .binary = true, .suppress_go_ahead = true};

const ice::telnet_prompt password("password: ", ice::telnet_echo::off), name("name: ");

}  // namespace

BOOST_AUTO_TEST_SUITE(telnet)

BOOST_AUTO_TEST_CASE(a_line_ends_with_cr_lf_or_cr_nul_or_lf) {
    // What telnet sends in line mode, in character mode, and what nc sends.
    const auto seen = play(ice::telnet(), "one\r\ntwo\r" + nul + "three\n\r\n\r" + nul + "\nrest");
    BOOST_TEST(seen.messages == (lines{"one", "two", "three", "", "", ""}),
               boost::test_tools::per_element());
    BOOST_TEST(seen.answers == "");
    BOOST_TEST(seen.left == 4U);
}

BOOST_AUTO_TEST_CASE(a_line_split_between_cr_and_lf_is_one_line) {
    // In both ways of parsing: a plain line, and one that has a command in it.
    const auto plain = play(ice::telnet(), {"one\r", "\ntwo\r", nul, "x\n"});
    BOOST_TEST(plain.messages == (lines{"one", "two", "x"}), boost::test_tools::per_element());
    const auto mixed = play(ice::telnet(), {iac + nop + "one\r", "\n" + iac + nop + "two\r", nul});
    BOOST_TEST(mixed.messages == (lines{"one", "two"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_lone_cr_and_a_nul_are_dropped) {
    // Neither may end a line: the other side would count different lines.
    const auto seen = play(ice::telnet(), "a\rb\n" + nul + "c" + nul + nul + "d\r\r\n");
    BOOST_TEST(seen.messages == (lines{"ab", "cd"}), boost::test_tools::per_element());
    const auto mixed = play(ice::telnet(), nul + "a\rb\n" + nul + "\r\r" + nul + "\r\ra\n");
    BOOST_TEST(mixed.messages == (lines{"ab", "", "a"}), boost::test_tools::per_element());
    const auto pieces = play(ice::telnet(), {"50%\r", "100%\r", "\r", "\nx\r", "y\r", "\n"});
    BOOST_TEST(pieces.messages == (lines{"50%100%", "xy"}), boost::test_tools::per_element());
    for (const std::string& text : {"a\rb\n"s, "\r\r\n"s, "\ra\r\r" + nul + "\r\n", "a\r" + iac})
        BOOST_TEST(fault(text) == "", hex(text));
}

BOOST_AUTO_TEST_CASE(every_received_line_can_be_sent_back) {
    // Whatever a peer sends, an echo or a broadcast of its line must not end a connection.
    std::mt19937 random(1123);
    const std::string letters = "ab\r\r\n" + nul + iac + nop + "\x80";
    for (int i = 0; i < 1000; ++i) {
        std::string input;
        while (input.size() < 20) input += letters[random() % letters.size()];
        for (const auto& line : play(ice::telnet(), input + "\n").messages) {
            std::string out;
            BOOST_TEST((packed(line, out) == none), hex(input));
            BOOST_TEST(play(ice::telnet(), out).messages == lines{line},
                       boost::test_tools::per_element());
        }
    }
}

BOOST_AUTO_TEST_CASE(every_option_is_refused_and_no_refusal_is_answered) {
    // The exact bytes; and two sides that answer each other's refusals never end (RFC 1143).
    for (int number = 0; number < 256; ++number) {
        BOOST_TEST(play(ice::telnet(), option(will, number)).answers == option(dont, number));
        BOOST_TEST(play(ice::telnet(), option(do_, number)).answers == option(wont, number));
        BOOST_TEST(play(ice::telnet(), option(wont, number)).answers == "");
        BOOST_TEST(play(ice::telnet(), option(dont, number)).answers == "");
    }
    const auto seen = play(ice::telnet(), option(do_, 1) + "a" + option(will, 3) + "\r\n");
    BOOST_TEST(seen.answers == "\xff\xfc\x01\xff\xfe\x03");
    BOOST_TEST(seen.messages == lines{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_refusal_is_appended_to_the_answers_before_it) {
    // `out` holds earlier answers of the logic.
    ice::telnet p;
    std::string out = "before";
    BOOST_TEST(p.parse(option(will, 24), out).size() == 3U);
    BOOST_TEST(out == "before" + option(dont, 24));
}

BOOST_AUTO_TEST_CASE(bytes_of_real_clients_are_parsed_alike_at_every_split) {
    // The bytes that they send when they connect, and when a user presses keys.
    std::string inetutils = option(do_, 3);
    for (const int number : {24, 31, 32, 33, 34, 39}) inetutils += option(will, number);
    inetutils += option(do_, 5) + option(will, 35);
    std::string putty;
    for (const int number : {31, 32, 24, 39, 3}) putty += option(will, number);
    putty += option(do_, 1) + option(do_, 3);
    const std::string window = iac + sb + "\x1f" + nul + "\x50" + nul + "\x18" + iac + se;
    const std::string window_of_255 = iac + sb + "\x1f" + nul + iac + iac + nul + "\x18" + iac + se;
    const std::string terminal = iac + sb + "\x18" + nul + "XTERM-256COLOR" + iac + se;
    for (const auto& text : {
             inetutils + "gettime\r\n",
             putty + window + "gettime\r\n",
             "get" + window + "time\r\n" + window_of_255 + terminal + "x\r\n",
             "gone" + iac + ip + iac + dm + option(do_, 6) + "\r\nnext\r\n",
             "before" + iac + nop + "\r\nbetween\r" + iac + nop + "\nafter\r\n" + iac + ga,
             "\xc3\xa9\xf0\x9f\x98\x80\r\n" + iac + iac + "\r\n" + "a" + iac + iac + iac + iac +
                 "b\n",
             "a\r" + nul + "b" + nul + "c\r\n\r\n\n\r" + nul + "rest"s,
             terminal + terminal + iac + sb + iac + se + "\n",
         })
        BOOST_TEST(fault(text) == "", hex(text));
    const auto seen = play(ice::telnet(), inetutils + "gettime\r\n");
    BOOST_TEST(seen.messages == lines{"gettime"}, boost::test_tools::per_element());
    std::string refusals = option(wont, 3);
    for (const int number : {24, 31, 32, 33, 34, 39}) refusals += option(dont, number);
    refusals += option(wont, 5) + option(dont, 35);
    BOOST_TEST(hex(seen.answers) == hex(refusals));
}

BOOST_AUTO_TEST_CASE(a_subnegotiation_is_skipped_with_any_text_in_it) {
    // IAC IAC in it is data, and only IAC SE is its end.
    const auto inside = "a\r\nb\n" + nul + iac + iac + se + iac + will + "\x01" + iac + sb;
    const auto seen = play(ice::telnet(), "x" + iac + sb + inside + iac + se + "y\r\nz\r\n");
    BOOST_TEST(seen.messages == (lines{"xy", "z"}), boost::test_tools::per_element());
    BOOST_TEST(seen.answers == "");
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_as_by_the_model_at_every_split) {
    // All inputs of up to four bytes that have a meaning.
    const std::string letters = "a\r\n" + nul + iac + will + wont + do_ + dont + sb + se;
    std::vector<std::string> inputs{""};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto wrong = fault(inputs[i]);
        if (!wrong.empty()) BOOST_ERROR(hex(inputs[i]) << wrong);
        if (inputs[i].size() == 4) continue;
        for (const char c : letters) inputs.push_back(inputs[i] + c);
    }
    BOOST_TEST(inputs.size() == 1U + 11 + 121 + 1331 + 14641);
}

BOOST_AUTO_TEST_CASE(every_byte_has_a_meaning_in_every_state) {
    // A byte that means nothing in a state must neither stop the parser nor be an error: one line
    // later text is parsed as text again.
    const std::string states[] = {"",
                                  "a",
                                  nul,
                                  "a\r",
                                  nul + "a\r",
                                  iac,
                                  iac + sb,
                                  iac + will,
                                  iac + wont,
                                  iac + do_,
                                  iac + dont,
                                  iac + sb + "\x18",
                                  "a" + iac,
                                  "a\r" + iac,
                                  iac + sb + iac,
                                  iac + se + iac,
                                  iac + sb + "\x18" + iac};
    // From any state, this is the end of a line.
    const std::string tail = "x" + iac + se + "\r\n";
    for (const auto& state : states) {
        for (int byte = 0; byte < 256; ++byte) {
            const std::string input = state + static_cast<char>(byte) + tail;
            const auto wrong = fault(input);
            if (!wrong.empty()) BOOST_ERROR(hex(input) << wrong);
            const auto seen = play(ice::telnet(), input + "next\n");
            BOOST_TEST_REQUIRE(!seen.messages.empty(), hex(input));
            BOOST_TEST(seen.messages.back() == "next", hex(input));
        }
    }
}

BOOST_AUTO_TEST_CASE(random_bytes_are_parsed_as_by_the_model) {
    // Longer than the inputs that can all be tried; with a seed, so that a failure can be repeated.
    std::mt19937 random(854);
    const std::string letters =
        "ab\r\n" + nul + iac + iac + iac + will + do_ + wont + sb + se + "\x1f";
    for (int i = 0; i < 100; ++i) {
        std::string input;
        while (input.size() < 40) input += letters[random() % letters.size()];
        const auto wrong = fault(input);
        if (!wrong.empty()) BOOST_ERROR(hex(input) << wrong);
    }
}

BOOST_AUTO_TEST_CASE(a_whole_line_may_be_as_long_as_the_limit_and_no_longer) {
    // limit-1, limit, limit+1, with each line end, and with a command in it.
    for (const std::string& end : {"\r\n"s, "\n"s, "\r" + nul}) {
        for (const std::string& before : {""s, nul, iac + nop, option(wont, 1)}) {
            for (std::size_t n = 9; n <= 11; ++n) {
                const auto input = before + std::string(n, 'x') + end;
                const auto seen = play(ice::telnet(10), input);
                BOOST_TEST(seen.messages.size() == (n <= 10 ? 1U : 0U), hex(input));
                BOOST_TEST(too_large(seen) == (n > 10), hex(input));
                BOOST_TEST(split_difference(ice::telnet(10), input) == "", hex(input));
            }
        }
    }
    BOOST_TEST(!play(ice::telnet(), std::string(8192, 'x') + "\n").error);
    BOOST_TEST(too_large(play(ice::telnet(), std::string(8193, 'x') + "\n")));
}

BOOST_AUTO_TEST_CASE(an_unfinished_line_fails_when_no_line_end_could_save_it) {
    // One byte beyond the limit may still be the CR, except in a line with commands.
    BOOST_TEST(!play(ice::telnet(10), std::string(10, 'x')).error);
    BOOST_TEST(!play(ice::telnet(10), std::string(11, 'x')).error);
    BOOST_TEST(play(ice::telnet(10), {std::string(10, 'x') + "\r", "\n"}).messages.size() == 1U);
    BOOST_TEST(too_large(play(ice::telnet(10), std::string(12, 'x'))));
    BOOST_TEST(!play(ice::telnet(10), nul + std::string(10, 'x')).error);
    BOOST_TEST(!play(ice::telnet(10), nul + std::string(10, 'x') + "\r").error);
    BOOST_TEST(too_large(play(ice::telnet(10), nul + std::string(11, 'x'))));
    BOOST_TEST(too_large(play(ice::telnet(10), nul + std::string(10, 'x') + "\ry")));
}

BOOST_AUTO_TEST_CASE(a_doubled_byte_255_counts_once) {
    // It is one byte of text, and two bytes on the connection.
    BOOST_TEST(!play(ice::telnet(10), many(iac + iac, 10) + "\n").error);
    BOOST_TEST(too_large(play(ice::telnet(10), many(iac + iac, 11) + "\n")));
}

BOOST_AUTO_TEST_CASE(unlimited_is_no_limit) {
    // The largest of all numbers must not wrap around to a small one.
    const auto seen = play(ice::telnet(ice::unlimited), {"x", std::string(100'000, 'x'), "\r\n"});
    BOOST_TEST(!seen.error);
    BOOST_TEST(seen.messages.size() == 1U);
}

BOOST_AUTO_TEST_CASE(any_number_of_commands_is_no_error) {
    // Danger: a bound on commands that only grows. A client that sends NOP each 30 s was ended
    // after 32 minutes.
    for (const std::string& command : {iac + nop, option(wont, 1), option(do_, 6), iac + ayt,
                                       iac + dm, iac + sb + "x" + iac + se}) {
        ice::telnet p;
        std::string out;
        for (int i = 0; i < 10'000; ++i) {
            auto seen = p.parse(command, out);
            BOOST_TEST_REQUIRE(!seen.error(), hex(command) << "number " << i);
            BOOST_TEST_REQUIRE(seen.size() == command.size());
            BOOST_TEST_REQUIRE(!seen.is_unfinished(), "between two lines");
            BOOST_TEST_REQUIRE(p.parse("", out).size() == 0U);
        }
        BOOST_TEST(p.parse("a\n", out).message() == "a");
        const auto within = many(command, 10'000);
        BOOST_TEST(play(ice::telnet(), "a" + within + "b\n").messages == lines{"ab"},
                   boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(a_flood_of_options_causes_no_more_bytes_than_it_has) {
    // Reading bounds it: the session sends the answers before it reads more.
    for (const std::string& asked : {option(do_, 1), option(will, 255)}) {
        const auto seen = play(ice::telnet(), many(asked, 10'000));
        BOOST_TEST(!seen.error);
        BOOST_TEST(seen.answers.size() == 3U * 10'000);
    }
}

BOOST_AUTO_TEST_CASE(a_line_with_commands_within_it_is_unfinished) {
    // Danger: the session takes a client that sends commands in an endless line for an idle one.
    ice::telnet p;
    std::string out;
    p.parse("a" + iac + nop, out);
    for (int i = 0; i < 100; ++i) BOOST_TEST(p.parse(iac + nop, out).is_unfinished());
    for (const std::string& half : {iac, iac + will, iac + sb + "x", iac + sb + iac, "\r"s}) {
        ice::telnet q;
        q.parse(iac + nop, out);
        BOOST_TEST(q.parse(half, out).is_unfinished(), hex(half));
    }
}

BOOST_AUTO_TEST_CASE(a_server_answers_are_you_there_visibly) {
    // RFC 854: "some visible (i.e., printable) evidence". In front, behind and within a line.
    ice::telnet server;
    server.as_server();
    for (const std::string& text :
         {iac + ayt, iac + ayt + "a\r\n", "a" + iac + ayt + "\r\n", "a\r\n" + iac + ayt,
          option(do_, 1) + iac + ayt, iac + ip + iac + dm + iac + ayt}) {
        const auto seen = play(server, text);
        const std::string refusal = text[1] == do_[0] ? option(wont, 1) : "";
        BOOST_TEST(hex(seen.answers) == hex(refusal + yes), hex(text));
        BOOST_TEST(split_difference(server, text) == "", hex(text));
    }
    std::string out = "answer\r\n";  // of the line before
    server.parse(iac + ayt, out);
    BOOST_TEST(out == "answer\r\n" + yes);
}

BOOST_AUTO_TEST_CASE(are_you_there_is_answered_once_per_burst) {
    // Danger: nine bytes of answer for two of input. A burst is the input of one parse().
    ice::telnet server;
    server.as_server();
    const auto answers = [&](std::vector<std::string> pieces) {
        return play(server, std::vector<std::string_view>(pieces.begin(), pieces.end())).answers;
    };
    const auto flood = many(iac + ayt, 1000);
    BOOST_TEST(answers({flood}) == yes);
    BOOST_TEST(answers({many(iac + ayt + "a\n", 1000)}) == yes, "with lines in between too");
    BOOST_TEST(answers({flood, flood, flood}) == many(yes, 3));
    BOOST_TEST(answers({iac + ayt + "half", iac + ayt, "\n" + flood}) == many(yes, 3));
    // A turn of a session ends behind its 64th line, though no byte is left: the burst, too.
    std::string out;
    std::string_view rest = flood;
    server.parse("a" + iac + ayt + "\n", out);
    server.parse(iac + ayt, out);
    BOOST_TEST(out == yes + yes);
    // What was not taken is still of that burst.
    out.clear();
    const std::string two = iac + ayt + "a\n" + iac + ayt + "b\n";
    rest = two;
    rest.remove_prefix(server.parse(rest, out).size());
    BOOST_TEST(server.parse(rest, out).message() == "b");
    BOOST_TEST(out == yes);
}

BOOST_AUTO_TEST_CASE(a_client_does_not_answer_are_you_there) {
    // Danger: the server takes the answer for a request, and its reply becomes the reply to our
    // next request.
    BOOST_TEST(play(ice::telnet(), many(iac + ayt + "a\r\n", 3)).answers == "");
}

BOOST_AUTO_TEST_CASE(synch_has_no_effect) {
    // parse() keeps the bytes before the DM, as it cannot know which of them were urgent.
    for (const std::string& synch : {iac + dm, iac + ip + iac + dm, iac + dm + iac + dm}) {
        BOOST_TEST(play(ice::telnet(), "one" + synch + "\r\n" + synch + "two\r\n").messages ==
                       (lines{"one", "two"}),
                   boost::test_tools::per_element());
        BOOST_TEST(fault("on" + synch + "e\r\n" + synch + "two\r\n") == "", hex(synch));
    }
}

BOOST_AUTO_TEST_CASE(an_idle_connection_keeps_no_large_line) {
    // Danger: 10,000 idle connections that have each had one long line with a command in it. A
    // short one is kept: a client that has commands in each line costs no allocation for each.
    for (const std::size_t size : {100U, 8192U}) {
        ice::telnet p;
        std::string out;
        const auto line = iac + nop + std::string(size, 'x') + "\n";
        const std::uint64_t before = heap::made - heap::freed;
        BOOST_TEST(p.parse(line, out).message().size() == size);
        BOOST_TEST(heap::made - heap::freed == before + 1);
        BOOST_TEST(p.parse("", out).size() == 0U);
        BOOST_TEST(heap::made - heap::freed == before + (size == 100 ? 1 : 0));
    }
}

BOOST_AUTO_TEST_CASE(a_subnegotiation_may_have_512_bytes) {
    // Without a bound it could last for ever without a line. IAC IAC in it is one byte.
    const auto of = [](const std::string& inside) {
        return play(ice::telnet(), iac + sb + inside + iac + se + "a\n");
    };
    BOOST_TEST(of(std::string(511, 'x')).messages == lines{"a"}, boost::test_tools::per_element());
    BOOST_TEST(of(std::string(512, 'x')).messages == lines{"a"}, boost::test_tools::per_element());
    BOOST_TEST(broken(of(std::string(513, 'x'))));
    BOOST_TEST(of(many(iac + iac, 512)).messages == lines{"a"}, boost::test_tools::per_element());
    BOOST_TEST(broken(of(many(iac + iac, 513))));
    BOOST_TEST(broken(play(ice::telnet(), iac + sb + std::string(513, 'x'))), "at once");
    BOOST_TEST(play(ice::telnet(1), "a" + sub(86, "xx") + "\n").messages == lines{"a"}, "no text");
    const auto full = iac + sb + std::string(512, 'x') + iac + se;
    BOOST_TEST(!play(ice::telnet(), full + full + "\n").error, "each has its own 512");
}

BOOST_AUTO_TEST_CASE(no_byte_is_searched_twice) {
    // A search from the beginning at each read makes a long line cost O(n * n). The test overwrites
    // searched bytes with bytes that a search would find, so a second search is detected.
    ice::telnet p(ice::unlimited);
    std::string input;
    std::string out;
    const std::string found = "\n" + nul + iac;
    for (std::size_t i = 0; i < 1000; ++i) {
        input += 'x';
        BOOST_TEST_REQUIRE(p.parse(input, out).size() == 0U, "after " << i << " bytes");
        input.back() = found[i % found.size()];
    }
    BOOST_TEST(p.parse(input + "x\n", out).size() == 1002U);
    BOOST_TEST(p.parse("x\n", out).size() == 2U, "the next line begins anew");
}

BOOST_AUTO_TEST_CASE(a_line_with_commands_is_consumed_as_it_arrives) {
    // If its bytes stayed in the input, each read would search them again.
    ice::telnet p;
    std::string out;
    for (const std::string& piece : {iac + nop, "a"s, iac, will, "\x01"s, "bc"s, nul, "\r"s}) {
        auto taken = p.parse(piece, out);
        BOOST_TEST(taken.size() == piece.size());
        BOOST_TEST(!taken.has_message());
        BOOST_TEST(p.parse("", out).size() == 0U);
    }
    BOOST_TEST(p.parse("\n", out).message() == "abc");
}

BOOST_AUTO_TEST_CASE(a_line_of_256_kib_may_arrive_byte_by_byte) {
    // If the tests above failed, this one would only be slow.
    constexpr std::size_t size = 256 * 1024;
    ice::telnet plain(size);
    ice::telnet mixed(size);
    std::string input;
    std::string out;
    mixed.parse(nul, out);
    for (std::size_t i = 0; i < size; ++i) {
        input += 'x';
        if (plain.parse(input, out).size() != 0) BOOST_FAIL("at byte " << i);
        if (mixed.parse("x", out).size() != 1) BOOST_FAIL("at byte " << i);
    }
    BOOST_TEST(plain.parse(input + "\r\n", out).message().size() == size);
    BOOST_TEST(mixed.parse("\n", out).message().size() == size);
}

BOOST_AUTO_TEST_CASE(a_line_is_valid_until_the_next_parse) {
    // A line is a view of the input, or of the protocol if it had commands in it.
    ice::telnet p;
    std::string out;
    const std::string input = "plain\r\n" + iac + nop + "mixed\r\nlast\r\n";
    std::string_view rest = input;
    auto first = p.parse(rest, out);
    BOOST_TEST(first.message().data() == rest.data());
    rest.remove_prefix(first.size());
    auto second = p.parse(rest, out);
    BOOST_TEST(second.message() == "mixed");
    rest.remove_prefix(second.size());
    BOOST_TEST(p.parse(rest, out).message() == "last");
}

BOOST_AUTO_TEST_CASE(each_connection_has_a_state_of_its_own) {
    // Each connection has a copy of the protocol: half a command on one must not begin the line of
    // another.
    const ice::telnet original;
    ice::telnet a = original;
    ice::telnet b = original;
    std::string out;
    a.parse("half" + iac, out);
    BOOST_TEST(b.parse("whole\n", out).message() == "whole");
    a.parse(nop, out);
    BOOST_TEST(a.parse("\n", out).message() == "half");
}

BOOST_AUTO_TEST_CASE(text_is_sent_with_255_doubled_and_cr_lf) {
    // The other side would take a single 255 for the beginning of a command.
    std::string out = "before ";
    BOOST_TEST((packed("text", out) == none));
    BOOST_TEST((packed("", out) == none));
    BOOST_TEST((packed(iac + "a" + iac + iac + "b" + iac, out) == none));
    const auto two = iac + iac;
    BOOST_TEST(hex(out) == hex("before text\r\n\r\n" + two + "a" + two + two + "b" + two + "\r\n"));
}

BOOST_AUTO_TEST_CASE(text_with_cr_lf_or_nul_is_refused) {
    // The other side would parse another line or another text. packet() leaves no byte of it.
    std::string out = "before";
    for (const std::string& bad : {"\r"s, "\n"s, nul, "\r\n"s})
        for (const std::string& text : {bad, "a" + bad, bad + "a", iac + bad + iac})
            BOOST_TEST((packed(text, out) == errc::unencodable), hex(text));
    BOOST_TEST(out == "before");
}

BOOST_AUTO_TEST_CASE(text_beyond_the_limit_is_refused) {
    // The other side, with the same limit, would close the connection. A 255 counts once.
    std::string out = "before";
    BOOST_TEST((packed(std::string(11, 'x'), out, 10) == errc::message_too_large));
    BOOST_TEST(out == "before");
    BOOST_TEST((packed(std::string(9, 'x'), out, 10) == none));
    BOOST_TEST((packed(std::string(10, 'x'), out, 10) == none));
    BOOST_TEST((packed(many(iac, 10), out, 10) == none));
}

BOOST_AUTO_TEST_CASE(a_packed_text_is_parsed_as_the_same_text) {
    // All bytes that packet() can send; parse() answers none of them.
    std::string all;
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        if (c != '\r' && c != '\n' && c != '\0') all += c;
    }
    for (const auto& text : {all, all + all, iac, iac + se, ""s, "plain"s}) {
        std::string out;
        BOOST_TEST((packed(text, out) == none));
        const auto seen = play(ice::telnet(), out);
        BOOST_TEST(seen.messages == lines{text}, boost::test_tools::per_element());
        BOOST_TEST(seen.answers == "");
        BOOST_TEST(split_difference(ice::telnet(), out) == "");
    }
}

// -- options that a user asks for

BOOST_AUTO_TEST_CASE(a_server_asks_for_its_options_once_and_before_anything_arrives) {
    // Most clients say nothing until they are asked.
    auto p = server_with(all_options);
    const auto opening = option(do_, ttype) + option(do_, naws) + option(will, charset) +
                         option(will, binary) + option(do_, binary) + option(will, sga);
    BOOST_TEST(hex(say(p, "")) == hex(opening));
    BOOST_TEST(say(p, "") == "");
    BOOST_TEST(say(p, "line\r\n") == "");
    ice::telnet nothing;
    nothing.as_server();
    BOOST_TEST(say(nothing, "") == "");
}

BOOST_AUTO_TEST_CASE(a_client_asks_for_and_permits_what_needs_no_terminal) {
    ice::telnet p(all_options);
    BOOST_TEST(hex(say(p, "")) ==
               hex(option(will, binary) + option(do_, binary) + option(will, sga)));
    BOOST_TEST(say(p, option(do_, ttype)) == option(wont, ttype));
    BOOST_TEST(say(p, option(do_, naws)) == option(wont, naws));
    BOOST_TEST(say(p, option(will, echo)) == option(dont, echo));
    BOOST_TEST(say(p, option(will, sga)) == option(do_, sga));
    for (const int terminal : {ttype, naws})
        BOOST_TEST(say(p, option(will, terminal)) == option(dont, terminal));
    BOOST_TEST(say(p, ask_utf8) == "", "not yet");
    BOOST_TEST(say(p, option(will, charset)) == option(do_, charset));
    BOOST_TEST(hex(say(p, ask_utf8)) == hex(sub(charset, "\2UTF-8")));
    BOOST_TEST(p.is_utf8());
}

BOOST_AUTO_TEST_CASE(the_terminal_type_is_asked_for_once_and_told) {
    auto p = server_with({.terminal_type = true});
    BOOST_TEST(say(p, "") == option(do_, ttype));
    BOOST_TEST(say(p, sub(ttype, nul + "EARLY")) == "");
    BOOST_TEST(p.terminal_type() == "", "the option is off");
    BOOST_TEST(hex(say(p, option(will, ttype))) == hex(send_type));
    BOOST_TEST(say(p, sub(ttype, nul + "XTERM-256COLOR")) == "");
    BOOST_TEST(p.terminal_type() == "XTERM-256COLOR");
    BOOST_TEST(p.changes() == 1U);
    // Danger: nine bytes of answer for three.
    BOOST_TEST(say(p, many(option(wont, ttype) + option(will, ttype), 3)) ==
               many(option(dont, ttype) + option(do_, ttype), 3));
}

BOOST_AUTO_TEST_CASE(a_terminal_type_that_no_terminal_has_is_ignored) {
    // A logic may print it into a log, or look a file up by it.
    auto p = server_with({.terminal_type = true});
    say(p, option(will, ttype) + sub(ttype, nul + "VT100"));
    for (const std::string& bad :
         {"\33[2J"s, "a\r\nb"s, nul, iac + iac, "\x7f"s, std::string(41, 'x')})
        say(p, sub(ttype, nul + bad));
    for (const std::string& bad : {"\1SEND"s, ""s, "VT52"s}) say(p, sub(ttype, bad));
    BOOST_TEST(p.terminal_type() == "VT100");
    BOOST_TEST(p.changes() == 1U);
    say(p, sub(ttype, nul + std::string(40, 'x')));
    BOOST_TEST(p.terminal_type() == std::string(40, 'x'));
    BOOST_TEST(p.changes() == 2U);
}

BOOST_AUTO_TEST_CASE(a_window_and_each_change_of_it_is_told) {
    auto p = server_with({.window = true});
    BOOST_TEST((p.window() == ice::telnet_window{}));
    say(p, "");
    BOOST_TEST(say(p, option(will, naws) + sub(naws, nul + "\x50" + nul + "\x18")) == "");
    BOOST_TEST((p.window() == ice::telnet_window{80, 24}));
    BOOST_TEST(p.changes() == 1U);
    say(p, sub(naws, nul + "\x50" + nul + "\x18"));
    BOOST_TEST(p.changes() == 1U, "it is the same");
    // In the middle of a line, with a doubled 255.
    std::string out;
    BOOST_TEST(play(p, "re" + sub(naws, "\1"s + iac + iac + nul + "\1") + "size\r\n").messages ==
                   lines{"resize"},
               boost::test_tools::per_element());
    say(p, "re" + sub(naws, "\1"s + iac + iac + nul + "\1"));
    BOOST_TEST((p.window() == ice::telnet_window{511, 1}));
    BOOST_TEST(p.changes() == 2U);
    for (const std::string& bad : {""s, "abc"s, "abcde"s}) say(p, sub(naws, bad));
    say(p, iac + sb + iac + se);
    BOOST_TEST(say(p, option(wont, naws)) == option(dont, naws));
    say(p, sub(naws, "abcd"));
    BOOST_TEST((p.window() == ice::telnet_window{511, 1}));
}

BOOST_AUTO_TEST_CASE(utf8_is_agreed_on_in_each_order) {
    auto p = server_with({.utf8 = true});
    BOOST_TEST(say(p, "") == option(will, charset));
    BOOST_TEST(say(p, sub(charset, "\2UTF-8")) == "");
    BOOST_TEST(!p.is_utf8(), "it was not asked for");
    BOOST_TEST(hex(say(p, option(do_, charset))) == hex(ask_utf8));
    auto refused = p, other = p;
    BOOST_TEST(say(p, sub(charset, "\2utf-8")) == "");
    BOOST_TEST(p.is_utf8());
    BOOST_TEST(p.changes() == 1U);
    say(refused, sub(charset, "\3") + sub(charset, "\2UTF-8"));
    BOOST_TEST(!refused.is_utf8());
    say(other, sub(charset, "\2US-ASCII"));
    BOOST_TEST(!other.is_utf8());

    // The client asks, and gets no longer an answer than its request.
    auto asked = server_with({.utf8 = true});
    say(asked, "");
    BOOST_TEST(say(asked, option(will, charset)) == option(do_, charset));
    const auto yes_utf8 = [](const std::string& spelled) { return sub(charset, "\2" + spelled); };
    const auto no = sub(charset, "\3");
    BOOST_TEST(say(asked, sub(charset, "\1 UTF-8")) == yes_utf8("UTF-8"));
    BOOST_TEST(say(asked, sub(charset, "\1;US-ASCII;Utf-8")) == yes_utf8("Utf-8"));
    for (const std::string& bad : {""s, ";"s, ";;"s, ";UTF-16"s, ";UTF-8x"s, "[TTABLE]\1;UTF-8"s})
        BOOST_TEST(hex(say(asked, sub(charset, "\1" + bad))) == hex(no), bad);
    BOOST_TEST(say(asked, sub(charset, "\4")) == "");
    BOOST_TEST(say(asked, sub(charset, "")) == "");

    // Both ask at once: RFC 2066 lets the server's request stand.
    auto both = server_with({.utf8 = true});
    say(both, option(do_, charset) + option(will, charset));
    BOOST_TEST(say(both, sub(charset, "\1;UTF-8")) == no);
    say(both, sub(charset, "\2UTF-8"));
    BOOST_TEST(both.is_utf8());
}

BOOST_AUTO_TEST_CASE(in_binary_a_cr_alone_ends_a_line) {
    // Danger: PuTTY sends nothing else for the Enter key then (RFC 856), and its user waits.
    auto p = server_with({.binary = true});
    say(p, option(will, binary));
    const auto seen = play(p, "one\rtwo\r\nthree\nfour\r" + nul + "five\r\r");
    BOOST_TEST(seen.messages == (lines{"one", "two", "three", "four", "five", ""}),
               boost::test_tools::per_element());
    const auto text = option(will, binary) + "a\rb\r\n\nc\r" + nul + nul + "\r\xff\xff\n" +
                      option(wont, binary) + "d\re\r\n";
    BOOST_TEST(split_difference(server_with({.binary = true}), text) == "");
    BOOST_TEST(play(server_with({.binary = true}), text).messages ==
                   (lines{"a", "b", "", "c", "", iac, "de"}),
               boost::test_tools::per_element());
    std::string out;
    BOOST_TEST(p.parse("x\r", out).message() == "x");
    BOOST_TEST(!p.parse("\n", out).is_unfinished(), "no line has begun");
}

BOOST_AUTO_TEST_CASE(a_prompt_is_sent_without_a_line_end) {
    ice::telnet p(10);
    std::string out;
    BOOST_TEST(!ice::packet(p, name, out));
    BOOST_TEST(!ice::packet(p, ice::telnet_prompt(iac), out));
    BOOST_TEST(out == "name: " + iac + iac);
    const auto error = [&](const std::string& text) {
        return ice::packet(p, ice::telnet_prompt(text, ice::telnet_echo::off), out);
    };
    BOOST_TEST((error("a\nb") == errc::unencodable));
    BOOST_TEST((error(std::string(11, 'x')) == errc::message_too_large));
    BOOST_TEST(out == "name: " + iac + iac);
    BOOST_TEST(say(p, "line\n") == "", "it has asked for nothing");
}

BOOST_AUTO_TEST_CASE(a_password_is_not_shown_and_the_next_line_is) {
    auto p = server_with({});
    std::string out = say(p, "");
    BOOST_TEST(!ice::packet(p, password, out));
    BOOST_TEST(hex(out) == hex(option(will, echo) + "password: "));
    BOOST_TEST(say(p, option(do_, echo)) == "");
    out.clear();
    BOOST_TEST(p.parse("secret\r\n", out).message() == "secret");
    BOOST_TEST(out == "\r\n", "the client has not shown the end of the line");
    BOOST_TEST(say(p, "") == option(wont, echo));
    BOOST_TEST(say(p, option(dont, echo) + "shown\r\n") == "");
}

BOOST_AUTO_TEST_CASE(the_echo_stays_off_between_two_passwords) {
    // Danger: it is on for the time of a round trip, and the client shows what a quick user types.
    auto p = server_with({});
    std::string out;
    BOOST_TEST(!ice::packet(p, password, out));
    say(p, option(do_, echo));
    for (int i = 0; i < 3; ++i) {
        out.clear();
        BOOST_TEST(p.parse("secret\r\n", out).has_message());
        BOOST_TEST(!ice::packet(p, password, out));
        BOOST_TEST(out == "\r\npassword: ");
        BOOST_TEST(say(p, "") == "");
    }
    out.clear();
    BOOST_TEST(!ice::packet(p, name, out));  // a logic that asks for something else instead
    BOOST_TEST(hex(out) == hex(option(wont, echo) + "name: "));
    BOOST_TEST(say(p, option(dont, echo) + option(do_, echo)) == option(wont, echo));
    BOOST_TEST(say(p, "bob\n") == "");
}

BOOST_AUTO_TEST_CASE(a_client_that_shows_the_password_gets_no_empty_line) {
    // It refuses, or it answers nothing, as nc does.
    for (const std::string& answer : {option(dont, echo), ""s}) {
        auto p = server_with({});
        for (int i = 0; i < 2; ++i) {
            std::string out;
            BOOST_TEST(!ice::packet(p, password, out));
            BOOST_TEST(hex(out) == hex(option(will, echo) + "password: "), "it is asked each time");
            BOOST_TEST(say(p, answer + "secret\r\n") == "");
        }
        BOOST_TEST(say(p, option(do_, echo)) == option(wont, echo), "too late");
    }
}

BOOST_AUTO_TEST_CASE(a_discarded_prompt_is_repeated_with_its_request) {
    // Danger: push() discards it, as the outbox is full; the next one would show the password.
    auto p = server_with({});
    for (int i = 0; i < 2; ++i) {
        std::string out;
        BOOST_TEST(!ice::packet(p, password, out));
        BOOST_TEST(hex(out) == hex(option(will, echo) + "password: "));
    }
}

BOOST_AUTO_TEST_CASE(a_client_may_ask_the_server_to_echo_only_while_it_hides_a_line) {
    // PuTTY asks so when it connects. The server echoes nothing, so the user would see nothing.
    auto p = server_with(all_options);
    say(p, "");
    BOOST_TEST(say(p, option(do_, echo)) == option(wont, echo));
    std::string out;
    BOOST_TEST(!ice::packet(p, password, out));
    BOOST_TEST(say(p, option(dont, echo) + option(do_, echo)) == option(will, echo));
    BOOST_TEST(say(p, "secret\r\n") == "\r\n" + option(wont, echo));
}

// -- what clients send. The bytes of all but the MUD client were recorded from the programs of
// Debian 12 on a terminal of 80x24 with TERM=xterm-256color, to a server that sends DO TTYPE, DO
// NAWS, WILL CHARSET, WILL ECHO and SB TTYPE SEND. Those of the MUD client are what the documents
// of Mudlet and TinTin++ name.

struct client {
    const char* is;
    std::string bytes, answers;
    std::string terminal_type;
    bool is_utf8 = false, hides = true;
};

BOOST_AUTO_TEST_CASE(recorded_clients_negotiate_alike_at_every_split) {
    const auto window = sub(naws, nul + "\x50" + nul + "\x18");
    const auto bsd = option(will, ttype) + option(will, naws) + window + option(dont, charset) +
                     option(do_, echo);
    const auto type = [](const std::string& is) { return sub(ttype, nul + is); };
    const auto putty = option(will, naws) + option(will, 32) + option(will, ttype) +
                       option(will, 39) + option(do_, echo) + option(will, sga) + option(do_, sga) +
                       window + option(dont, charset) + sub(ttype, nul + "XTERM");
    const auto mud = option(will, naws) + sub(naws, nul + "\x78" + nul + "\x28") +
                     option(will, ttype) + sub(ttype, nul + "MUDLET") + option(do_, charset) +
                     sub(charset, "\2UTF-8") + option(do_, echo) + option(do_, 201) +
                     option(do_, 86) + option(will, 86);
    const std::vector<client> clients = {
        {"inetutils-telnet 2.4", bsd + type("XTERM-256COLOR"), send_type, "XTERM-256COLOR"},
        {"telnet-ssl 0.17 and busybox 1.35", bsd + type("xterm-256color"), send_type,
         "xterm-256color"},
        {"plink 0.78", putty,
         option(dont, 32) + send_type + option(dont, 39) + option(dont, sga) + option(wont, sga),
         "XTERM"},
        {"a MUD client, with GMCP (201) and MCCP (86)", mud,
         send_type + ask_utf8 + option(wont, 201) + option(wont, 86) + option(dont, 86), "MUDLET",
         true},
        {"telnetlib of Python 3.11",
         option(wont, ttype) + option(wont, naws) + option(dont, charset) + option(dont, echo), "",
         "", false, false}};
    for (const auto& c : clients) {
        auto p = server_with({.terminal_type = true, .window = true, .utf8 = true});
        std::string out = say(p, "");
        BOOST_TEST(!ice::packet(p, password, out));
        auto whole = p;
        BOOST_TEST(hex(say(whole, c.bytes)) == hex(c.answers), c.is);
        BOOST_TEST(whole.terminal_type() == c.terminal_type, c.is);
        BOOST_TEST((whole.window().columns != 0) == (c.terminal_type != ""), c.is);
        BOOST_TEST(whole.is_utf8() == c.is_utf8, c.is);
        const auto typed = c.bytes + "secret\r\n";
        const auto end = c.hides ? "\r\n" + option(wont, echo) : "";
        const auto seen = play(p, typed);
        BOOST_TEST(seen.messages == lines{"secret"}, boost::test_tools::per_element());
        BOOST_TEST(hex(seen.answers) == hex(c.answers + end), c.is);
        BOOST_TEST(split_difference(p, typed) == "", c.is);
    }
}

BOOST_AUTO_TEST_CASE(a_hostile_peer_gets_no_more_bytes_than_it_sends) {
    // Random commands of the options that are on, and of their subnegotiations.
    std::mt19937 random(1143);
    const std::string numbers = {0, 1, 3, 24, 31, 42, 86};
    const auto any = [&](const std::string& of) { return of[random() % of.size()]; };
    for (int i = 0; i < 300; ++i) {
        std::string input;
        while (input.size() < 40) {
            if (random() % 3 == 0) {
                input += iac + sb + any(numbers) + any("\1\2\3\4" + nul);
                for (auto n = random() % 9; n != 0; --n) input += any(";UTF-8 X");
                input += iac + se;
            } else if (random() % 8 == 0) {
                input += any("ab\r\n");
            } else {
                input += iac + any(will + wont + do_ + dont) + any(numbers);
            }
        }
        auto p = server_with(all_options);
        std::string own;
        BOOST_TEST(!ice::packet(p, password, own));
        const auto seen = play(p, input);
        BOOST_TEST(seen.answers.size() <= input.size() + 36 + 5, hex(input));
        for (const auto& line : seen.messages) BOOST_TEST(line.find(iac) == line.npos);
        BOOST_TEST(split_difference(p, input) == "", hex(input));
    }
}

BOOST_AUTO_TEST_CASE(two_ends_with_any_options_fall_silent_and_agree) {
    // Both ask at once, and what they say arrives in any order of pieces.
    std::mt19937 random(1143);
    for (int i = 0; i < 2000; ++i) {
        const auto any = [&] { return random() % 2 == 0; };
        ice::telnet_options wants[] = {{any(), any(), any(), any(), any()},
                                       {any(), any(), any(), any(), any()}};
        wants[1].echo = any();
        if (any()) wants[1].terminal = {"XTERM", {80, 24}};
        ice::telnet ends[] = {server_with(wants[0]), ice::telnet(wants[1])};
        std::string heard[2];  // on its way to each
        const bool hides = any();
        if (hides)
            BOOST_TEST(
                !ice::packet(ends[0], ice::telnet_prompt("", ice::telnet_echo::off), heard[1]));
        for (const int end : {0, 1}) heard[1 - end] += say(ends[end], "");
        const std::size_t asked = heard[0].size() + heard[1].size();
        std::size_t sent = asked, turns = 0;
        while (!(heard[0] + heard[1]).empty() && ++turns < 1000) {
            const int end = heard[0].empty() || (!heard[1].empty() && any()) ? 1 : 0;
            const std::string piece = heard[end].substr(0, 1 + random() % 9);
            heard[end].erase(0, piece.size());
            const std::string answer = say(ends[end], piece);
            heard[1 - end] += answer;
            sent += answer.size();
        }
        BOOST_TEST(turns < 1000U);
        BOOST_TEST(sent <= 120U + 11 + 9);  // a terminal
        const bool has_terminal = !wants[1].terminal.type.empty();
        BOOST_TEST((ends[0].terminal_type() == "XTERM") ==
                   (has_terminal && wants[0].terminal_type));
        BOOST_TEST((ends[0].window().rows == 24) == (has_terminal && wants[0].window));
        BOOST_TEST(ends[1].is_echoed() == (hides && wants[1].echo));
        const bool agree = wants[0].utf8 && wants[1].utf8;
        for (const auto& end : ends) BOOST_TEST(end.is_utf8() == agree);
        // In binary a CR alone ends a line, at both ends or at none.
        const bool is_binary = wants[0].binary && wants[1].binary;
        for (auto& end : ends) {
            std::string out;
            BOOST_TEST(end.parse("x\r", out).has_message() == is_binary);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_connection_stays_small) {
    // Servers keep ten thousand of them.
    static_assert(sizeof(ice::telnet) <= 128);
    auto p = server_with(all_options);
    const std::uint64_t before = heap::made - heap::freed;
    say(p, option(will, ttype) + sub(ttype, nul + std::string(15, 'x')) + option(will, naws));
    say(p, sub(charset, std::string(500, 'x')));
    BOOST_TEST(heap::made - heap::freed <= before, "but for a type of more than 15 characters");
}

BOOST_AUTO_TEST_SUITE_END()
