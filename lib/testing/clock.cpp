// The virtual time of a simulation: what is due next, and how late the loop handles it. The part of
// the kernel, segments and connections, is always in time; only handlers and deadlines are late.
#include <algorithm>
#include <stdexcept>

#include "network.hpp"

namespace ice::testing {
namespace {

constexpr std::size_t spinning = 1'000'000;  // handlers in one instant: no test needs so many

}  // namespace

time_point network::read_clock() {
    // As a real clock: code that reads it twice for one decision gets two times.
    if (strikes(fault::clock_moves, clock_dice_))
        now_ += clock_dice_.below(faults.clock_step + duration(1));
    return now_;
}

void network::at(time_point when, std::function<void()> what) {
    heap_.push_back({when, dice_.next(), std::move(what)});
    std::push_heap(heap_.begin(), heap_.end());
}

void network::run_ready() {
    if (loop.stopped()) loop.restart();
    for (std::size_t n = 0; run_one(); ++n) {
        if (n == spinning)
            throw std::runtime_error("simulation: a million handlers in one instant\n" + history());
    }
    // Thrown here and not in the handler, which would leave the loop in the middle of a step.
    if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
}

bool network::run_one() {
    // A loop is late by what its handlers take, so lateness follows each handler.
    if (loop.poll_one() == 0) return false;
    be_late();
    return true;
}

bool network::advance() {
    if (loop.stopped()) loop.restart();
    const bool ran = run_one();
    if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
    return ran || step(never);
}

bool network::step(time_point end) {
    time_point next = heap_.empty() ? never : heap_.front().at;
    host* due = nullptr;
    for (const auto& [ip, machine] : machines_) {
        // At one instant an event of the network comes before a deadline: what arrives in time
        // counts.
        if (machine->timer() >= next) continue;
        next = machine->timer();
        due = machine.get();
    }
    if (next > end || next == never) {
        // Nothing happens until `end`, but time passes.
        if (end != never) wait_until(end);
        return false;
    }
    wait_until(next);
    if (due) {
        ++events_;
        be_late();
        due->fire();
        return true;
    }
    happen();
    be_late();
    return true;
}

void network::wait_until(time_point at) noexcept {
    if (at > now_) last_idle_ = now_ = at;
}

void network::happen() {
    ++events_;
    std::pop_heap(heap_.begin(), heap_.end());
    // Leaves the heap before it is called, as it may add events.
    const auto what = std::move(heap_.back().what);
    heap_.pop_back();
    what();
}

// Lets the events of the time until then happen, without a handler between them.
void network::be_late() {
    if (!strikes(fault::late_loop, clock_dice_)) return;
    const time_point until = now_ + clock_dice_.below(faults.late + duration(1));
    note("late", static_cast<std::uint64_t>((until - now_).count()));
    while (!heap_.empty() && heap_.front().at <= until) {
        now_ = std::max(now_, heap_.front().at);
        happen();
    }
    now_ = until;
    // A reactor may run a deadline that is due before the handlers of what arrived earlier.
    if (clock_dice_.hit(0.5)) fire_all();
}

void network::fire_all() {
    for (const auto& [ip, machine] : machines_) {
        if (machine->timer() > now_) continue;
        ++events_;
        machine->fire();
    }
}

// A deadline that was cleared keeps its entry until its time, so those are removed first.
bool network::quiescent() const noexcept {
    if (!heap_.empty() || waiting_ || !loop.stopped()) return false;
    return std::all_of(machines_.begin(), machines_.end(), [](const auto& m) {
        m.second->deadlines().forget_cleared();
        return m.second->deadlines().size() == 0;
    });
}

}  // namespace ice::testing
