// The poller of ICE_TCP_INQ: each socket is in Asio's own epoll, and waits there by an operation of
// ice's. So a round costs one epoll_wait, however many sockets are ready in it.
//
// Asio's epoll is edge-triggered: what was told once is not told again. The rule that loses
// nothing: an operation that starts without a system call (what Asio calls speculative) needs
// proof that the socket was read until nothing was left, after the last edge was taken. An edge
// that came while no operation was there is kept by Asio, and taken at once. Without proof we ask:
// EPOLL_CTL_MOD makes the kernel look, and tell again whatever is so.
#include "poller.hpp"

#if ICE_POLLS_IN_ASIO

#include <asio/error.hpp>
#include <memory>
#include <new>
#include <utility>

namespace ice {
namespace {

using asio::detail::epoll_reactor;
using asio::detail::operation;
using asio::detail::reactor_op;

}  // namespace

// A socket in Asio's reactor. Outlives its client while an operation of it is on its way through
// the scheduler's queue, from where nothing can be taken back.
class poller::registration {
public:
    registration(poller& p, poller::client& c, int fd) : poller_(p), client_(&c), fd_(fd) {}

    error_code enter() noexcept {
        const int error = poller_.reactor_.register_descriptor(fd_, data_);
        return {error, asio::error::get_system_category()};
    }

    // Nothing is told any more.
    void leave() noexcept {
        client_ = nullptr;
        poller_.reactor_.deregister_internal_descriptor(fd_, data_);  // destroys what is queued
        poller_.reactor_.cleanup_descriptor_data(data_);
        if (under_way_ == 0) delete this;
    }

    // Of the last time that the kernel told something. An error can be told together with the data
    // before it, and TCP_INQ says nothing of it.
    bool is_broken() const noexcept {
        using base = operation*;  // private in 1.22.1: no static_cast gets there
        const operation& told = *base(data_);
        return (signal::events(told) & (EPOLLERR | EPOLLHUP)) != 0;
    }

    void arm(std::uint32_t events, bool is_drained, bool is_new) {
        if ((events & EPOLLIN) != 0 && reading_.is_idle())
            start(reading_, epoll_reactor::read_op, is_drained, is_new);
        if ((events & EPOLLOUT) == 0) return;
        if (!writing_) writing_ = std::make_unique<signal>(*this, EPOLLOUT);
        if (writing_->is_idle()) start(*writing_, epoll_reactor::write_op, false, false);
    }

private:
    // Waits in the reactor, and is told of one edge. It counts as work of the io_context only on
    // its way to complete(): that somebody waits for it is counted by the poller.
    struct signal final : reactor_op {
        signal(registration& r, std::uint32_t e)
            : reactor_op(error_code(), &perform, &complete), of(r), what(e) {}

        static unsigned events(const operation& o) noexcept { return o.*&signal::task_result_; }

        // Asio may ask this when it starts, if it has kept an edge; else the kernel has told one.
        static status perform(reactor_op* self) {
            auto& s = *static_cast<signal*>(self);
            if (s.is_new) return not_done;  // entering the epoll has asked: it will be told
            s.queued = false;
            s.taken = true;
            ++s.of.under_way_;
            if (!s.starts) s.of.poller_.scheduler_.work_started();
            return done_and_exhausted;
        }

        static void complete(void* owner, operation* self, const error_code&, std::size_t) {
            auto& s = *static_cast<signal*>(self);
            s.queued = false;
            if (!s.taken) return;  // was destroyed in the reactor
            s.taken = false;
            s.of.tell(s.what, owner != nullptr);
        }

        bool is_idle() const noexcept { return !queued && !taken; }

        registration& of;
        const std::uint32_t what;
        bool queued = false, starts = false, is_new = false, taken = false;
    };

    void start(signal& s, int queue, bool without_asking, bool is_new) {
        s.starts = s.queued = true;
        s.is_new = is_new;
        poller_.reactor_.start_op(queue, fd_, data_, &s, false, without_asking || is_new);
        s.starts = s.is_new = false;
        if (s.queued) poller_.scheduler_.work_finished();
    }

    void tell(std::uint32_t event, bool runs) {
        // Should a handler of a user throw, the socket must be told of again all the same.
        struct at_end {
            ~at_end() {
                registration* const r = &of;
                --r->under_way_;
                if (r->client_ && runs) r->poller_.arm(*r->client_);
                else if (!r->client_ && r->under_way_ == 0) delete r;
            }
            registration& of;
            bool runs;
        } const guard{*this, runs};
        if (!client_ || !runs) return;
        if (event == EPOLLIN) client_->drained_ = false;
        client_->ready(event);
    }

    poller& poller_;
    poller::client* client_;
    epoll_reactor::per_descriptor_data data_ = nullptr;
    signal reading_{*this, EPOLLIN};
    std::unique_ptr<signal> writing_;  // made when a write stalls, which is rare
    const int fd_;
    int under_way_ = 0;  // signals that wait for their complete()
};

poller& poller::of(const asio::any_io_executor& executor) {
    return asio::use_service<poller>(asio::query(executor, asio::execution::context));
}

poller::poller(asio::execution_context& context)
    : service(context), reactor_(asio::use_service<epoll_reactor>(context)),
      scheduler_(asio::use_service<asio::detail::scheduler>(context)) {
    reactor_.init_task();
    held_.next = held_.previous = &held_;
    spare_in_.prepare(spare_size);
}

poller::~poller() = default;

void poller::shutdown() noexcept {
    while (held_.next != &held_) {
        auto& c = static_cast<client&>(*held_.next);
        let_go(c);
        c.abandon();
    }
}

error_code poller::watch(int fd, client& c, std::uint32_t events) noexcept {
    if (c.watched_ == events) return {};
    try {
        const bool is_new = c.at_ == nullptr;
        if (is_new) {
            auto at = std::make_unique<registration>(*this, c, fd);
            if (const error_code ec = at->enter()) {
                at.release()->leave();
                return ec;
            }
            c.at_ = at.release();
        }
        c.watched_ = events;
        arm(c, is_new);
        return {};
    } catch (const std::bad_alloc&) { return make_error_code(asio::error::no_memory); }
}

// Only if somebody waits: then there is other work, so that ours can be taken off the count.
void poller::arm(client& c, bool registered_just_now) {
    if (!c.at_ || c.next == nullptr) return;
    c.at_->arm(c.watched_, c.drained_ && !c.at_->is_broken(), registered_just_now);
}

void poller::hold(client& c) {
    if (c.next == nullptr) {
        if (held_.next == &held_) scheduler_.work_started();
        c.next = &held_;
        c.previous = held_.previous;
        held_.previous->next = &c;
        held_.previous = &c;
    }
    arm(c);
}

void poller::let_go(client& c) noexcept {
    if (c.next == nullptr) return;
    c.previous->next = c.next;
    c.next->previous = c.previous;
    c.next = c.previous = nullptr;
    if (held_.next == &held_) scheduler_.work_finished();
}

// Explicitly, as a closed descriptor stays in an epoll while a forked child has it.
void poller::forget(int, client& c) noexcept {
    let_go(c);
    if (c.at_) std::exchange(c.at_, nullptr)->leave();
}

}  // namespace ice

#endif
