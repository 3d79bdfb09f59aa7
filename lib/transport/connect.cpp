// Connects to a host: carries out what happy_eyeballs decides, for sockets and for simulated
// networks alike. The attempt that succeeds first cancels the others.
#include <algorithm>
#include <ice/event.hpp>
#include <ice/transport.hpp>
#include <utility>

#include "happy_eyeballs.hpp"

namespace ice {
namespace {

// After that time the order of the resolver applies again: the reason may be gone (RFC 6555, 4.2).
constexpr auto preferred_for = std::chrono::minutes(10);

constexpr std::size_t most_preferences = 64;  // more names than a server has pools

}  // namespace

// The attempts of one connect(). It is a variable of that coroutine, whose end cancels the attempts
// that are left.
struct transport::race {
    race(transport& t, std::vector<address> found, const address* first)
        : net(t), order(std::move(found), first), changed(t.executor()),
          timer(
              t.deadlines(), [](void* r) { static_cast<race*>(r)->changed.set(); }, this) {}
    race(const race&) = delete;
    race& operator=(const race&) = delete;

    void begin_due(time_point now) {
        while (const address* at = order.next(now)) {
            // The attempt calls back only later, so it is in `attempts` by then.
            auto begun = net.begin_connect(*at, [this, at](auto r) { ended(*at, std::move(r)); });
            if (begun) attempts.push_back(*std::move(begun));
            else order.failed(begun.error());
        }
    }

    void ended(const address& at, result<std::unique_ptr<channel>> r) {
        if (!r) {
            order.failed(r.error());
        } else if (!won) {  // the first of two that succeed in one instant wins
            won = *std::move(r);
            winner = &at;
        }
        changed.set();
    }

    transport& net;
    happy_eyeballs order;
    event changed;
    deadline timer;
    std::vector<std::unique_ptr<connect_attempt>> attempts;
    std::unique_ptr<channel> won;
    const address* winner = nullptr;
};

task<result<std::unique_ptr<channel>>> transport::connect(address to, time_point until) {
    auto found = co_await resolve(to, until);
    if (!found) co_return found.error();
    race r(*this, *std::move(found), preferred(to, now()));
    for (;;) {
        const time_point at = now();
        // Before the deadline is compared: a connection that was made in time counts, although the
        // loop may be late.
        if (r.won) {
            // A first address that works is not remembered: the order of the name server spreads
            // the load.
            if (!r.order.is_first(*r.winner)) prefer(to, *r.winner, at);
            co_return std::move(r.won);
        }
        if (at >= until) co_return errc::connect_timeout;
        r.begin_due(at);
        if (r.order.have_all_failed()) co_return r.order.why();
        r.timer.set(std::min(until, r.order.due()));
        r.changed.clear();
        const error_code cancelled = co_await r.changed.wait();
        if (cancelled) co_return connect_error(cancelled);
    }
}

const address* transport::preferred(const address& name, time_point now) const noexcept {
    const auto known = std::ranges::find(preferences_, name, &preference::name);
    return known != preferences_.end() && now < known->until ? &known->at : nullptr;
}

// Keeps the newest entries. A linear search is enough for so few.
void transport::prefer(const address& name, const address& at, time_point now) {
    std::erase_if(preferences_, [&](const preference& p) { return p.name == name; });
    if (preferences_.size() == most_preferences) preferences_.erase(preferences_.begin());
    preferences_.push_back({name, at, after(now, preferred_for)});
}

}  // namespace ice
