// telnet_negotiation: every course that a negotiation can take, between two of our ends, and with
// peers that know only RFC 854.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <deque>
#include <ice/detail/telnet_negotiation.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using ice::detail::telnet_negotiation;
using enum ice::detail::telnet_option;
using option_t = ice::detail::telnet_option;
using side_t = ice::detail::telnet_side;
using verb_t = ice::detail::telnet_verb;

constexpr option_t options[] = {binary,        echo,        suppress_go_ahead,
                                terminal_type, window_size, charset};
constexpr verb_t verbs[] = {verb_t::will, verb_t::wont, verb_t::do_, verb_t::dont};

std::string command(verb_t verb, int number) {
    return {'\xff', static_cast<char>(verb), static_cast<char>(number)};
}
std::string command(verb_t verb, option_t option) {
    return command(verb, static_cast<int>(option));
}

// Gives `to` one command of three bytes. Returns its answer.
std::string give(telnet_negotiation& to, const std::string& bytes, bool agrees) {
    std::string out;
    to.receive(static_cast<verb_t>(static_cast<unsigned char>(bytes[1])),
               static_cast<std::uint8_t>(bytes[2]), agrees, out);
    return out;
}

// Two ends of a connection, and what is on its way between them. The option is `echo`, which `a`
// performs.
struct world {
    telnet_negotiation a, b;
    std::string to_a, to_b;
    int requests = 0;

    std::string key() const {
        const auto of = [](const telnet_negotiation& end, side_t side) {
            const int bits = end.is_on(side, echo) + 2 * end.is_pending(side, echo) +
                             4 * end.is_wanted(side, echo);
            std::string state = std::to_string(bits);
            end.repeat(side, echo, state);
            return state;
        };
        return of(a, side_t::us) + of(b, side_t::peer) + std::to_string(requests) + to_a + "|" +
               to_b;
    }
};

constexpr int most_requests = 6;

struct course {
    bool a_agrees, b_agrees;
    bool a_repeats;  // a sends its requests again, and b makes none of its own
};

// Each event that can happen next: an end wants it on or off, or sends its request again, or the
// first command on its way arrives.
std::vector<world> next(const world& now, const course& rules) {
    std::vector<world> all;
    for (const bool on : {false, true}) {
        if (now.requests == most_requests) break;
        world of_a = now, of_b = now;
        of_a.a.request(side_t::us, echo, on, of_a.to_b);
        of_b.b.request(side_t::peer, echo, on, of_b.to_a);
        if (rules.a_repeats) {
            of_b = now;
            now.a.repeat(side_t::us, echo, of_b.to_b);
        }
        for (world* each : {&of_a, &of_b}) {
            ++each->requests;
            all.push_back(*each);
        }
    }
    if (!now.to_a.empty()) {
        world arrived = now;
        arrived.to_a.erase(0, 3);
        arrived.to_b += give(arrived.a, now.to_a.substr(0, 3), rules.a_agrees);
        all.push_back(arrived);
    }
    if (!now.to_b.empty()) {
        world arrived = now;
        arrived.to_b.erase(0, 3);
        arrived.to_a += give(arrived.b, now.to_b.substr(0, 3), rules.b_agrees);
        all.push_back(arrived);
    }
    return all;
}

// Lets all arrive that is on its way; returns whether that ends, and both ends agree.
bool settles(world now, const course& rules) {
    for (int i = 0; i < 100 && now.to_a.size() + now.to_b.size() != 0; ++i) {
        now.requests = most_requests;
        now = next(now, rules).front();
    }
    return now.to_a.empty() && now.to_b.empty() && !now.a.is_pending(side_t::us, echo) &&
           !now.b.is_pending(side_t::peer, echo) &&
           now.a.is_on(side_t::us, echo) == now.b.is_on(side_t::peer, echo);
}

// A peer that knows RFC 854 and no more: it answers each command, unless that asks for what is so.
struct naive {
    bool agrees;
    bool answers_all;  // and those, too, as some do
    bool on[2] = {};   // what it performs, what we perform

    std::string take(const std::string& bytes) {
        const auto verb = static_cast<verb_t>(static_cast<unsigned char>(bytes[1]));
        const bool of_us = verb == verb_t::will || verb == verb_t::wont;
        const bool wants = verb == verb_t::will || verb == verb_t::do_;
        const bool is = wants && agrees;
        if (on[of_us] == wants && !answers_all) return "";
        on[of_us] = is;
        const verb_t yes = of_us ? verb_t::do_ : verb_t::will;
        const verb_t no = of_us ? verb_t::dont : verb_t::wont;
        return command(is ? yes : no, bytes[2]);
    }
};

// All states that requests and commands of a peer can lead to, of one option on one side.
std::vector<telnet_negotiation> reachable(side_t side) {
    std::vector<telnet_negotiation> all{telnet_negotiation()};
    const auto add = [&](const telnet_negotiation& one) {
        for (const auto& known : all)
            if (known == one) return;
        all.push_back(one);
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        std::string out;
        for (const bool on : {false, true}) {
            auto asked = all[i];
            asked.request(side, echo, on, out);
            add(asked);
            auto told = all[i];
            const bool of_us = side == side_t::us;
            const verb_t verb = on      ? of_us ? verb_t::do_ : verb_t::will
                                : of_us ? verb_t::dont
                                        : verb_t::wont;
            give(told, command(verb, echo), true);
            add(told);
        }
    }
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(telnet_options)

BOOST_AUTO_TEST_CASE(an_option_may_be_on_if_both_sides_say_so) {
    // The bytes of the four simplest negotiations, of each option on each side.
    for (const option_t option : options) {
        for (const side_t side : {side_t::us, side_t::peer}) {
            const bool of_us = side == side_t::us;
            const verb_t asks = of_us ? verb_t::will : verb_t::do_;
            const verb_t stops = of_us ? verb_t::wont : verb_t::dont;
            const verb_t on = of_us ? verb_t::do_ : verb_t::will;
            const verb_t off = of_us ? verb_t::dont : verb_t::wont;
            telnet_negotiation us;
            std::string out;
            us.request(side, option, true, out);
            BOOST_TEST(out == command(asks, option));
            BOOST_TEST(!us.is_on(side, option));
            BOOST_TEST(us.is_pending(side, option));
            BOOST_TEST(give(us, command(on, option), false) == "", "it has been asked for");
            BOOST_TEST(us.is_on(side, option));
            BOOST_TEST(give(us, command(off, option), true) == command(stops, option));
            BOOST_TEST((us == telnet_negotiation()));
            BOOST_TEST(give(us, command(on, option), false) == command(stops, option), "refused");
            BOOST_TEST((us == telnet_negotiation()));
            BOOST_TEST(give(us, command(on, option), true) == command(asks, option), "permitted");
            BOOST_TEST(us.is_on(side, option));
            for (const option_t other : options)
                for (const side_t each : {side_t::us, side_t::peer})
                    BOOST_TEST(us.is_on(each, other) == (other == option && each == side));
        }
    }
}

BOOST_AUTO_TEST_CASE(every_other_option_is_refused) {
    std::set<int> known;
    for (const option_t option : options) known.insert(static_cast<int>(option));
    for (int number = 0; number < 256; ++number) {
        if (known.contains(number)) continue;
        telnet_negotiation us;
        BOOST_TEST(give(us, command(verb_t::will, number), true) == command(verb_t::dont, number));
        BOOST_TEST(give(us, command(verb_t::do_, number), true) == command(verb_t::wont, number));
        BOOST_TEST(give(us, command(verb_t::wont, number), true) == "");
        BOOST_TEST(give(us, command(verb_t::dont, number), true) == "");
        BOOST_TEST((us == telnet_negotiation()));
    }
}

BOOST_AUTO_TEST_CASE(a_request_waits_for_the_answer_to_the_one_before) {
    // RFC 1143, 2 to 4: a second request at once can loop or leave the ends in different states.
    telnet_negotiation us;
    std::string out;
    us.request(side_t::us, echo, true, out);
    us.request(side_t::us, echo, false, out);
    us.request(side_t::us, echo, true, out);
    us.request(side_t::us, echo, false, out);
    BOOST_TEST(out == command(verb_t::will, echo));
    BOOST_TEST(!us.is_wanted(side_t::us, echo));
    BOOST_TEST(give(us, command(verb_t::do_, echo), false) == command(verb_t::wont, echo));
    out.clear();
    us.request(side_t::us, echo, true, out);
    BOOST_TEST(out == "");
    BOOST_TEST(us.is_wanted(side_t::us, echo));
    BOOST_TEST(give(us, command(verb_t::dont, echo), false) == command(verb_t::will, echo));
    BOOST_TEST(give(us, command(verb_t::do_, echo), false) == "");
    BOOST_TEST(us.is_on(side_t::us, echo));
}

BOOST_AUTO_TEST_CASE(a_request_can_be_sent_again_until_it_is_answered) {
    telnet_negotiation us;
    std::string out;
    us.repeat(side_t::us, echo, out);
    BOOST_TEST(out == "");
    us.request(side_t::us, echo, true, out);
    us.repeat(side_t::us, echo, out);
    BOOST_TEST(out == command(verb_t::will, echo) + command(verb_t::will, echo));
    out.clear();
    give(us, command(verb_t::do_, echo), false);
    us.repeat(side_t::us, echo, out);
    BOOST_TEST(out == "");
    us.request(side_t::us, echo, false, out);
    us.repeat(side_t::us, echo, out);
    BOOST_TEST(out == command(verb_t::wont, echo) + command(verb_t::wont, echo));
}

BOOST_AUTO_TEST_CASE(an_answer_that_contradicts_the_request_begins_no_loop) {
    // RFC 1143, 7: "Error: DONT answered by WILL".
    for (const bool again : {false, true}) {
        telnet_negotiation us;
        std::string out;
        give(us, command(verb_t::will, echo), true);
        us.request(side_t::peer, echo, false, out);
        if (again) us.request(side_t::peer, echo, true, out);
        BOOST_TEST(give(us, command(verb_t::will, echo), true) == "");
        BOOST_TEST(us.is_on(side_t::peer, echo) == again);
        BOOST_TEST(!us.is_pending(side_t::peer, echo));
    }
}

// Danger: two ends that answer each other for ever, or that end in different states. Every order in
// which up to six requests of two ends can be made and arrive.
BOOST_AUTO_TEST_CASE(two_ends_always_fall_silent_and_agree) {
    for (int kind = 0; kind < 8; ++kind) {
        const course rules{(kind & 1) != 0, (kind & 2) != 0, (kind & 4) != 0};
        std::set<std::string> seen;
        std::deque<world> open{world()};
        std::size_t wrong = 0;
        while (!open.empty()) {
            const world now = open.front();
            open.pop_front();
            if (!seen.insert(now.key()).second) continue;
            wrong += !settles(now, rules);
            for (const world& then : next(now, rules)) {
                // Nothing is sent but one command for one that has arrived, or for a request.
                const auto size = [](const world& w) { return w.to_a.size() + w.to_b.size(); };
                wrong += size(then) > size(now) + (then.requests > now.requests ? 3 : 0);
                open.push_back(then);
            }
        }
        BOOST_TEST(wrong == 0U, "kind " << kind);
        BOOST_TEST(seen.size() > 100U);
    }
}

BOOST_AUTO_TEST_CASE(every_state_takes_every_sequence_of_six_commands) {
    // A peer that says anything at all causes no more bytes than it sends, and cannot leave a state
    // in which a request is never sent or answered.
    for (const side_t side : {side_t::us, side_t::peer}) {
        const auto states = reachable(side);
        BOOST_TEST(states.size() == 6U, "RFC 1143 has six");
        std::size_t wrong = 0;
        for (const auto& state : states) {
            for (unsigned i = 0; i < 2U * 4 * 4 * 4 * 4 * 4 * 4; ++i) {
                telnet_negotiation us = state;
                for (unsigned n = 0, rest = i / 2; n < 6; ++n, rest /= 4) {
                    const verb_t verb = verbs[rest % 4];
                    const auto answer = give(us, command(verb, echo), i % 2 != 0);
                    wrong += answer.size() > 3;
                }
                // Then it answers what is asked.
                std::string asked;
                us.request(side, echo, true, asked);
                const bool of_us = side == side_t::us;
                const auto yes = command(of_us ? verb_t::do_ : verb_t::will, echo);
                const auto no = command(of_us ? verb_t::dont : verb_t::wont, echo);
                for (int n = 0; n < 3 && us.is_pending(side, echo); ++n) {
                    const auto more =
                        give(us, asked.empty() || asked[1] == yes[1] ? yes : no, true);
                    if (!more.empty()) asked = more;
                }
                wrong += us.is_pending(side, echo);
            }
        }
        BOOST_TEST(wrong == 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_negotiation_with_a_naive_peer_ends) {
    // Danger: RFC 854 leaves two ends that answer each other's answers. All sequences of six
    // commands and requests of one side, with peers that agree or refuse, and that answer
    // needlessly.
    std::size_t longest = 0, wrong = 0;
    for (int kind = 0; kind < 16; ++kind) {
        const side_t side = (kind & 8) != 0 ? side_t::us : side_t::peer;
        const bool of_us = side == side_t::us;
        for (unsigned i = 0; i < 4U * 4 * 4 * 4 * 4 * 4; ++i) {
            telnet_negotiation us;
            naive peer{(kind & 1) != 0, (kind & 2) != 0};
            const bool we_agree = (kind & 4) != 0;
            for (unsigned n = 0, rest = i; n < 6; ++n, rest /= 4) {
                std::string ours;
                const bool on = rest % 2 == 0;
                if (rest % 4 < 2) {
                    us.request(side, echo, on, ours);
                } else {
                    peer.on[of_us] = on;  // of its own accord
                    const verb_t yes = of_us ? verb_t::do_ : verb_t::will;
                    const verb_t no = of_us ? verb_t::dont : verb_t::wont;
                    ours = give(us, command(on ? yes : no, echo), we_agree);
                }
                std::size_t turns = 0;
                while (!ours.empty() && ++turns < 10) {
                    const std::string heard = peer.take(ours);
                    ours = heard.empty() ? "" : give(us, heard, we_agree);
                }
                longest = std::max(longest, turns);
            }
            wrong += us.is_on(side, echo) && !peer.on[of_us];
        }
    }
    BOOST_TEST(longest <= 3U);
    BOOST_TEST(wrong == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
