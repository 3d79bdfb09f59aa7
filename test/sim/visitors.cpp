// What visitors do, and the checks of their answers.
#include "visitors.hpp"

namespace swarm {
namespace {

using test::counted;

constexpr auto timeout = 10min;  // much longer than any timeout of the server

}  // namespace

struct visitors::visit {
    std::unique_ptr<ice::channel> c;
    std::uint64_t asked = 0, answered = 0;              // the last ids
    std::map<std::uint64_t, ice::time_point> bursts{};  // the last id of each, and when it was sent
    bool over = false, half_closed = false;
};

void visitors::send_polite(std::uint64_t requests) {
    ++there_;
    world_.sim.spawn(polite(requests));
}
void visitors::send_hostile() {
    ++there_;
    world_.sim.spawn(hostile());
}

std::shared_ptr<ice::transport> visitors::somewhere() {
    return world_.sim.host(fmt::format("10.0.1.{}", world_.chance.between(1, 3)));
}

ice::task<> visitors::polite(std::uint64_t requests) {
    const auto net = somewhere();
    co_await net->sleep(world_.chance.below(20ms));
    auto c = co_await net->connect(server_, net->now() + timeout);
    if (!c) {
        world_.check(!strict || due_before != ice::never, "a polite visitor was not let in");
        --there_;
        co_return;
    }
    visit v{.c = *std::move(c)};
    v.asked = v.answered = last_id_;
    last_id_ += requests;
    for (std::uint64_t left = requests; left != 0 && !v.over;) {
        const std::uint64_t n = world_.chance.between(1, left);
        left -= n;
        co_await burst(v, n);
        if (left != 0 && world_.does("goes_on", 0.4)) {  // it reads the answers later
            if (world_.chance.hit(0.5)) co_await net->sleep(world_.chance.below(20ms));
            continue;
        }
        if (left == 0 && !v.over && world_.does("half_close", 0.3)) {
            ice::testing::simulation::half_close(*v.c);
            v.half_closed = true;
        }
        if (!v.over && world_.does("reads_late", 0.2))
            co_await net->sleep(world_.chance.below(50ms));
        co_await answers(v);
        if (world_.chance.hit(0.5)) co_await net->sleep(world_.chance.below(20ms));
    }
    --there_;
}

// Sends requests in pieces that do not end where messages end.
ice::task<> visitors::burst(visit& v, std::uint64_t n) {
    frames protocol;
    std::string all;
    world_.requests += n;
    for (; n != 0; --n) protocol.packet(text_of('q', ++v.asked, world_.chance.below(30)), all);
    while (!all.empty()) {
        const std::size_t piece =
            world_.chance.hit(0.5) ? all.size() : 1 + world_.chance.below(all.size());
        v.c->out().append(all, 0, piece);
        all.erase(0, piece);
        const auto unsent = co_await v.c->flush(timeout, ice::never, ice::errc::write_timeout);
        if (unsent) {
            v.over = true;
            co_return;
        }
        if (!all.empty()) co_await v.c->net().sleep(world_.chance.below(5ms));
    }
    v.bursts.emplace(v.asked, v.c->net().now());
}

ice::task<> visitors::answers(visit& v) {
    frames protocol;
    while (v.answered != v.asked && !v.over) {
        auto found = protocol.parse(v.c->data());
        if (found.has_message()) {
            auto id = id_of('a', found.message());
            if (id < 0) id = id_of('e', found.message());
            ++v.answered;
            world_.check(id == static_cast<std::int64_t>(v.answered), "not the next answer");
            v.c->consume(found.size());
            continue;
        }
        world_.check(!found.failed(), "an answer that is none");
        v.c->deadline(v.c->net().now() + timeout, ice::errc::stopped);
        const ice::error_code over = co_await v.c->fill();
        if (!over) continue;
        v.over = true;
        world_.check(over != ice::errc::stopped, "neither an answer nor an end");
        if (v.half_closed && !half_open) co_return;
        for (const auto& [last, sent] : v.bursts)
            world_.check(last <= v.answered || !is_due(sent), "a request was not answered");
    }
}

// -- the others

ice::task<> visitors::hostile() {
    const auto net = somewhere();
    const counted here(there_);
    --there_;
    co_await net->sleep(world_.chance.below(50ms));
    auto made = co_await net->connect(server_, net->now() + timeout);
    if (!made) co_return;
    ice::channel& c = **made;
    frames protocol;
    if (world_.does("gone_at_once", 0.3)) {
        if (world_.chance.hit(0.5)) c.out() = "12";
        c.try_flush();
    } else if (world_.does("slow_sender", 0.3)) {
        c.out() = "9999:";
        // Not for ever: after fault::end the socket takes bytes without an error.
        for (const auto end = net->now() + timeout; net->now() < end; c.out() += "p") {
            const auto lost = co_await c.flush(timeout, end, ice::errc::stopped);
            if (lost) co_return;
            co_await net->sleep(5s);
        }
        world_.check(world_.sim.faults()[fault::end] > 0, "a slow sender is never closed");
    } else if (world_.does("unresponsive_peer", 0.3)) {
        // A gateway may serve it for the whole time on the only connection of the listener: the
        // timeouts of the others must not expire before.
        const auto end = net->now() + (answers_soon ? timeout : timeout / 2);
        // Enough requests for their answers to fill the window, unless bytes are lost.
        while (c.sent() < 300'000) {
            for (int i = 0; i < 500; ++i) protocol.packet(text_of('q', 1), c.out());
            const auto lost = co_await c.flush(1h, end, ice::errc::stopped);
            // Stalls of one connection add up, and the peer takes some bytes after each.
            const bool is_steady = world_.sim.fired(fault::stall) < 5;
            world_.check(lost != ice::errc::stopped || !answers_soon || !is_steady,
                         "a unresponsive peer is never closed");
            if (lost) co_return;
        }
    } else if (world_.does("rubbish", 0.5)) {
        c.out() = "@@@@";
        c.try_flush();
        co_await to_the_end(c);
    } else {
        world_.does("silent_peer", 1);
        co_await to_the_end(c);
    }
}

ice::task<> visitors::to_the_end(ice::channel& c) {
    c.deadline(c.net().now() + timeout, ice::errc::stopped);
    for (;;) {
        c.consume(c.data().size());
        const ice::error_code over = co_await c.fill();
        world_.check(over != ice::errc::stopped, "a peer that says nothing right is never closed");
        if (over) co_return;
    }
}

}  // namespace swarm
