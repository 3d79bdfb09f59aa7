// Chooses the address of the next connection, and when an address that has failed is tried again.
#include <fmt/format.h>

#include <algorithm>
#include <ice/detail/pool_base.hpp>
#include <ice/detail/upstream.hpp>
#include <iterator>
#include <stdexcept>

namespace ice {

upstream::upstream(pool_base* owner, address a, const backoff_limits& waits,
                   duration retry_interval, const breaker_limits& breaks, deadlines& queue)
    : pool(owner), where(std::move(a)), health(waits, retry_interval), breaker(breaks),
      retry(
          queue,
          [](void* self) {
              auto& me = *static_cast<upstream*>(self);
              me.pool->try_again(me);
          },
          this) {}

upstreams::upstreams(pool_base* owner, const std::vector<address>& where,
                     const backoff_limits& waits, duration retry_interval,
                     const breaker_limits& breaks, deadlines& queue) {
    for (const address& a : where)
        all_.emplace_back(owner, a, waits, retry_interval, breaks, queue);
}

// Begins at another address each time, so that equal ones get connections in turn. may_try() counts
// as an attempt, so it is called last, and for one address only.
upstream* upstreams::next(time_point now) {
    const auto first = std::next(all_.begin(), static_cast<std::ptrdiff_t>(turn_ % all_.size()));
    const auto in_turn = [&](auto&& use) {
        std::for_each(first, all_.end(), use);
        std::for_each(all_.begin(), first, use);
    };
    upstream* best = nullptr;
    in_turn([&](upstream& u) {
        if (u.is_available() && (best == nullptr || u.open < best->open)) best = &u;
    });
    if (best == nullptr) {
        in_turn([&](upstream& u) {
            if (best != nullptr || u.connecting != 0) return;
            const bool passes = u.breaker.is_closed() || u.breaker.due() <= now;
            if (passes && (!u.health.is_failing() || u.health.may_try(now))) best = &u;
        });
    }
    if (best != nullptr) ++turn_;
    return best;
}

bool upstreams::are_down() const noexcept {
    return std::none_of(all_.begin(), all_.end(), [](const upstream& u) { return u.serves(); });
}

bool upstreams::any_available() const noexcept {
    return std::any_of(all_.begin(), all_.end(),
                       [](const upstream& u) { return u.is_available(); });
}

error_code upstreams::why() const noexcept {
    for (const upstream& u : all_) {
        if (u.health.is_failing()) return u.health.why();
    }
    return errc::breaker_open;
}

std::string upstreams::text() const {
    std::string all;
    for (const upstream& u : all_) {
        if (!all.empty()) all += ", ";  // GCC 12 warns falsely of `", " + text` in LTO
        all += u.where.text();
    }
    return all;
}

}  // namespace ice
