// The order of answers, and the workers of a connection that wait for a request.
#include <algorithm>
#include <cassert>
#include <ice/detail/answer_queue.hpp>
#include <ice/detail/until_resumed.hpp>
#include <new>
#include <utility>

namespace ice {
namespace {

constexpr auto idle_workers_stay = std::chrono::seconds(30);  // a little longer than most pauses

}  // namespace

answer_queue_base::answer_queue_base(session_base& peer)
    : peer_(peer), most_(std::max<std::size_t>(peer.settings().limits.in_flight, 1)),
      timer_(std::in_place, peer.bytes().net().deadlines(), expire, this),
      changed_(peer.executor()) {
    peer.receives_alone(true);
}

// -- the session's side

task<error_code> answer_queue_base::serve(std::shared_ptr<answer_queue_base> queue) {
    answer_queue_base& q = *queue;
    // Also if the conversation ends by an exception, or its coroutine is destroyed.
    struct end_at_exit {
        ~end_at_exit() { queue.end(); }
        answer_queue_base& queue;
    } const at_exit{q};
    session_base& peer = q.peer_;
    error_code why;
    std::exception_ptr thrown;  // by the protocol: the answers before are sent
    while (!why) {
        try {
            q.begin_arrived();
        } catch (...) { thrown = std::current_exception(); }
        if (thrown) break;
        if (q.is_full()) why = co_await q.wait_for_room();
        else why = co_await peer.fill();
    }
    const bool has_left =
        (why == errc::closed || why == errc::truncated) && !peer.settings().limits.allow_half_open;
    if (thrown || (!is_of_socket(why) && !has_left)) co_await q.join();
    if (thrown) std::rethrow_exception(thrown);
    co_return why;
}

bool answer_queue_base::is_over() const noexcept {
    return thrown_ || peer_.is_unencodable() || peer_.bytes().cancelled();
}

task<error_code> answer_queue_base::wait_for_room() {
    peer_.try_flush();
    peer_.expects_nothing();
    while (is_full() && !is_over()) {
        changed_.clear();
        co_await changed_.wait();
    }
    if (const error_code cancelled = peer_.bytes().cancelled()) co_return cancelled;
    co_return peer_.failed();
}

task<> answer_queue_base::join() {
    peer_.try_flush();
    peer_.expects_nothing();
    while (size_ != 0 && !is_over()) {
        changed_.clear();
        co_await changed_.wait();
    }
    if (!is_over()) peer_.bytes().out() += last_bytes_;
    // A peer that has closed its side is not sent to any more after this.
    if (!peer_.bytes().cancelled() && !peer_.try_flush()) co_await peer_.flush();
    if (thrown_ && !peer_.bytes().cancelled())
        std::rethrow_exception(std::exchange(thrown_, nullptr));
}

// A worker that waits is destroyed with its handler.
void answer_queue_base::end() noexcept {
    has_ended_ = true;
    peer_.receives_alone(false);
    timer_.reset();  // what was posted may hold the queue longer than its transport lives
    for (const auto& w : all_) {
        w->waiting.reset();
        report(w->thrown);
    }
    // At the end of the loop nothing failed, and its log may write to what is gone.
    if (!has_vanished_) report(thrown_);
}

void answer_queue_base::append(worker& w) {
    assert(!is_full());
    if (burst_began_ == never) burst_began_ = peer_.now();
    w.began = burst_began_;
    w.is_answered = false;
    w.next = nullptr;
    (oldest_ ? newest_->next : oldest_) = &w;  // mutant: queue_at_the_end
    newest_ = &w;
    ++size_;
    peer_.answering(true);
    if (timer_->at() == never) look_again(w.began);
}

void answer_queue_base::look_again(time_point now) {
    const time_point until = after(oldest_->began, peer_.settings().timeouts.logic);
    timer_->set(std::min(until, after(now, idle_workers_stay)));
}

// The oldest request began first, so the others have more time than it. The timer is not moved for
// each: it may ring early. If no request is there, the peer pauses, and all workers are idle.
void answer_queue_base::expire(void* self) {
    auto& q = *static_cast<answer_queue_base*>(self);
    if (q.oldest_ == nullptr) {
        q.idle_ = nullptr;
        for (const auto& w : q.all_) w->waiting.reset();
        q.all_.clear();
        return;
    }
    const time_point now = q.peer_.now();
    if (after(q.oldest_->began, q.peer_.settings().timeouts.logic) > now) return q.look_again(now);
    q.peer_.bytes().expire(errc::logic_timeout);
}

// -- workers

answer_queue_base::worker* answer_queue_base::take_idle() noexcept {
    worker* const w = idle_;
    if (w != nullptr) idle_ = w->next;
    return w;
}

void answer_queue_base::add(std::shared_ptr<worker> w) { all_.push_back(std::move(w)); }

void answer_queue_base::wake(worker& w) { resume(w.waiting); }

task<> answer_queue_base::wait_for_request(worker& w) { return until_resumed(w.waiting); }

void answer_queue_base::answered(worker& w) {
    w.is_answered = true;
    if (has_ended_) return report(w.thrown);
    try {
        send_oldest();
        if (!is_in_burst_) peer_.bytes().flush_soon();
        if (size_ == 0) peer_.answering(false);
    } catch (...) { threw(std::current_exception()); }
    changed_.set();
}

void answer_queue_base::send_oldest() {
    while (oldest_ != nullptr && oldest_->is_answered && !is_over()) {
        worker& w = *oldest_;
        if (w.thrown) return threw(std::exchange(w.thrown, nullptr));
        send(w);  // mutant: send_answer
        oldest_ = w.next;
        --size_;
        w.next = std::exchange(idle_, &w);
    }
    // The peer would take a later answer for that one.
    if (peer_.is_unencodable()) peer_.end_reading(peer_.failed());
}

void answer_queue_base::hold_back(std::size_t before) {
    std::string& out = peer_.bytes().out();
    if (size_ == 0 || out.size() <= before) return;
    last_bytes_ = out.substr(before);
    out.resize(before);
}

void answer_queue_base::vanished() noexcept {
    if (has_ended_) return;
    threw(std::make_exception_ptr(std::bad_alloc()));
    has_vanished_ = true;
    changed_.set();
}

// An exception that nobody rethrows: the conversation has ended for another reason.
void answer_queue_base::report(std::exception_ptr& e) noexcept {
    if (e && !is_aborted(e)) peer_.settings().spawned_threw(peer_, e);
    e = nullptr;
}

// The session learns of it from fill(), wait_for_room() or join().
void answer_queue_base::threw(std::exception_ptr e) noexcept {
    thrown_ = std::move(e);
    peer_.close();
}

}  // namespace ice
