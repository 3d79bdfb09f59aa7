// Chooses the address of the next connection, and keeps the addresses of names.
#include <fmt/format.h>

#include <algorithm>
#include <ice/detail/upstream.hpp>

namespace ice {

upstream::upstream(address a, const upstream_name* n, const backoff_limits& waits,
                   duration retry_interval, const breaker_limits& breaks)
    : where(std::move(a)), name(n), health(waits, retry_interval), breaker(breaks) {}

std::string upstream::text() const {
    return name == nullptr ? where.text() : fmt::format("{} ({})", name->where, where.host());
}

upstreams::upstreams(const std::vector<address>& where, const backoff_limits& waits,
                     duration retry_interval, const breaker_limits& breaks)
    : backoff_(waits), retry_interval_(retry_interval), breaker_(breaks) {
    for (const address& a : where) {
        const bool is_name = !a.is_unix() && a.ip() == ip_bytes{};
        if (is_name) names_.emplace_back(a, waits, retry_interval);
        else add(a, nullptr);
        if (!text_.empty()) text_ += ", ";  // GCC 12 warns falsely of `", " + text` in LTO
        text_ += a.text();
    }
}

void upstreams::add(address a, const upstream_name* n) {
    all_.push_back(
        std::make_shared<upstream>(std::move(a), n, backoff_, retry_interval_, breaker_));
}

void upstreams::replace(upstream_name& n, const std::vector<address>& found) {
    // First those that are new: if memory runs out, the others stay.
    for (const address& a : found) {  // mutant: each_address
        const bool is_known = std::ranges::any_of(
            all_, [&](const auto& u) { return u->name == &n && u->where == a; });
        if (!is_known) add(a, &n);
    }
    for (const auto& u : all_) {
        if (u->name == &n)
            u->is_removed = std::ranges::count(found, u->where) == 0;  // mutant: is_removed
    }
    forget_removed();
}

void upstreams::forget_removed() noexcept {
    std::erase_if(all_, [](const auto& u) { return u->is_removed && u->open == 0; });
}

upstream* upstreams::next_available() noexcept {
    upstream* best = nullptr;
    for (std::size_t i = 0; i < all_.size(); ++i) {
        upstream& u = in_turn(i);
        if (u.is_available() && (best == nullptr || u.open < best->open)) best = &u;
    }
    if (best != nullptr) ++turn_;
    return best;
}

upstream* upstreams::next(time_point now) noexcept {
    if (upstream* const available = next_available()) return available;
    upstream* const best = next_to_try(now);
    if (best != nullptr) ++turn_;
    return best;
}

// may_try() counts as an attempt, so it is called last, and for one address only.
upstream* upstreams::next_to_try(time_point now) noexcept {
    for (std::size_t i = 0; i < all_.size(); ++i) {
        upstream& u = in_turn(i);
        if (u.connecting != 0 || u.is_removed) continue;
        const bool passes = u.breaker.is_closed() || u.breaker.due() <= now;
        if (passes && (!u.health.is_failing() || u.health.may_try(now))) return &u;
    }
    return nullptr;
}

bool upstreams::are_down() const noexcept {
    return std::ranges::none_of(all_, [](const auto& u) { return u->serves(); });
}

error_code upstreams::why() const noexcept {
    for (const auto& u : all_) {
        if (u->health.is_failing()) return u->health.why();
    }
    for (const upstream_name& n : names_) {
        if (n.health.is_failing() && !n.is_resolved) return n.health.why();
    }
    return errc::breaker_open;
}

error_code upstreams::cause() const noexcept {
    for (const auto& u : all_) {
        if (const error_code ec = u->cause()) return ec;
    }
    for (const upstream_name& n : names_) {
        if (n.health.is_failing()) return n.health.why();
    }
    return {};
}

}  // namespace ice
