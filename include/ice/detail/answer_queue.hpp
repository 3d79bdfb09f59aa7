// answer_queue: the requests of one connection that its logic works on at once (limits::in_flight).
// Their answers leave in the order of the requests.
#pragma once

#include <asio/async_result.hpp>
#include <asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <ice/detail/deadline.hpp>
#include <ice/detail/export.hpp>
#include <ice/event.hpp>
#include <ice/logic.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ice {

// The part that does not depend on the protocol. Each request has a worker, a coroutine that calls
// the logic. A worker whose answer was sent waits for another request, so a connection makes no
// more coroutines than it had requests in flight; they end when it pauses for half a minute. All
// calls are for the loop's thread.
class ICE_API answer_queue_base : public std::enable_shared_from_this<answer_queue_base> {
public:
    explicit answer_queue_base(session_base& peer);
    answer_queue_base(const answer_queue_base&) = delete;
    answer_queue_base& operator=(const answer_queue_base&) = delete;

    // Receives and answers requests until the conversation ends, and says why.
    static task<error_code> serve(std::shared_ptr<answer_queue_base>);

protected:
    bool is_full() const noexcept { return size_ == most_; }

    struct worker : std::enable_shared_from_this<worker> {
        using resume = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

        worker() = default;
        worker(const worker&) = delete;
        worker& operator=(const worker&) = delete;
        virtual ~worker() = default;

        worker* next = nullptr;  // the request after its own, or the next idle worker
        time_point began{};
        bool is_answered = false;
        std::exception_ptr thrown;      // by the logic, in place of an answer
        std::optional<resume> waiting;  // for a request
    };
    ~answer_queue_base() = default;

    // An idle worker, or null.
    worker* take_idle() noexcept;
    void add(std::shared_ptr<worker>);
    // Appends the request of `w`. Requires: !is_full().
    void append(worker& w);
    // Lets an idle worker run until it waits for something.
    static void wake(worker& w);
    // For the worker itself: waits for its next request.
    static task<> wait_for_request(worker& w);
    // The logic has returned: sends the answers that no older request holds back.
    void answered(worker& w);
    // The worker was destroyed where it waits: its answer never comes, and none after it.
    void vanished() noexcept;
    // What the protocol has appended from `before` on, as it ends the conversation, leaves after
    // all answers.
    void hold_back(std::size_t before);
    bool has_ended() const noexcept { return has_ended_; }
    // Whether the answer of `w` is the next that leaves.
    bool is_next(const worker& w) const noexcept {
        return oldest_ == &w && !has_ended_ && !is_over();  // mutant: is_next
    }

    // While the session calls the logic with a burst, answers are not sent: fill() and
    // wait_for_room() send all of them.
    struct burst {
        explicit burst(answer_queue_base& q) noexcept : queue(q) { queue.is_in_burst_ = true; }
        ~burst() {
            queue.is_in_burst_ = false;
            queue.burst_began_ = never;
        }
        burst(const burst&) = delete;
        burst& operator=(const burst&) = delete;
        answer_queue_base& queue;
    };

    session_base& peer_;

private:
    // Calls the logic with the requests that have arrived, until the queue is full.
    virtual void begin_arrived() = 0;
    virtual void send(worker&) = 0;
    // Sends what is answered, and waits until the queue has room. An error ends the conversation.
    task<error_code> wait_for_room();
    // Waits until all requests are answered and the answers sent, or nothing more can be sent.
    // Rethrows what the logic has thrown.
    task<> join();
    // Nothing more is answered. Destroys the workers that wait for a request; those that run end
    // with session_base::end_established().
    void end() noexcept;
    void send_oldest();
    void threw(std::exception_ptr) noexcept;
    void report(std::exception_ptr&) noexcept;
    void look_again(time_point now);
    bool is_over() const noexcept;
    static void expire(void* self);

    const std::size_t most_;
    std::size_t size_ = 0;
    worker *oldest_ = nullptr, *newest_ = nullptr, *idle_ = nullptr;
    std::vector<std::shared_ptr<worker>> all_;
    time_point burst_began_ = never;
    std::exception_ptr thrown_;
    std::string last_bytes_;         // see hold_back()
    std::optional<deadline> timer_;  // timeouts::logic of the oldest request, end of idle workers
    event changed_;
    bool has_ended_ = false, is_in_burst_ = false, has_vanished_ = false;
};

namespace detail {

// A logic that can pass a message on without a coroutine: forward().
template <class L>
concept passes_on = requires { typename L::forwarded; };

// The request that such a logic has passed on for a worker: see forward.hpp. Nothing for other
// logics.
template <class Q, class W, class L>
struct passed_on {
    passed_on(Q&, W&) {}
};

template <protocol P, class L>
class answer_queue final : public answer_queue_base {
    using M = message_t<P>;
    using A = typename called_t<L, P>::value_type;  // of the task
    static constexpr bool is_silent = std::is_void_v<A>;

    using copy_type = typename kept<M>::type;

    struct typed_worker : worker {
        explicit typed_worker(answer_queue& q) : passed(q, *this) {}

        copy_type copy{};  // what `request` views, in memory that each request uses again
        std::optional<M> request;
        std::optional<std::conditional_t<is_silent, bool, A>> answer;
        [[no_unique_address]] passed_on<answer_queue, typed_worker, L> passed;
    };
    friend struct passed_on<answer_queue, typed_worker, L>;

public:
    answer_queue(session<P>& peer, L& logic) : answer_queue_base(peer), logic_(logic) {}

private:
    void begin_arrived() override {
        const burst now(*this);
        while (!is_full()) {
            const std::size_t before = peer().bytes().out().size();
            std::optional<M> request = peer().next();
            if (peer().failed()) hold_back(before);
            if (!request) break;
            begin(*std::move(request));
        }
    }

    session<P>& peer() const noexcept { return static_cast<session<P>&>(peer_); }

    void begin(M request) {
        worker* one = take_idle();
        if (one == nullptr) {
            auto fresh = std::make_shared<typed_worker>(*this);
            one = fresh.get();
            add(std::move(fresh));
        }
        auto& w = static_cast<typed_worker&>(*one);
        if constexpr (is_view<M>) {
            if constexpr (std::is_assignable_v<copy_type&, const M&>) w.copy = request;
            else w.copy = copy_type(request);
            w.request.emplace(std::as_const(w.copy));  // mutant: view_the_copy
        } else {
            w.request.emplace(std::move(request));
        }
        append(w);
        try {
            if (!pass_on(w)) run(w);
        } catch (...) { threw(w); }
    }

    // Lets the coroutine of a worker call the logic.
    void run(typed_worker& w) {
        if (w.waiting) wake(w);
        else peer_.start(work(shared_from_this(), w.shared_from_this()));
    }

    // In a catch block: the protocol or the logic threw, or there is no memory for a coroutine.
    void threw(typed_worker& w) {
        w.thrown = std::current_exception();
        answered(w);
    }

    // Returns false if the coroutine has to do it.
    bool pass_on(typed_worker& w) {
        if constexpr (passes_on<L>) {
            w.passed.is_kept = false;  // mutant: forgets_reply
            w.passed.is_sent = false;  // mutant: is_sent_before
            auto instead = logic_.instead(std::as_const(*w.request));
            if (!instead) return logic_.begin(w.passed, std::as_const(*w.request), w.began, peer());
            w.answer = std::move(instead);
            answered(w);
        }
        return passes_on<L>;
    }

    // A request that was passed on has its reply, or has failed.
    void over(typed_worker& w) noexcept {
        if (has_ended()) return;
        try {
            if (w.passed.is_kept) return w.passed.succeeded(), answered(w);
            auto answer = logic_.end(w.passed, std::as_const(*w.request));
            if (!answer) return run(w);
            w.answer = std::move(answer);
            answered(w);
        } catch (...) { threw(w); }
    }

    // Packs a reply to the oldest request. Returns false if others must leave before.
    template <class R>
        requires can_packet<P, R>
    bool send_at_once(typed_worker& w, const R& reply) {
        if (!is_next(w)) return false;
        peer().bytes().reserve_out();
        send_answer(peer(), logic_, reply);
        return true;
    }

    auto begin_logic(typed_worker& w) {
        if constexpr (passes_on<L>) return logic_.go_on(w.passed, std::as_const(*w.request));
        else return call<P>(logic_, *w.request, peer());
    }

    // Its coroutine may be destroyed where it waits, as when memory to wake it runs out.
    struct presence {
        answer_queue& queue;
        worker& own;
        ~presence() {
            if (!own.is_answered) queue.vanished();
        }
    };

    static task<> work(std::shared_ptr<answer_queue_base> queue, std::shared_ptr<worker> own) {
        auto& self = static_cast<answer_queue&>(*queue);
        auto& w = static_cast<typed_worker&>(*own);
        const presence here{self, w};
        while (!self.has_ended()) {
            if (w.is_answered) {
                co_await wait_for_request(w);
                continue;
            }
            try {
                auto runs = self.begin_logic(w);
                if constexpr (is_silent) {
                    co_await std::move(runs);
                } else {
                    auto answer = co_await std::move(runs);
                    w.answer.emplace(std::move(answer));
                }
            } catch (...) { w.thrown = std::current_exception(); }
            self.answered(w);
        }
    }

    void send(worker& one) override {
        auto& w = static_cast<typed_worker&>(one);
        if (was_sent(w)) return w.request.reset();
        peer().bytes().reserve_out();
        if constexpr (!is_silent) send_answer(peer(), logic_, *w.answer);  // mutant: answer_once
        if (!passes_on<L> || !is_small(*w.answer)) w.answer.reset();
        w.request.reset();
    }
    static bool was_sent(const typed_worker& w) noexcept {
        if constexpr (passes_on<L>) return w.passed.is_sent;
        else return false;
    }

    L& logic_;
};

}  // namespace detail
}  // namespace ice
