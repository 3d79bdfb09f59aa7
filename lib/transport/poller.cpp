// A round costs three calls (Asio's epoll_wait, ours, and epoll_ctl for the next), however many
// sockets are ready in it; two if it is the same one each time.
#include "poller.hpp"

#include <unistd.h>

#include <asio/error.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace ice {
namespace {

constexpr std::size_t kept_size = 256 * 1024;  // larger ones are left to the allocator
constexpr std::size_t moved_size = 4 * 1024;   // so much is copied to lend storage, or to free it

}  // namespace

#if !ICE_POLLS_IN_ASIO

constexpr int guesses_most = 64;  // rounds in which others are not asked for

poller& poller::of(const asio::any_io_executor& executor) {
    auto& context = asio::query(executor, asio::execution::context);
    auto& p = asio::use_service<poller>(context);
    if (!p.outer_) p.outer_.emplace(executor, p.epoll_);
    return p;
}

poller::poller(asio::execution_context& context)
    : service(context), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
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
    outer_.reset();  // closes epoll_
    epoll_ = -1;
}

error_code poller::watch(int fd, client& c, std::uint32_t events) noexcept {
    if (c.watched_ == events) return {};
    epoll_event e{};
    e.events = events;
    e.data.ptr = &c;
    const int how = events == 0 ? EPOLL_CTL_DEL : c.watched_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(epoll_, how, fd, &e) != 0) return {errno, asio::error::get_system_category()};
    c.watched_ = events;
    return {};
}

void poller::hold(client& c) {
    if (c.next != nullptr) return;
    c.next = &held_;
    c.previous = held_.previous;
    held_.previous->next = &c;
    held_.previous = &c;
    if (!waiting_ && !in_round_) wait();
}

void poller::let_go(client& c) noexcept {
    if (c.next == nullptr) return;
    c.previous->next = c.next;
    c.next->previous = c.previous;
    c.next = c.previous = nullptr;
    if (held_.next == &held_ && waiting_ && outer_) {
        error_code ignored;
        outer_->cancel(ignored);
    }
}

// Explicitly, as a closed descriptor stays in an epoll while a forked child has it.
void poller::forget(int fd, client& c) noexcept {
    let_go(c);
    if (only_ == &c) only_ = nullptr;  // first: whoever ends is remembered nowhere
    if (c.watched_ == 0) return;
    if (epoll_ >= 0) watch(fd, c, 0);
    for (std::size_t i = at_; i < count_; ++i) {
        if (events_[i].data.ptr == &c) events_[i].data.ptr = nullptr;
    }
}

void poller::wait() {
    waiting_ = true;
    outer_->async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code ec) {
        waiting_ = false;
        if (!ec) round();
        if (!waiting_ && held_.next != &held_) wait();
    });
}

void poller::round() {
    // Should a handler of a user throw, who is left is told of in the next round.
    struct in_round {
        explicit in_round(poller& p) : p_(p) { p_.in_round_ = true; }
        ~in_round() {
            p_.in_round_ = false;
            p_.count_ = 0;
            if (!p_.waiting_ && p_.held_.next != &p_.held_) p_.wait();
        }
        poller& p_;
    } const guard(*this);

    if (only_ && only_again_ && guesses_ < guesses_most && (only_->watched_ & EPOLLIN) != 0) {
        ++guesses_;
        if (only_->ready(EPOLLIN)) return;
    }
    guesses_ = 0;
    const int n = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
    count_ = n < 0 ? 0 : static_cast<std::size_t>(n);
    const client* const before = only_;
    only_ = n == 1 ? static_cast<client*>(events_[0].data.ptr) : nullptr;
    only_again_ = only_ != nullptr && only_ == before;
    for (at_ = 0; at_ < count_;) {
        const epoll_event e = events_[at_++];
        if (e.data.ptr != nullptr) static_cast<client*>(e.data.ptr)->ready(e.events);
    }
}

#endif

void poller::lend(buffer& in, std::string& out) {
    if (in.capacity() < spare_in_.capacity() && in.size() <= moved_size) {
        spare_in_.append(in.data());
        swap(in, spare_in_);
        spare_in_ = buffer();
    }
    if (out.empty() && out.capacity() < spare_out_.capacity()) out.swap(spare_out_);
}

void poller::take_back(buffer& in, std::string& out) {
    if (in.size() <= moved_size && in.capacity() > 2 * in.size()) {
        buffer rest;
        if (in.size() != 0) rest.append(in.data());
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
