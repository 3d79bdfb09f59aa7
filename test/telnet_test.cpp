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

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::testing::play;
using ice::testing::split_difference;
using lines = std::vector<std::string>;
using transcript = ice::testing::transcript<ice::telnet>;

const std::string iac = "\xff", dont = "\xfe", do_ = "\xfd", wont = "\xfc", will = "\xfb",
                  sb = "\xfa", ga = "\xf9", ayt = "\xf6", ip = "\xf4", dm = "\xf2", nop = "\xf1",
                  se = "\xf0", yes = "\r\n[Yes]\r\n", nul("\0", 1);

std::string option(const std::string& verb, int number) {
    return iac + verb + static_cast<char>(number);
}

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

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) text += fmt::format("{:02x} ", static_cast<unsigned char>(c));
    return text;
}

errc packed(std::string_view text, std::string& out, std::size_t limit = 8192) {
    ice::telnet p(limit);
    return static_cast<errc>(p.packet(text, out).value());
}
constexpr errc none{};

bool too_large(const transcript& t) { return t.error == errc::message_too_large; }
bool broken(const transcript& t) { return t.error == errc::bad_message; }

// n times.
std::string many(const std::string& text, std::size_t n) {
    std::string all;
    for (std::size_t i = 0; i < n; ++i) all += text;
    return all;
}

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

BOOST_AUTO_TEST_SUITE_END()
