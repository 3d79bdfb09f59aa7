// A whole connection in a simulation: an echo server, and a peer that sends the data in pieces. At
// any split, and whatever the network does, the answers are those to the data in one piece; and
// nothing is left running.
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>

#include "fuzz.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::fault;
using ice::testing::simulation;

const ice::address here{"127.0.0.1", 7};
constexpr auto timeout = 10min;  // longer than all timeouts of the server together

struct talk {
    std::unique_ptr<ice::channel> peer;
    std::vector<std::string_view> pieces;
    bool slow;  // each piece is a segment of its own
    bool sent = false;
    std::string heard;
};

ice::task<> sends(talk& t) {
    for (const std::string_view piece : t.pieces) {
        t.peer->out().append(piece);
        const auto lost = co_await t.peer->flush(timeout, ice::never, ice::errc::stopped);
        if (lost) break;
        if (t.slow) co_await t.peer->net().sleep(1ms);
    }
    if (!t.peer->cancelled()) simulation::half_close(*t.peer);
    t.sent = true;
}

ice::task<> talks(simulation& sim, talk& t) {
    auto made = co_await sim.net()->connect(here, sim.now() + timeout);
    fuzz::check(made.has_value(), "a peer is let in");
    t.peer = *std::move(made);
    sim.spawn(sends(t));
    for (;;) {
        t.heard += t.peer->data();
        t.peer->consume(t.peer->data().size());
        const auto over = co_await t.peer->fill();
        if (over) break;
    }
}

// What a server must send back, and how many messages that answers.
template <class P>
std::pair<std::string, std::size_t> echoed(P p, std::string_view data) {
    std::string out;
    for (std::size_t messages = 0;;) {
        auto found = p.parse(data, out);
        if (found.has_message()) {
            ++messages;
            if (ice::packet(p, found.message(), out)) return {out, messages};
        }
        if (found.failed() || found.size() == 0) return {out, messages};
        data.remove_prefix(found.size());
    }
}

// Answers as one that has waited for an upstream; the message lives until then.
struct patient_echo {
    template <class M, class P>
    ice::task<ice::borrowed<M>> operator()(M message, ice::session<P>& peer) const {
        co_await peer.bytes().net().yield();
        co_return message;
    }
};

template <class P, class L>
void converse(const P& protocol, const L& logic, fuzz::input& in) {
    simulation sim(in.data().size());
    if (in.choose(2) != 0) {
        sim.faults()[fault::short_read] = 0.5;
        sim.faults()[fault::short_write] = 0.5;
    }
    if (in.choose(2) != 0) sim.faults().window = 16;  // both must wait for each other
    talk t{.peer = nullptr, .pieces = in.pieces(), .slow = in.choose(2) != 0};

    const fuzz::watched_protocol<P> p(protocol);
    const auto [expected, messages] = echoed(p, in.data());
    ice::server srv(sim.net());
    srv.log().to([](ice::log_level, std::string_view) {});
    auto& listener = srv.add(ice::tcp_server_action{here}.protocol(p).logic(logic));
    const auto begin = sim.now();
    sim.run(talks(sim, t), timeout);
    fuzz::check(sim.now() - begin < 1min, "no timeout was needed");
    fuzz::check(t.heard == expected, "the answers are those to the whole data");
    fuzz::check(sim.run_until([&] { return t.sent; }, timeout), "the peer can send all");
    t.peer.reset();
    srv.drain();
    fuzz::check(sim.run_until([&] { return sim.quiescent(); }, 1min), "it ends");
    fuzz::check(listener.counters().messages == messages, "each message was answered");
    fuzz::check(listener.counters().logic_threw == 0, "no answer threw");
}

template <class P>
void converse(const P& protocol, fuzz::input& in) {
    if (in.choose(2) != 0) converse(protocol, patient_echo(), in);
    else converse(protocol, ice::echo(), in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    switch (in.choose(3)) {
        case 0: converse(ice::line(), in); break;
        case 1: converse(ice::telnet(), in); break;
        default: converse(ice::resp(), in); break;
    }
    return 0;
}
