// A round costs three system calls (Asio's epoll_wait, the poller's, and epoll_ctl for the next
// one), however many sockets are ready in it. It costs two if it is the same socket each time.
#include "poller.hpp"

#include <unistd.h>

#include <asio/error.hpp>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace ice {
namespace {

constexpr std::size_t kept_size = 256 * 1024;  // larger buffers are freed, not kept for reuse
constexpr std::size_t moved_size = 4 * 1024;   // a buffer with more content is not exchanged

// For this time the poller does not ask the kernel for other sockets: some hundred ping-pongs of a
// lone peer, and a delay that a person does not notice.
constexpr auto speculative_for = std::chrono::milliseconds(4);

int make_epoll() {
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    return fd;
}

}  // namespace

void poller::link::insert_before(link& other) noexcept {
    unlink();
    next = &other;
    previous = other.previous;
    previous->next = this;
    other.previous = this;
}

void poller::link::unlink() noexcept {
    previous->next = next;
    next->previous = previous;
    next = previous = this;
}

poller::client::~client() {
    assert(next == this && watched_ == 0 && !has_waiter_ && "deregister() comes first");
}

poller& poller::of(const asio::any_io_executor& executor) {
    auto& context = asio::query(executor, asio::execution::context);
    // Makes Asio's reactor if there is none, so that it is older than this service. In a forked
    // child Asio calls older services first; before the reactor has an epoll of its own, changes
    // would be made in the parent's.
    const asio::posix::stream_descriptor older(executor);
    auto& p = asio::use_service<poller>(context);
    if (!p.outer_) {
        p.executor_ = executor;
        p.outer_.emplace(executor, p.epoll_);
    }
    return p;
}

poller::poller(asio::execution_context& context) : service(context), epoll_(make_epoll()) {
    spare_in_.prepare(spare_size);
}

poller::~poller() = default;

// Takes each client out of the ring before it destroys its coroutine, as that may destroy other
// clients.
void poller::shutdown() noexcept {
    while (clients_.next != &clients_) {
        auto& c = static_cast<client&>(*clients_.next);
        c.unlink();
        c.watched_ = 0;
        if (!c.has_waiter_) continue;
        remove_waiter(c);
        c.abandon();
    }
    outer_.reset();  // closes epoll_
    epoll_ = -1;
}

// A forked child shares the epoll like any descriptor, and with it the pointers in its events,
// which mean nothing in the child. So the child gets an epoll of its own. Connections stay with the
// parent: two processes that read one connection would take each other's messages and replies.
void poller::notify_fork(asio::execution_context::fork_event event) {
    if (event != asio::execution_context::fork_child || !outer_) return;
    ++forks_;
    const int fresh = make_epoll();
    outer_.reset();  // closes the child's copy; the handler of wait() gets an error
    epoll_ = fresh;
    outer_.emplace(executor_, epoll_);
    only_ = nullptr;
    count_ = 0;
    for (link* l = clients_.next; l != &clients_; l = l->next)
        static_cast<client&>(*l).watched_ = 0;
    for (link* l = clients_.next; l != &clients_; l = l->next)
        static_cast<client&>(*l).leave_to_parent();
}

error_code poller::watch(int fd, client& c, std::uint32_t events) noexcept {
    if (c.watched_ == events) return {};
    epoll_event e{};
    e.events = events;
    e.data.ptr = &c;
    const int how = events == 0 ? EPOLL_CTL_DEL : c.watched_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(epoll_, how, fd, &e) != 0) return {errno, asio::error::get_system_category()};
    c.watched_ = static_cast<std::uint16_t>(events);
    return {};
}

// Within a round the next wait begins at its end, once for all clients.
void poller::add_waiter(client& c) {
    if (c.has_waiter_) return;
    if (!waiting_ && !in_round_) wait();
    c.has_waiter_ = true;
    ++waiters_;
}

void poller::remove_waiter(client& c) noexcept {
    if (!c.has_waiter_) return;
    c.has_waiter_ = false;
    if (--waiters_ != 0 || !waiting_ || !outer_) return;
    error_code ignored;
    outer_->cancel(ignored);
}

// Clears every pointer to the client. It also removes the descriptor from epoll: closing it would
// not, while a forked child has a copy of it (epoll(7)).
void poller::deregister(int fd, client& c) noexcept {
    c.unlink();
    remove_waiter(c);
    if (only_ == &c) only_ = nullptr;  // mutant: forget_only
    for (std::size_t i = at_; i < count_; ++i) {
        if (events_[i].data.ptr == &c) events_[i].data.ptr = nullptr;
    }
    if (epoll_ >= 0) watch(fd, c, 0);  // mutant: stop_watching
    c.watched_ = 0;
}

// Waits until the epoll itself is readable (epoll(7)). The handler of a wait that began before a
// fork does nothing in the child.
void poller::wait() {
    outer_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [this, forks = forks_](error_code ec) {
                           waiting_ = false;
                           if (!ec && forks == forks_) round();
                           if (!waiting_ && waiters_ != 0) wait();
                       });
    waiting_ = true;
}

// Reads the socket that was the only one in the last two rounds, without epoll_wait(2). Returns
// whether there was something to read.
bool poller::read_speculatively() {
    if (!only_ || !only_again_ || (only_->watched_ & EPOLLIN) == 0) return false;
    if (std::chrono::steady_clock::now() - asked_ >= speculative_for) return false;
    return only_->ready(EPOLLIN);
}

// Two threads that run one io_context would lose answers and corrupt memory at times, so a debug
// build ends the program. One thread may run it after another has ended.
void poller::check_thread() {
#ifndef NDEBUG
    thread_local const std::shared_ptr<void> mine = std::make_shared<int>();
    const auto before = thread_.lock();
    if (before && before != mine) {
        std::fputs("ice: two threads run the io_context of one server; one must\n", stderr);
        std::abort();
    }
    thread_ = mine;
#endif
}

void poller::round() {
    check_thread();
    // If a handler of the user throws, the next round reports the events that are left.
    struct in_round {
        explicit in_round(poller& p) : p_(p) { p_.in_round_ = true; }
        ~in_round() {
            p_.in_round_ = false;
            p_.count_ = 0;
            if (!p_.waiting_ && p_.waiters_ != 0) p_.wait();
        }
        poller& p_;
    } const guard(*this);

    if (read_speculatively()) return;
    const int n = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
    count_ = n < 0 ? 0 : static_cast<std::size_t>(n);
    const client* const before = only_;
    only_ = n == 1 ? static_cast<client*>(events_[0].data.ptr) : nullptr;
    only_again_ = only_ != nullptr && only_ == before;
    if (only_again_) asked_ = std::chrono::steady_clock::now();
    for (at_ = 0; at_ < count_;) {
        const epoll_event e = events_[at_++];
        if (e.data.ptr != nullptr) static_cast<client*>(e.data.ptr)->ready(e.events);
    }
}

// Exchanges small buffers for the spare ones before a read, so that a burst allocates nothing.
void poller::acquire_buffers(buffer& in, std::string& out) {
    if (in.capacity() < spare_in_.capacity() && in.size() <= moved_size) {
        spare_in_.append(in.data());
        swap(in, spare_in_);
        spare_in_ = buffer();
    }
    if (out.empty() && out.capacity() < spare_out_.capacity()) out.swap(spare_out_);
}

// Keeps the largest buffers as spare ones, and leaves the channel only the bytes of an unfinished
// message.
void poller::release_buffers(buffer& in, std::string& out) {
    if (in.size() <= moved_size && in.capacity() > 2 * in.size()) {
        buffer rest;
        if (in.size() != 0) rest.append(in.data());  // mutant: keep_unread
        swap(in, rest);
        rest.consume(rest.size());
        if (rest.capacity() > spare_in_.capacity() && rest.capacity() <= kept_size)
            swap(rest, spare_in_);
    }
    if (out.empty()) {
        if (out.capacity() > spare_out_.capacity() && out.capacity() <= kept_size)
            out.swap(spare_out_);
        std::string().swap(out);
    }
}

}  // namespace ice
