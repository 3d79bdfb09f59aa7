// telnet, the client's end: what a client tells of its terminal, in every order, with our own
// server too.
#include <boost/test/unit_test.hpp>
#include <deque>
#include <ice/link.hpp>
#include <ice/pool.hpp>
#include <ice/protocols/telnet.hpp>
#include <ice/server.hpp>
#include <ice/testing/script.hpp>
#include <ice/testing/sim.hpp>
#include <set>
#include <string>
#include <vector>

#include "quick.hpp"
#include "quiet_server.hpp"
#include "telnet_bytes.hpp"

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace telnet_bytes;
using ice::testing::play;
using ice::testing::split_difference;
using lines = std::vector<std::string>;

const std::string xterm = "XTERM-256COLOR";
const std::string tell_type = sub(ttype, nul + xterm);

std::string tell(const std::string& size) { return sub(naws, size); }
const std::string size_80x24 = tell(nul + "\x50" + nul + "\x18");

ice::telnet client() { return ice::telnet({.terminal = {xterm, {80, 24}}}); }

std::string packed(ice::telnet& p, const ice::telnet_window& window) {
    std::string out;
    BOOST_TEST(!ice::packet(p, window, out));
    return out;
}

const ice::telnet_options all_of_client{.utf8 = true, .echo = true, .terminal = {xterm, {80, 24}}};

// What a client with these options answers, one command after the other: from RFC 854 and the RFCs
// of the options, for a peer that is asked for nothing.
struct model {
    std::string answer(const std::string& command) {
        const char verb = command[1];
        const int number = command[2];
        if (verb == sb[0]) return subnegotiation(number, command.substr(3, command.size() - 5));
        const bool of_us = verb == do_[0] || verb == dont[0];
        const bool wants = verb == do_[0] || verb == will[0];
        const bool agrees = of_us ? number == ttype || number == naws || number == charset
                                  : number == echo || number == charset;
        const std::string &on = of_us ? will : do_, &off = of_us ? wont : dont;
        std::set<int>& are_on = of_us ? ours : theirs;
        if (wants && are_on.contains(number)) return "";
        if (wants && !agrees) return option(off, number);
        if (!wants) return are_on.erase(number) == 0 ? "" : option(off, number);
        are_on.insert(number);
        std::string more;
        if (of_us && number == naws) more = size_80x24;
        if (of_us && number == charset && !has_asked && !is_utf8) {
            more = ask_utf8;
            has_asked = waits = true;
        }
        return option(on, number) + more;
    }

    std::string subnegotiation(int number, const std::string& data) {
        if (number == ttype) return data == "\1" && ours.contains(ttype) ? tell_type : "";
        if (waits && ours.contains(charset) && (data == "\2UTF-8" || data[0] == '\3')) {
            waits = false;
            is_utf8 = data[0] == '\2';
            has_asked = true;
        }
        if (data[0] != '\1' || !theirs.contains(charset)) return "";
        if (data != "\1;UTF-8") return sub(charset, "\3");
        waits = false;
        is_utf8 = true;
        return sub(charset, "\2UTF-8");
    }

    std::set<int> ours, theirs;  // the options that are on
    bool has_asked = false, waits = false, is_utf8 = false;
};

struct search {
    std::vector<std::string> letters;
    std::size_t seen = 0, wrong = 0;

    // Tries all sequences of up to `depth` further commands.
    void go(const ice::telnet& now, const model& expected, std::size_t sent, std::size_t received,
            int depth) {
        for (const std::string& letter : letters) {
            ice::telnet then = now;
            model then_expected = expected;
            std::string out;
            const auto found = then.parse(letter, out);
            ++seen;
            wrong += found.size() != letter.size() || out != then_expected.answer(letter);
            wrong += then.is_utf8() != then_expected.is_utf8;
            wrong += then.is_echoed() != then_expected.theirs.contains(echo);
            // Each answer about the terminal, and one request, may be longer than the command.
            const std::size_t all = sent + (out.size() > 6 ? 0 : out.size());
            wrong += all > received + letter.size();
            if (depth > 1) go(then, then_expected, all, received + letter.size(), depth - 1);
        }
    }
};

// The first command, or text up to one, on its way.
std::string first_of(const std::string& bytes) {
    if (bytes[0] != iac[0]) return bytes.substr(0, bytes.find(iac));
    if (bytes[1] == sb[0]) return bytes.substr(0, bytes.find(iac + se) + 2);
    return bytes.substr(0, 3);
}

// A client and a server of ours. What each has been told is in `to_`, of which `at_` is delivered.
struct both_ends {
    ice::telnet server = server_with({.terminal_type = true, .window = true, .utf8 = true});
    ice::telnet client{all_of_client};
    std::string to_server, to_client;
    std::size_t at_server = 0, at_client = 0;
    bool has_hidden = false, has_typed = false, has_resized = false;

    std::string key() const {
        return to_server + '|' + to_client + '|' + std::to_string(at_server) + '|' +
               std::to_string(at_client) + (has_hidden ? "h" : "") + (has_typed ? "t" : "") +
               (has_resized ? "r" : "");
    }

    // Each event that can happen next.
    std::vector<both_ends> next() const {
        std::vector<both_ends> all;
        if (at_server != to_server.size()) {
            both_ends& then = all.emplace_back(*this);
            const auto command = first_of(to_server.substr(at_server));
            then.at_server += command.size();
            then.to_client += say(then.server, command);
        }
        if (at_client != to_client.size()) {
            both_ends& then = all.emplace_back(*this);
            const auto command = first_of(to_client.substr(at_client));
            then.at_client += command.size();
            then.to_server += say(then.client, command);
        }
        if (!has_hidden) {
            both_ends& then = all.emplace_back(*this);
            then.has_hidden = true;
            const ice::telnet_prompt prompt("password: ", ice::telnet_echo::off);
            BOOST_TEST(!ice::packet(then.server, prompt, then.to_client));
        }
        if (has_hidden && !has_typed) {
            both_ends& then = all.emplace_back(*this);
            then.has_typed = true;
            BOOST_TEST(!ice::packet(then.client, "secret", then.to_server));
        }
        if (!has_resized) {
            both_ends& then = all.emplace_back(*this);
            then.has_resized = true;
            then.to_server += packed(then.client, {255, 50});
        }
        return all;
    }
};

const ice::address there{"10.0.0.1", 23};

// A server that asks for all, and answers with what it knows.
struct tells_back {
    std::string operator()(std::string_view, ice::session<ice::telnet>& peer) const {
        const ice::telnet& known = peer.protocol();
        const auto [columns, rows] = known.window();
        return fmt::format("{} {}x{}{}", known.terminal_type(), columns, rows,
                           known.is_utf8() ? " UTF-8" : "");
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(telnet_client)

BOOST_AUTO_TEST_CASE(a_client_tells_its_terminal_if_the_server_asks) {
    auto p = client();
    BOOST_TEST(say(p, "") == "", "a client asks for nothing");
    BOOST_TEST(say(p, sub(ttype, "\1")) == "", "the option is off");
    BOOST_TEST(hex(say(p, option(do_, ttype))) == hex(option(will, ttype)));
    BOOST_TEST(hex(say(p, send_type)) == hex(tell_type));
    BOOST_TEST(hex(say(p, send_type)) == hex(tell_type), "again: the list has ended (RFC 1091)");
    for (const std::string& bad : {""s, "\1\1"s, "\2"s, nul + "VT100"})
        BOOST_TEST(say(p, sub(ttype, bad)) == "", hex(bad));
    BOOST_TEST(hex(say(p, option(do_, naws))) == hex(option(will, naws) + size_80x24));
    BOOST_TEST(say(p, option(do_, naws)) == "", "it is so already");
    // It tells what it is, and has learned nothing.
    BOOST_TEST(p.terminal_type() == xterm);
    BOOST_TEST((p.window() == ice::telnet_window{80, 24}));
    BOOST_TEST(p.changes() == 0U);
    BOOST_TEST(say(p, option(dont, ttype)) == option(wont, ttype));
    BOOST_TEST(say(p, send_type) == "");
}

BOOST_AUTO_TEST_CASE(a_client_refuses_to_tell_what_it_does_not_have) {
    ice::telnet no_type({.terminal = {.window = {80, 24}}});
    BOOST_TEST(say(no_type, option(do_, ttype)) == option(wont, ttype));
    BOOST_TEST(hex(say(no_type, option(do_, naws))) == hex(option(will, naws) + size_80x24));
    ice::telnet no_window({.terminal = {.type = xterm}});
    BOOST_TEST(say(no_window, option(do_, naws)) == option(wont, naws));
    BOOST_TEST(say(no_window, option(do_, ttype)) == option(will, ttype));
    ice::telnet only_asks({.terminal_type = true, .window = true});
    BOOST_TEST(say(only_asks, option(do_, ttype) + option(do_, naws)) ==
               option(wont, ttype) + option(wont, naws));
    // A server has no terminal, whatever its options say.
    auto server = server_with({.echo = true, .terminal = {xterm, {80, 24}}});
    BOOST_TEST(server.terminal_type() == "");
    BOOST_TEST((server.window() == ice::telnet_window{}));
    BOOST_TEST(say(server, option(do_, ttype) + option(do_, naws) + option(will, echo)) ==
               option(wont, ttype) + option(wont, naws) + option(dont, echo));
}

BOOST_AUTO_TEST_CASE(a_size_is_sent_with_each_255_doubled) {
    // Danger: the server takes the byte for the beginning of a command.
    ice::telnet p({.terminal = {.window = {255, 65535}}});
    BOOST_TEST(hex(say(p, option(do_, naws))) ==
               hex(option(will, naws) + tell(nul + many(iac, 6))));
    BOOST_TEST(hex(packed(p, {0x1234, 0xff00})) == hex(tell("\x12\x34" + iac + iac + nul)));
    auto server = server_with({.window = true});
    say(server, option(will, naws) + tell(nul + many(iac, 6)));
    BOOST_TEST((server.window() == ice::telnet_window{255, 65535}));
}

BOOST_AUTO_TEST_CASE(a_change_of_the_window_is_told_once_the_server_has_asked) {
    auto p = client();
    BOOST_TEST(packed(p, {100, 40}) == "", "nobody has asked");
    BOOST_TEST(hex(say(p, option(do_, naws))) ==
               hex(option(will, naws) + tell(nul + "\x64" + nul + "\x28")));
    BOOST_TEST(hex(packed(p, {80, 24})) == hex(size_80x24));
    BOOST_TEST(hex(packed(p, {80, 24})) == hex(size_80x24), "the push before it may be discarded");
    BOOST_TEST((p.window() == ice::telnet_window{80, 24}));
    say(p, option(dont, naws));
    BOOST_TEST(packed(p, {1, 1}) == "");
}

BOOST_AUTO_TEST_CASE(a_server_that_asks_again_and_again_is_told_sixteen_times) {
    // Danger: 46 bytes of answer for six.
    auto types = client();
    say(types, option(do_, ttype));
    BOOST_TEST(say(types, many(send_type, 15)) == many(tell_type, 15));
    BOOST_TEST(say(types, send_type) == tell_type);
    BOOST_TEST(say(types, many(send_type, 1000)) == "");
    BOOST_TEST(packed(types, {1, 1}) == "");
    auto sizes = client();
    const auto toggled = say(sizes, many(option(do_, naws) + option(dont, naws), 1000));
    BOOST_TEST(toggled.size() == 6U * 1000 + 16 * size_80x24.size());
    say(sizes, option(do_, naws));
    BOOST_TEST(packed(sizes, {80, 24}) == size_80x24, "its own changes are told");
}

BOOST_AUTO_TEST_CASE(a_client_agrees_on_utf8_and_nothing_else) {
    // RFC 2066: who has been told DO may send the request, so a server may wait for that.
    ice::telnet p({.utf8 = true});
    BOOST_TEST(hex(say(p, option(do_, charset))) == hex(option(will, charset) + ask_utf8));
    auto accepted = p, rejected = p, crossed = p;
    say(accepted, sub(charset, "\2UTF-8"));
    BOOST_TEST(accepted.is_utf8());
    BOOST_TEST(accepted.changes() == 1U);
    say(rejected, sub(charset, "\3"));
    BOOST_TEST(!rejected.is_utf8());
    BOOST_TEST(say(rejected, option(dont, charset) + option(do_, charset)) ==
                   option(wont, charset) + option(will, charset),
               "it asks once");
    // The server's own request stands, and it rejects the client's.
    BOOST_TEST(say(crossed, option(will, charset)) == option(do_, charset));
    BOOST_TEST(say(crossed, sub(charset, "\1;UTF-16")) == sub(charset, "\3"));
    BOOST_TEST(hex(say(crossed, ask_utf8)) == hex(sub(charset, "\2UTF-8")));
    say(crossed, sub(charset, "\3"));
    BOOST_TEST(crossed.is_utf8());
    ice::telnet no(ice::telnet_options{});
    BOOST_TEST(say(no, option(do_, charset)) == option(wont, charset));
}

BOOST_AUTO_TEST_CASE(a_server_may_echo_only_if_the_client_wants_it) {
    ice::telnet p({.echo = true});
    BOOST_TEST(say(p, option(will, echo)) == option(do_, echo));
    BOOST_TEST(p.is_echoed());
    BOOST_TEST(p.changes() == 1U);
    BOOST_TEST(say(p, option(will, echo)) == "");
    BOOST_TEST(say(p, option(wont, echo)) == option(dont, echo));
    BOOST_TEST(!p.is_echoed());
    BOOST_TEST(p.changes() == 2U);
    BOOST_TEST(say(p, option(do_, echo)) == option(wont, echo), "a client echoes nothing");
    auto program = client();
    BOOST_TEST(say(program, option(will, echo)) == option(dont, echo));
    BOOST_TEST(!program.is_echoed());
}

BOOST_AUTO_TEST_CASE(a_recorded_server_gets_the_same_answers_at_every_split) {
    // The bytes of telnetd of inetutils 2.4 that runs a shell script on a terminal of its own.
    std::string bytes = option(will, 37) + option(will, 38);
    for (const int number : {24, 32, 35, 39, 36}) bytes += option(do_, number);
    bytes += send_type + option(will, sga) + option(do_, echo) + option(do_, 34) +
             option(do_, naws) + option(will, 5) + option(do_, 33) + option(will, echo) +
             option(do_, 6) + option(do_, binary) + "xterm-256color 24 80\r\n" + option(will, echo);
    std::string answers = option(dont, 37) + option(dont, 38) + option(will, ttype);
    for (const int number : {32, 35, 39, 36}) answers += option(wont, number);
    answers += tell_type + option(dont, sga) + option(wont, echo) + option(wont, 34) +
               option(will, naws) + size_80x24 + option(dont, 5) + option(wont, 33) +
               option(dont, echo) + option(wont, 6) + option(wont, binary) + option(dont, echo);
    const auto seen = play(client(), bytes);
    BOOST_TEST(hex(seen.answers) == hex(answers));
    BOOST_TEST(seen.messages == lines{"xterm-256color 24 80"}, boost::test_tools::per_element());
    BOOST_TEST(split_difference(client(), bytes) == "");
}

BOOST_AUTO_TEST_CASE(every_sequence_of_six_commands_is_answered_as_by_the_model) {
    // Danger: a server, or one that is not, makes a client send more than it does, or a loop.
    const auto verbs = [](int number) {
        lines all;
        for (const auto& verb : {will, wont, do_, dont}) all.push_back(option(verb, number));
        return all;
    };
    search of_echo{verbs(echo)}, of_type{verbs(ttype)}, of_window{verbs(naws)},
        of_charset{verbs(charset)};
    of_type.letters.push_back(send_type);
    of_window.letters.push_back(size_80x24);
    for (const char* request : {"\1;UTF-8", "\1;US-ASCII", "\2UTF-8", "\3"})
        of_charset.letters.push_back(sub(charset, request));
    for (search* each : {&of_echo, &of_type, &of_window, &of_charset}) {
        const int depth = is_quick && each == &of_charset ? 5 : 6;
        ice::telnet p(all_of_client);
        say(p, "");
        each->go(p, {}, 0, 0, depth);
        BOOST_TEST(each->wrong == 0U);
        BOOST_TEST(each->seen > 5'000U);
    }
}

BOOST_AUTO_TEST_CASE(our_client_and_our_server_agree_in_every_order_of_events) {
    // A password, what is typed, and a change of the window, at each point of the negotiation.
    std::deque<both_ends> open;
    both_ends first;
    first.to_client = say(first.server, "");
    first.to_server = say(first.client, "");
    open.push_back(first);
    std::set<std::string> seen;
    std::size_t ends = 0, wrong = 0;
    while (!open.empty()) {
        const both_ends now = std::move(open.front());
        open.pop_front();
        if (!seen.insert(now.key()).second) continue;
        const auto then = now.next();
        open.insert(open.end(), then.begin(), then.end());
        wrong += now.to_server.size() + now.to_client.size() > 200;
        if (!then.empty()) continue;
        ++ends;
        wrong += now.server.terminal_type() != xterm || !now.server.is_utf8() ||
                 !now.client.is_utf8() || now.client.is_echoed() ||
                 now.server.window() != ice::telnet_window{255, 50};
    }
    BOOST_TEST(wrong == 0U);
    BOOST_TEST(seen.size() > 1000U);
    BOOST_TEST(ends != 0U);
}

BOOST_AUTO_TEST_CASE(a_pool_and_a_link_tell_a_server_their_terminal) {
    ice::testing::simulation sim;
    quiet_server srv(sim.net()), upstream(sim.host(there.host()));
    upstream.add(ice::tcp_server_action{there}
                     .protocol(ice::telnet({.terminal_type = true, .window = true, .utf8 = true}))
                     .logic(tells_back{}));
    const ice::telnet terminal({.utf8 = true, .terminal = {xterm, {80, 24}}});
    auto& pool = srv.add(ice::tcp_client_action{there, "pool", 1, terminal});
    for (int i = 0; i < 2; ++i) (void)sim.run(pool.request("and now?"));  // it asks, and is told
    BOOST_TEST(sim.run(pool.request("and now?")).value() == "XTERM-256COLOR 80x24 UTF-8");

    lines heard;
    auto& link = srv.add(ice::tcp_link_action<ice::telnet>{there, "link"}.protocol(terminal).logic(
        [&](std::string_view line) { heard.emplace_back(line); }));
    sim.run_for(1s);
    for (const ice::telnet_window& window : {ice::telnet_window{}, ice::telnet_window{255, 60}}) {
        if (window.rows != 0) BOOST_TEST(!link.push(window));
        BOOST_TEST(!link.push("and now?"));
        sim.run_for(1s);
    }
    BOOST_TEST(heard == (lines{"XTERM-256COLOR 80x24 UTF-8", "XTERM-256COLOR 255x60 UTF-8"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
