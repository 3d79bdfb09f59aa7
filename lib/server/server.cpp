// The loop, the signals, and the order in which a server ends.
#include <fmt/format.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <ice/detail/link_base.hpp>
#include <ice/server.hpp>
#include <ice/standard_streams.hpp>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ice {

namespace {

struct sigaction action_of(int signal) noexcept {
    struct sigaction is {};
    ::sigaction(signal, nullptr, &is);
    return is;
}

// As the shell's nohup and its background jobs without job control want it: what was ignored when
// the program began stays ignored.
bool is_ignored(int signal) noexcept { return action_of(signal).sa_handler == SIG_IGN; }

}  // namespace

// A loop of the server's own. UNSAFE_IO: one thread, so sockets need no locks.
struct server::loop {
    // Ends whatever still waits before the io_context itself goes: that is protected in Asio.
    struct own_context : asio::io_context {
        using asio::execution_context::shutdown;
        using asio::io_context::io_context;
    };

    // While there is one, SIGPIPE does nothing unless the program has said what it does. It is a
    // handler, as a signal that is ignored stays so across execve(2), in each child (signal(7)).
    class harmless_sigpipe {
    public:
        harmless_sigpipe() noexcept {
            if (action_of(SIGPIPE).sa_handler != SIG_DFL) return;
            struct sigaction nothing {};
            nothing.sa_handler = do_nothing;
            nothing.sa_flags = SA_RESTART;
            ::sigaction(SIGPIPE, &nothing, &before_);
            is_ours_ = true;
        }
        ~harmless_sigpipe() {
            if (is_ours_ && action_of(SIGPIPE).sa_handler == do_nothing)
                ::sigaction(SIGPIPE, &before_, nullptr);
        }
        harmless_sigpipe(const harmless_sigpipe&) = delete;
        harmless_sigpipe& operator=(const harmless_sigpipe&) = delete;

    private:
        static void do_nothing(int) {}

        struct sigaction before_ {};
        bool is_ours_ = false;
    };

    // The order of these members is the order in which they open descriptors: the epoll of the
    // io_context must not become one of the standard streams.
    struct streams {
        streams() { open_standard_streams(); }
    } before_anything_is_opened;
    own_context io{ASIO_CONCURRENCY_HINT_UNSAFE_IO};
    asio::signal_set signals{io};
    std::optional<harmless_sigpipe> sigpipe;
    bool takes_signals = false;
};

server::server() : server(std::make_unique<loop>(), nullptr) {}

server::server(std::shared_ptr<ice::transport> net) : server(nullptr, std::move(net)) {}

server::server(std::unique_ptr<loop> own, std::shared_ptr<ice::transport> net)
    : loop_(std::move(own)),
      context_(std::make_shared<server_context>(
          net ? std::move(net) : make_socket_transport(loop_->io.get_executor()))),
      grace_period_(context_->net->deadlines(), grace_period_ended, this),
      half_grace_period_(
          context_->net->deadlines(),
          // A lease that nobody uses would hold the drain for the whole grace period.
          [](void* self) {
              for (const auto& [name, p] : static_cast<server*>(self)->pools_)
                  p->drain_idle_leases();
          },
          this),
      emptied_(
          context_->net->deadlines(),
          [](void* self) { static_cast<server*>(self)->end_if_empty(); }, this),
      spawned_(context_->net->executor(), [this] { one_emptied(); }) {}

// What has a timer or a socket dies before the io_context.
server::~server() {
    if (state_ != state::finished) stop();
    end_coroutines();
    if (!loop_) return;
    // Its socket must not outlive the io_context, whoever still owns the listener.
    for (const auto& l : listeners_) l->acceptor_.reset();
    listeners_.clear();
    pools_.clear();
    links_.clear();
    loop_.reset();
}

// On a loop of its own. What coroutines of ice use is still here then, and what those of the user
// use, as long as run() has not returned. The io_context stays, for timers and sockets that the
// user still has.
void server::end_coroutines() {
    for (const auto& l : listeners_) l->when_empty_ = nullptr;
    for (const auto& [name, p] : pools_) p->when_empty_ = nullptr;
    for (const auto& [name, l] : links_) l->when_empty_ = nullptr;
    if (!loop_) return;
    state_ = state::finished;
    each_transport(&ice::transport::stop);
    loop_->io.shutdown();
}

// The server's transport, and those of its actions. One that several actions share is called as
// often.
void server::each_transport(void (ice::transport::*what)()) {
    (context_->net.get()->*what)();
    for (const auto& l : listeners_) (l->net_.get()->*what)();
    for (const auto& [name, p] : pools_) (p->net_.get()->*what)();
    for (const auto& [name, l] : links_) (l->net_.get()->*what)();
}

// What is ready may end by itself: it sees that its connection has gone, or that a pool has been
// stopped. Bounded, as a handler may post itself anew: ten for each of 10,000 connections.
void server::run_what_is_ready() {
    constexpr int most = 100'000;
    loop_->io.restart();
    for (int i = 0; i < most; ++i) {
        try {
            if (loop_->io.poll_one() == 0) return;
        } catch (const std::bad_alloc&) {  // of one event, as in run()
        } catch (...) {                    // of a handler of the user's
            context_->write(log_level::error, "handler threw",
                            detail::what_of(std::current_exception()));
        }
    }
}

void server::keep(std::unique_ptr<listener_base> added) {
    const std::shared_ptr<listener_base> l = std::move(added);
    // Before start(): a signal between add() and run() drains the server and does not end the
    // process.
    take_signals();
    l->when_empty_ = [this] { one_emptied(); };
    listeners_.push_back(l);
    l->start();
}

void server::keep(std::unique_ptr<connection_pool> added) {
    const std::shared_ptr<connection_pool> p = std::move(added);
    if (!pools_.emplace(p->name(), p).second)
        throw std::invalid_argument(fmt::format("there is a pool '{}' already", p->name()));
    take_signals();
    p->when_empty_ = [this] { one_emptied(); };  // mutant: pool_emptied
    p->start();
}

void server::keep(std::unique_ptr<link_base> added) {
    const std::shared_ptr<link_base> l = std::move(added);
    if (!links_.emplace(l->name(), l).second)
        throw std::invalid_argument(fmt::format("there is a link '{}' already", l->name()));
    take_signals();
    l->when_empty_ = [this] { one_emptied(); };
    l->start();
}

connection_pool& server::find(std::string_view name) const {
    const auto found = pools_.find(name);
    if (found == pools_.end())
        throw std::invalid_argument(fmt::format("there is no pool '{}'", name));
    return *found->second;
}

link_base& server::find_link(std::string_view name) const {
    const auto found = links_.find(name);
    if (found == links_.end())
        throw std::invalid_argument(fmt::format("there is no link '{}'", name));
    return *found->second;
}

void server::throw_other_type(std::string_view kind, std::string_view name) {
    throw std::invalid_argument(
        fmt::format("{} '{}' is of another type than its name", kind, name));
}

void server::spawn(task<> work, std::string_view name) {
    spawned_.spawn(std::move(work),
                   [context = context_, name = std::string(name)](std::exception_ptr thrown) {
                       log_thrown(*context, name, std::move(thrown));
                   });
}

void server::run() {
    if (!loop_) throw std::logic_error("ice: run the io_context that this server was given");
    if (state_ == state::finished) return;
    take_signals();
    // However it ends: what logics use may be gone before the server is.
    struct ending {
        server& srv;
        ~ending() {
            try {
                srv.finish();
                srv.run_what_is_ready();
            } catch (const std::bad_alloc&) {  // then it is destroyed, as all that waits
            }
            srv.end_coroutines();
        }
    } const end{*this};
    run_loop();
}

void server::run_loop() {
    for (;;) {
        try {
            // After an exception run() may be called again, and goes on with the next handler
            // (Asio).
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
    loop_->sigpipe.emplace();
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
        if (!is_ignored(signal)) loop_->signals.add(signal);
    }
    await_signal();
}

void server::await_signal() {
    loop_->signals.async_wait([this](error_code ec, int signal) {
        if (ec) return;
        if (signal == SIGUSR1) report();
        else if (state_ == state::serving) drain();
        else stop();
        // Waits for the second signal, which stops a drain, and for further reports.
        await_signal();
    });
}

void server::drain(duration grace_period) {
    if (state_ != state::serving) return;
    std::size_t open = 0;
    for (const auto& l : listeners_) {
        open += l->size();
        l->drain();  // mutant: listeners_drain
    }
    state_ = state::draining;  // not before all of them drain: the first may be empty at once
    const time_point now = context_->net->now();
    grace_period_.set(after(now, grace_period));
    half_grace_period_.set(after(now, grace_period / 2));
    context_->write(log_level::info, "draining", fmt::format("draining {} connections", open));
    end_if_empty();
}

void server::stop() {
    if (state_ == state::stopping || state_ == state::finished) return;
    state_ = state::stopping;
    for (const auto& l : listeners_) l->stop();
    for (const auto& [name, p] : pools_) p->stop();
    for (const auto& [name, l] : links_) l->stop();
    spawned_.cancel();
    // Logics that wait for something of their own are not waited for: half a second lets the rest
    // see that their connections are gone.
    grace_period_.set(context_->net->now() + std::chrono::milliseconds(500));
    end_if_empty();
}

void server::report() {
    const auto print = [this](std::string_view line) {
        context_->log.write_always(log_level::info, line);
    };
    for (const auto& l : listeners_) {
        for (const std::string& line : l->report()) print(line);
    }
    for (const auto& [name, p] : pools_) print(p->report());
    for (const auto& [name, l] : links_) print(l->report());
    if (spawned_.size() != 0) print(fmt::format("server: {} coroutines spawned", spawned_.size()));
}

// Later: whose request or connection was the last may be in the middle of its end, and ending all
// may take memory.
void server::one_emptied() noexcept {
    if (state_ == state::finished) return;
    try {
        emptied_.set(context_->net->now());
    } catch (const std::bad_alloc&) {  // then grace_period ends it
    }
}

void server::end_if_empty() {
    if (state_ == state::serving || state_ == state::finished) return;
    if (std::any_of(listeners_.begin(), listeners_.end(),
                    [](const auto& l) { return l->size() != 0; }))
        return;
    const auto links_are_over = [this] {
        return std::all_of(links_.begin(), links_.end(),
                           [](const auto& l) { return l.second->is_over(); });
    };
    if (state_ == state::draining) {
        for (const auto& [name, p] : pools_) p->drain();  // no logic needs them now
        for (const auto& [name, l] : links_) l->drain();
        if (!std::all_of(pools_.begin(), pools_.end(),
                         [](const auto& p) { return p.second->is_empty(); }))
            return;
        if (!links_are_over()) return;
        // Nothing else is left: a coroutine that never ends by itself must not hold the drain.
        if (spawned_.size() != 0) return stop();
    }
    if (spawned_.size() == 0 && links_are_over()) finish();
}

void server::grace_period_ended(void* self) {
    auto& s = *static_cast<server*>(self);
    // stop() has set this deadline: it has waited long enough for logics to see their end.
    if (s.state_ == state::stopping) return s.finish();
    std::size_t open = 0, requests = 0;
    for (const auto& l : s.listeners_) open += l->size();
    for (const auto& [name, p] : s.pools_) requests += p->busy() + p->waiting();
    s.context_->write(
        log_level::warning, "drain ended",
        fmt::format("the drain's time is over: closing {} connections, and ending {} requests to "
                    "upstreams",
                    open, requests));
    s.stop();
}

void server::finish() {
    if (std::exchange(state_, state::finished) == state::finished) return;
    grace_period_.clear();
    half_grace_period_.clear();
    emptied_.clear();
    for (const auto& l : listeners_) l->stop();
    for (const auto& [name, p] : pools_) p->stop();
    for (const auto& [name, l] : links_) l->stop();
    spawned_.cancel();
    // The io_context of the user runs other work too: it is not stopped, only left without work.
    if (!loop_) return each_transport(&ice::transport::release);
    each_transport(&ice::transport::stop);
    loop_->signals.clear();
    loop_->io.stop();
}

}  // namespace ice
