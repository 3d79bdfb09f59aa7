// Telnet clients that stay connected for days, and hostile ones, with a whole server in virtual
// time.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <string>

#include "../printing.hpp"
#include "../quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ice::testing::fault;
using ice::testing::simulation;

const ice::address here{"127.0.0.1", 23};
const std::string iac = "\xff", nop = iac + "\xf1", ayt = iac + "\xf6",
                  timing_mark = iac + "\xfd\x06", yes = "\r\n[Yes]\r\n";

struct telnet_server : quiet_server {
    template <class L>
    telnet_server(simulation& sim, L logic)
        : quiet_server(sim.net()),
          on(add(ice::tcp_server_action{here}.protocol(ice::telnet{}).logic(std::move(logic)))) {}
    ice::listener<ice::telnet>& on;
};

// The other end of a connection; unless it is unresponsive, it reads at once what comes.
class peer {
public:
    explicit peer(simulation& sim, bool unresponsive = false)
        : sim_(sim), open_(sim.run(sim.open<ice::raw>(here)).value()) {
        // Its own timeouts must not end it.
        open_->set_deadline(ice::after(sim.now(), 1000h), ice::errc::stopped);
        if (!unresponsive) sim.spawn(reads(open_, heard_));
    }
    ~peer() { open_->close(); }
    peer(const peer&) = delete;
    peer& operator=(const peer&) = delete;

    ice::session<ice::raw>& open() { return *open_; }
    ice::error_code say(std::string_view bytes) { return open_->push(bytes); }
    // All that has come until `span` has passed.
    std::string hear(ice::duration span) {
        sim_.run_for(span);
        return std::exchange(*heard_, "");
    }

private:
    static ice::task<> reads(std::shared_ptr<ice::session<ice::raw>> from,
                             std::shared_ptr<std::string> heard) {
        for (;;) {
            const auto m = co_await from->receive();
            if (!m) break;
            *heard += *m;
        }
    }

    simulation& sim_;
    std::shared_ptr<ice::session<ice::raw>> open_;
    std::shared_ptr<std::string> heard_ = std::make_shared<std::string>();
};

std::string echo_line(std::string_view line) { return std::string(line); }

std::string many(const std::string& text, std::size_t n) {
    std::string all;
    for (std::size_t i = 0; i < n; ++i) all += text;
    return all;
}

// One of each kind, whole. `there` counts AYT.
std::string command(ice::testing::dice& chance, std::size_t& there) {
    const auto any = [&] { return std::string(1, static_cast<char>(chance.below(256))); };
    const auto verb = chance.between(240, 254);
    std::string made = iac + static_cast<char>(verb);
    if (verb == 246) ++there;
    if (verb > 250) return made + any();
    if (verb != 250) return made;
    for (auto n = chance.below(20); n != 0; --n) {
        const std::string byte = any();
        made += byte == iac ? iac + iac : byte;
    }
    return made + iac + "\xf0";
}

// Until it is ended.
ice::task<> floods(peer& p, std::string piece, std::size_t& sent) {
    const auto none = ice::errc();
    for (;;) {
        p.open().bytes().out() += piece;
        const ice::error_code lost = co_await p.open().bytes().flush(1h, ice::never, none);
        if (lost) break;
        sent += piece.size();
    }
}

// An upstream that asks for a sign of life while it thinks. Refusals are no text for it.
ice::task<std::string> asks_back(std::string_view line, ice::session<ice::line>& peer) {
    std::string heard(line);
    std::erase_if(heard, [](char c) { return c == iac[0] || c == '\xfc' || c == '\x06'; });
    peer.bytes().out() += ayt + timing_mark + ayt;
    co_await peer.flush();
    co_await peer.sleep(5ms);
    co_return "you said " + heard;
}

// From bytes that are nothing but answers; how many there were.
std::size_t take_out_yes(std::string& answers) {
    std::size_t n = 0;
    for (std::size_t at = 0; at < answers.size();) {
        if (answers[at] == iac[0]) {
            at += 3;
            continue;
        }
        BOOST_TEST_REQUIRE(answers.substr(at, yes.size()) == yes);
        answers.erase(at, yes.size());
        ++n;
    }
    return n;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(telnet_peers)

// Danger: keep-alives of a client end its connection. One each 30 s, for 83 hours.
BOOST_AUTO_TEST_CASE(a_client_may_keep_its_connection_alive_for_days) {
    const auto tm_refused = iac + "\xfc\x06";
    for (const auto& [command, answer] :
         {std::pair{nop, ""s}, {ayt, yes}, {timing_mark, tm_refused}}) {
        simulation sim;
        telnet_server srv(sim, echo_line);
        peer p(sim);
        std::string heard;
        for (int i = 0; i < 10'000; ++i) {
            BOOST_TEST_REQUIRE(!p.say(command), "number " << i);
            heard += p.hear(30s);
        }
        BOOST_TEST(heard.size() == 10'000 * answer.size());
        p.say("still here\r\n");
        BOOST_TEST(p.hear(1s) == "still here\r\n");
        BOOST_TEST(srv.on.size() == 1U);
    }
}

BOOST_AUTO_TEST_CASE(a_client_is_idle_if_its_keep_alives_are_too_rare) {
    // timeouts::idle restarts with each command, with its full length.
    simulation sim;
    telnet_server srv(sim, echo_line);
    peer p(sim);
    for (int i = 0; i < 3; ++i) {
        p.say(nop);
        sim.run_for(74s);
        BOOST_TEST(srv.on.size() == 1U);
    }
    p.say(nop);
    sim.run_for(76s);
    BOOST_TEST(srv.on.counters().timeouts == 1U);
}

// Danger: commands keep a message alive that never ends (slowloris).
BOOST_AUTO_TEST_CASE(commands_within_a_line_do_not_extend_its_timeout) {
    simulation sim;
    telnet_server srv(sim, echo_line);
    for (const std::string& begun : {"a"s, iac + "\xfa\x18"s, iac + "\xfb"s}) {
        peer p(sim);
        p.say(nop);
        sim.run_for(60s);  // no part of a line
        p.say(begun);
        const auto before = srv.on.counters().timeouts;
        for (int i = 0; i < 29; ++i) {
            sim.run_for(1s);
            p.say(nop);
        }
        BOOST_TEST(srv.on.counters().timeouts == before);
        sim.run_for(2s);
        BOOST_TEST(srv.on.counters().timeouts == before + 1);
    }
}

// Danger: answers to options of a peer that does not read grow without a bound.
BOOST_AUTO_TEST_CASE(a_server_stops_reading_from_a_peer_that_does_not_read) {
    simulation sim;
    telnet_server srv(sim, echo_line);
    peer p(sim, true);
    const std::string flood = many(timing_mark, 1000);
    std::size_t most = 0, sent = 0;
    sim.spawn(floods(p, flood, sent));
    const auto watch = [&] {
        for (auto& s : srv.on.sessions()) most = std::max(most, s.bytes().unsent());
        return srv.on.counters().timeouts != 0;
    };
    BOOST_TEST(sim.run_until(watch, 1h), "timeouts::write");
    BOOST_TEST(most > 0U);
    BOOST_TEST(most <= ice::limits().inbox);
    BOOST_TEST(sent <= 4 * sim.faults().window + ice::limits().inbox, "nothing more is taken");
}

// A hundred thousand commands of each kind that there is, in random pieces on a network that cuts
// them: beside them a client keeps its connection alive, and one talks.
BOOST_AUTO_TEST_CASE(random_commands_cause_no_more_bytes_than_they_have) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        simulation sim(seed);
        sim.faults()[fault::short_read] = 0.3;
        sim.faults()[fault::short_write] = 0.3;
        sim.faults()[fault::delay] = 0.3;
        std::string lines;
        telnet_server srv(sim, [&](std::string_view line) -> std::optional<std::string> {
            if (line.starts_with("person ")) return std::string(line);
            lines += line;
            return std::nullopt;
        });
        peer hostile(sim), keeps(sim), person(sim);
        std::string heard, expected;
        std::size_t there = 0, sent = 0;
        ice::testing::dice& chance = sim.chance();
        for (int i = 0; i < 10'000;) {
            std::string piece;
            for (auto n = chance.between(1, 200); n != 0; --n, ++i) {
                piece += command(chance, there);
                if (!chance.hit(0.02)) continue;
                expected += "text";
                piece += chance.hit(0.5) ? "text\r\n" : "te" + nop + "xt\r";
                if (piece.back() == '\r') piece += '\0';
            }
            sent += piece.size();
            BOOST_TEST_REQUIRE(!hostile.say(piece));
            heard += hostile.hear(chance.below(2s));
            if (chance.hit(0.1)) {
                keeps.say(nop);
                const auto line = fmt::format("person {}\r\n", i);
                person.say(line);
                BOOST_TEST(person.hear(1s) == line);
            }
        }
        heard += hostile.hear(10s);
        BOOST_TEST(lines == expected);
        const std::size_t answered = take_out_yes(heard);
        BOOST_TEST(answered <= there);
        BOOST_TEST(answered > 0U);
        BOOST_TEST(heard.size() <= sent);
        BOOST_TEST(srv.on.size() == 3U);
        keeps.say("person keeps\r\n");
        BOOST_TEST(keeps.hear(1s) == "person keeps\r\n");
        BOOST_TEST(srv.on.counters().bad_messages == 0U);
    }
}

// Danger: to an upstream "[Yes]" is a request: the next caller gets the reply to it.
BOOST_AUTO_TEST_CASE(are_you_there_from_an_upstream_does_not_shift_replies) {
    simulation sim;
    quiet_server srv(sim.net());
    auto& up = srv.add(ice::tcp_server_action{here}.protocol(ice::line{}).logic(asks_back));
    constexpr ice::pool_name<ice::telnet> name{"up"};
    auto& pool = srv.add(ice::tcp_client_action{up.endpoint(), name, 1});
    for (int i = 0; i < 100; ++i) {
        const auto line = fmt::format("request {}", i);
        const auto reply = sim.run(pool.request(line));
        BOOST_TEST_REQUIRE(reply.has_value());
        BOOST_TEST(*reply == "you said " + line);
    }
    BOOST_TEST(up.counters().messages == 100U);
    BOOST_TEST(pool.counters().connects == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
