// The loop, the signals, and the order in which a server ends.
#include <fmt/format.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <ice/server.hpp>
#include <new>
#include <stdexcept>

namespace ice {

// A loop of the server's own. UNSAFE_IO: one thread, so sockets need no locks.
struct server::loop {
    asio::io_context io{ASIO_CONCURRENCY_HINT_UNSAFE_IO};
    asio::signal_set signals{io};
    bool takes_signals = false;
    void (*before)(int) = SIG_DFL;  // what SIGPIPE did

    loop() = default;
    ~loop() {
        if (takes_signals) std::signal(SIGPIPE, before);
    }
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;
};

server::server() : server(std::make_unique<loop>(), nullptr) {}

server::server(std::shared_ptr<transport> net) : server(nullptr, std::move(net)) {}

server::server(std::unique_ptr<loop> own, std::shared_ptr<transport> net)
    : loop_(std::move(own)),
      env_(std::make_shared<environment>(net ? std::move(net)
                                             : make_socket_transport(loop_->io.get_executor()))),
      patience_(env_->net->deadlines(), patience_ended, this),
      emptied_(
          env_->net->deadlines(), [](void* self) { static_cast<server*>(self)->end_if_empty(); },
          this) {}

// What has a timer or a socket dies before the io_context; what a coroutine still uses, it holds,
// and is destroyed with it, while the environment is still here.
server::~server() {
    if (state_ != state::finished) stop();
    for (const auto& l : listeners_) l->when_empty_ = nullptr;
    for (const auto& [name, p] : pools_) p->when_empty_ = nullptr;
    if (!loop_) return;
    loop_->io.restart();
    try {
        loop_->io.poll();                // coroutines that can end do so
    } catch (const std::exception& e) {  // of a handler of the user's
        env_->write(log_level::error, "handler threw", escaped(e.what()));
    }
    env_->net->stop();
    for (const auto& l : listeners_) l->acceptor_.reset();
    listeners_.clear();
    pools_.clear();
    loop_.reset();
}

void server::keep(std::shared_ptr<listener_base> l) {
    take_signals();
    l->when_empty_ = [this] { one_emptied(); };
    listeners_.push_back(l);
    l->start();
}

void server::keep(std::shared_ptr<pool_base> p) {
    if (!pools_.emplace(p->name(), p).second)
        throw std::invalid_argument(fmt::format("there is a pool '{}' already", p->name()));
    take_signals();
    p->when_empty_ = [this] { one_emptied(); };
    p->start();
}

pool_base& server::find(std::string_view name) const {
    const auto found = pools_.find(name);
    if (found == pools_.end())
        throw std::invalid_argument(fmt::format("there is no pool '{}'", name));
    return *found->second;
}

void server::throw_other_protocol(std::string_view pool) {
    throw std::invalid_argument(fmt::format("pool '{}' speaks another protocol", pool));
}

void server::run() {
    if (!loop_) throw std::logic_error("ice: run the io_context that this server was given");
    if (state_ == state::finished) return;
    take_signals();
    for (;;) {
        try {
            loop_->io.run();
            return;
        } catch (
            const std::bad_alloc&) {  // one event's, or at one coroutine's end: all else goes on
            if (state_ == state::finished) return;
        }
    }
}

void server::take_signals() {
    if (!loop_ || loop_->takes_signals) return;
    loop_->takes_signals = true;
    loop_->before = std::signal(SIGPIPE, SIG_IGN);
    loop_->signals.add(SIGINT);
    loop_->signals.add(SIGTERM);
    loop_->signals.add(SIGUSR1);
    await_signal();
}

void server::await_signal() {
    loop_->signals.async_wait([this](error_code ec, int signal) {
        if (ec) return;
        if (signal == SIGUSR1) report();
        else if (state_ == state::serving) drain();
        else stop();
        await_signal();
    });
}

void server::drain(duration patience) {
    if (state_ != state::serving) return;
    std::size_t open = 0;
    for (const auto& l : listeners_) {
        open += l->size();
        l->drain();
    }
    state_ = state::draining;  // not before all of them drain: the first may be empty at once
    patience_.set(after(env_->net->now(), patience));
    env_->write(log_level::info, "draining", fmt::format("draining {} connections", open));
    end_if_empty();
}

void server::stop() {
    if (state_ == state::stopping || state_ == state::finished) return;
    state_ = state::stopping;
    for (const auto& l : listeners_) l->stop();
    for (const auto& [name, p] : pools_) p->stop();
    // Logics that wait for something of their own are not waited for: half a second lets the rest
    // see that their connections are gone.
    patience_.set(env_->net->now() + std::chrono::milliseconds(500));
    end_if_empty();
}

void server::report() {
    const auto print = [this](std::string_view line) {
        env_->log.write_always(log_level::info, line);
    };
    for (const auto& l : listeners_) {
        for (const std::string& line : l->report()) print(line);
    }
    for (const auto& [name, p] : pools_) print(p->report());
}

// Later: whose request or connection was the last may be in the middle of its end, and ending all
// may take memory.
void server::one_emptied() noexcept {
    try {
        emptied_.set(env_->net->now());
    } catch (const std::bad_alloc&) {  // then patience ends it
    }
}

void server::end_if_empty() {
    if (state_ == state::serving || state_ == state::finished) return;
    if (std::any_of(listeners_.begin(), listeners_.end(),
                    [](const auto& l) { return l->size() != 0; }))
        return;
    if (state_ == state::stopping) return finish();
    for (const auto& [name, p] : pools_) p->drain();  // no logic needs them now
    if (std::all_of(pools_.begin(), pools_.end(),
                    [](const auto& p) { return p.second->is_empty(); }))
        finish();
}

void server::patience_ended(void* self) {
    auto& s = *static_cast<server*>(self);
    if (s.state_ == state::stopping) return s.finish();
    std::size_t open = 0, requests = 0;
    for (const auto& l : s.listeners_) open += l->size();
    for (const auto& [name, p] : s.pools_) requests += p->busy() + p->waiting();
    s.env_->write(
        log_level::warning, "drain ended",
        fmt::format("the drain's time is over: closing {} connections, and ending {} requests to "
                    "upstreams",
                    open, requests));
    s.stop();
}

void server::finish() {
    state_ = state::finished;
    patience_.clear();
    emptied_.clear();
    for (const auto& [name, p] : pools_) p->stop();
    if (!loop_) return env_->net->release();
    env_->net->stop();
    loop_->signals.clear();
    loop_->io.stop();
}

}  // namespace ice
