// One world: its random parameters, its run, its end, and the check that nothing is left.
#include "stage.hpp"

#include <unistd.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>
#include <filesystem>
#include <optional>

namespace torture {
namespace {

using ms = std::chrono::milliseconds;

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::string a_path(std::string_view what) {
    static std::uint64_t last = 0;
    return (std::filesystem::temp_directory_path() /
            fmt::format("ice-torture-{}-{}-{}", ::getpid(), what, ++last))
        .string();
}

meddling draw_meddling(world& w) {
    auto& c = w.chance;
    const auto some = [&](double most) {
        return c.hit(0.5) ? most * static_cast<double>(c.between(1, 100)) / 100 : 0;
    };
    meddling m;
    m.acts = some(0.5);
    m.stalls = some(0.4);
    m.short_send = some(0.6);
    m.short_recv = some(0.6);
    if (c.hit(0.5)) m.send_buffer = static_cast<int>(c.between(1, 8 * 1024));
    if (c.hit(0.5)) m.receive_buffer = static_cast<int>(c.between(1, 8 * 1024));
    if (w.is_calm) return m;
    m.aborts = some(0.3);
    m.no_descriptors = c.hit(0.05) ? 0.1 : 0;
    m.stranger = c.hit(0.3) ? 1 : 0;
    return m;
}

manners draw_manners(world& w) {
    auto& c = w.chance;
    manners m;
    m.in_pieces = c.hit(0.5) ? 0.5 : 0;
    m.late = c.hit(0.3) ? 0.1 : 0;
    if (w.is_calm) return m;
    for (double* one :
         {&m.closes_at_once, &m.resets_at_once, &m.talks_first, &m.unresponsive, &m.silent, &m.cut,
          &m.resets, &m.closes, &m.half_closes, &m.garbage, &m.too_long, &m.twice, &m.urgent}) {
        *one = c.hit(0.3) ? static_cast<double>(c.between(1, 20)) / 100 : 0;
    }
    m.dies = c.hit(0.3) ? 0.01 : 0;
    m.hangs_up = c.hit(0.5) ? 0.4 : 0;
    m.accepts_slowly = c.hit(0.1);
    return m;
}

broker_manners draw_broker_manners(world& w) {
    auto& c = w.chance;
    broker_manners m;
    m.in_pieces = c.hit(0.5) ? 0.5 : 0;
    m.sends = c.hit(0.8) ? static_cast<double>(c.between(1, 50)) / 100 : 0;
    m.stalls = c.hit(0.3) ? 0.005 : 0;
    if (w.is_calm) return m;
    for (double* one : {&m.closes_at_once, &m.resets_at_once, &m.says_nothing, &m.never_reads})
        *one = c.hit(0.3) ? static_cast<double>(c.between(1, 50)) / 100 : 0;
    for (double* one :
         {&m.closes, &m.resets, &m.half_closes, &m.garbage, &m.too_long, &m.urgent, &m.dies})
        *one = c.hit(0.3) ? static_cast<double>(c.between(1, 50)) / 1000 : 0;
    return m;
}

habits draw_habits(world& w) {
    auto& c = w.chance;
    habits h;
    for (double* one : {&h.waits, &h.asks_back, &h.yields, &h.pushes, &h.broadcasts,
                        &h.pushes_to_another, &h.looks, &h.asks_a_pool, &h.leases, &h.spawns})
        *one = c.hit(0.4) ? static_cast<double>(c.between(1, 40)) / 100 : 0;
    if (w.is_calm) return h;
    for (double* one :
         {&h.waits_long, &h.closes, &h.closes_another, &h.throws, &h.unencodable, &h.silent})
        *one = c.hit(0.2) ? static_cast<double>(c.between(1, 20)) / 100 : 0;
    return h;
}

ice::limits draw_limits(world& w) {
    auto& c = w.chance;
    ice::limits l;
    l.connections = c.hit(0.3) ? c.between(1, 6) : 1000;
    l.inbox = c.hit(0.5) ? c.between(w.is_calm ? 30 : 1, 300) : 64 * 1024;
    l.outbox = c.hit(0.5) ? c.below(3000) : 1024 * 1024;
    l.batch = c.hit(0.5) ? c.between(1, 4) : 64;
    l.accepts = c.hit(0.5) ? c.between(1, 3) : 64;
    l.in_flight = c.hit(0.4) ? c.between(2, 16) : 1;
    if (w.is_calm) return l;
    l.allow_half_open = !c.hit(0.3);
    l.connections_per_peer = c.between(1, 3);
    l.message = c.hit(0.3) ? c.between(1, 400) : 1024 * 1024;
    return l;
}

ice::timeouts draw_timeouts(world& w) {
    auto& c = w.chance;
    ice::timeouts t;
    for (auto* one : {&t.handshake, &t.message, &t.idle, &t.write, &t.logic, &t.linger})
        *one = ms(w.is_calm || c.hit(0.5) ? 5000 : c.between(1, c.hit(0.5) ? 5 : 50));
    // A peer that does not read has to stay connected for that time.
    if (!w.is_calm && c.hit(0.5)) t.write = ms(c.between(1, 3));
    return t;
}

// How a world ends.
enum class ending { stop, drain, drain_and_stop, signal, destroy };

class run {
public:
    run(world& w, crowd& others, meddler& kernel)
        : w_(w), others_(others), kernel_(kernel), stage_(w) {}

    void make() {
        auto& c = w_.chance;
        if (!c.hit(0.3)) io_.emplace();
        if (io_) srv_.emplace(*io_);
        else srv_.emplace();
        srv_->log().to([this](ice::log_level, std::string_view line) { logged(line); });
        srv_->log().level(ice::log_level::debug);
        srv_->drain_timeout = w_.is_calm ? ice::duration(5s) : ms(c.between(1, 30));
        stage_.srv = &*srv_;
        const bool is_gateway = c.hit(0.3);
        if (is_gateway || c.hit(0.4)) make_sources(c.between(1, 2));
        make_forwarders();
        if (c.hit(0.35)) {
            for (auto n = c.between(1, 2); n != 0; --n) make_feed_of(c.between(1, 3));
        }
        if (is_gateway || stage_.sources.empty() || c.hit(0.3)) make_places(c.between(1, 3));
        lasts_ = now() + ms(c.between(5, 40));
        draw_ending();
        spawn(conduct(), {});
        for (auto& from : stage_.sources) {
            for (auto n = c.below(6); n != 0; --n) {
                leaving_.push_back(std::make_unique<asio::cancellation_signal>());
                ++stage_.callers;
                spawn(calls(*from, c.between(1, 20)), leaving_.back()->slot());
            }
        }
        for (auto& f : stage_.feeds) {
            for (auto n = c.between(1, 3); n != 0; --n) {
                leaving_.push_back(std::make_unique<asio::cancellation_signal>());
                ++stage_.callers;
                spawn(f->use(), leaving_.back()->slot());
            }
        }
    }

    void go() {
        if (io_) io_->run();
        else srv_->run();
        w_.is_ending = true;
    }

    void check_end() {
        for (const auto& p : stage_.places) p->count(w_);
        for (const auto& s : stage_.sources) s->count(w_);
        for (const auto& f : stage_.feeds) f->count(w_);
        const bool in_time = now() - ended_ < 450ms;  // else logics that wait are not waited for
        if (how_ == ending::destroy || (!io_ && !in_time)) return;
        for (const auto& p : stage_.places) p->check_end();
        if (!io_) return;  // callers end with the loop
        for (const auto& s : stage_.sources) s->check_end();
        const bool drains = how_ == ending::drain || how_ == ending::signal;
        if (!stage_.feeds.empty() && drains && w_.is_calm) {
            for (int i = 0; i < 10'000; ++i) kernel_.let_act();  // so that brokers read all
        }
        for (const auto& f : stage_.feeds) f->check_end(drains);
        check(stage_.callers == 0, "a caller is left");
    }

private:
    // The counters do not say which timeout it was.
    void logged(std::string_view line) {
        using enum ice::errc;
        for (const auto& [why, what] :
             {std::pair(handshake_timeout, "session: handshake_timeout"),
              std::pair(message_timeout, "session: message_timeout"),
              std::pair(idle_timeout, "session: idle_timeout"),
              std::pair(write_timeout, "session: write_timeout"),
              std::pair(logic_timeout, "session: logic_timeout"),
              std::pair(message_too_large, "session: message_too_large")}) {
            if (line.find(make_error_code(why).message()) != line.npos) w_.saw(what);
        }
    }

    void make_sources(std::uint64_t n) {
        auto& c = w_.chance;
        for (std::uint64_t i = 0; i < n; ++i) {
            constexpr speech all[] = {speech::line, speech::resp, speech::greeting};
            const speech how = all[c.below(3)];
            const std::string path = c.hit(0.3) ? a_path("up") : "";
            auto up = std::make_unique<upstream>(w_, how, path, draw_manners(w_));
            stage_.sources.push_back(make_source(stage_, how, *up, fmt::format("up{}", i)));
            others_.add(std::move(up));
        }
    }

    void make_places(std::uint64_t n) {
        auto& c = w_.chance;
        for (; n != 0; --n) {
            const auto how = static_cast<speech>(c.below(5));
            const bool is_unix = c.hit(0.25);
            const ice::address at =
                is_unix ? ice::address("unix:" + a_path("in")) : ice::address("127.0.0.1", 0);
            const bool waits = c.hit(0.6);
            auto made = make_place(stage_, how, at, waits, draw_limits(w_), draw_timeouts(w_));
            w_.saw(fmt::format("listener: {}{}{}", name(how), waits ? ", waits" : "",
                               is_unix ? ", Unix" : ""));
            add_place(std::move(made), how, nullptr);
        }
    }

    // Listeners that pass their messages on to the pools.
    void make_forwarders() {
        auto& c = w_.chance;
        for (auto& from : stage_.sources) {
            if (!c.hit(0.5)) continue;
            ice::limits l = draw_limits(w_);
            l.in_flight = c.hit(0.7) ? 64 : 1;
            auto made = from->make_forwarder(ice::address("127.0.0.1", 0), l, draw_timeouts(w_));
            w_.saw(fmt::format("listener: forwards {} in flight", l.in_flight));
            add_place(std::move(made), from->up->language(), from->up);
        }
    }

    // A link with several brokers, of which its action has the first.
    void make_feed_of(std::uint64_t n) {
        auto& c = w_.chance;
        const speech how = c.hit(0.5) ? speech::line : speech::greeting;
        std::vector<broker*> brokers;
        for (; n != 0; --n) {
            const std::string path = c.hit(0.3) ? a_path("broker") : "";
            auto b = std::make_unique<broker>(w_, how, path, draw_broker_manners(w_));
            brokers.push_back(b.get());
            others_.add(std::move(b));
        }
        w_.saw(fmt::format("link: {}", name(how)));
        stage_.feeds.push_back(
            make_feed(stage_, how, std::move(brokers), fmt::format("feed{}", stage_.feeds.size())));
    }

    // With peers.
    void add_place(std::unique_ptr<place> made, speech how, const upstream* through) {
        auto& c = w_.chance;
        made->ways = draw_habits(w_);
        const ice::address at = made->base().endpoint();
        const door d = at.is_unix() ? door_to(at.path()) : door_to(at.port());
        for (auto k = c.below(5); k != 0; --k) others_.add(make_polite(w_, d, how, through));
        for (auto k = c.below(6); k != 0; --k) others_.add(make_hostile(w_, d, how));
        stage_.places.push_back(std::move(made));
    }

    void draw_ending() {
        auto& c = w_.chance;
        how_ = static_cast<ending>(c.below(5));
        if (how_ == ending::signal && io_) how_ = ending::drain;
        if (how_ == ending::destroy && !io_) how_ = ending::stop;
        if (!w_.is_calm) forks_ = c.hit(0.05);
        in_logic_ = !w_.is_calm && c.hit(0.3);
        // In a calm world a drain may begin at any time; otherwise when the peers have had answers.
        early_ = !w_.is_calm || (c.hit(0.8) && (how_ == ending::drain || how_ == ending::signal));
        leaves_ = w_.is_calm ? 0 : c.hit(0.5) ? 0.05 : 0;
        stage_.end = [this] { end(); };
    }

    void end() {
        if (w_.has_begun_to_end) return;
        for (int i = 0; i < 20; ++i) kernel_.let_act();  // so that much is unread
        w_.has_begun_to_end = true;
        ended_ = now();
        const ice::duration timeout = srv_->drain_timeout;
        others_.before_drain();
        switch (how_) {
            case ending::stop: w_.saw("end: stop"); return srv_->stop();
            case ending::signal:
                w_.saw("end: signal");
                std::raise(SIGTERM);
                return;
            case ending::destroy: w_.saw("end: destroyed as it is"); return io_->stop();
            case ending::drain: w_.saw("end: drain"); return srv_->drain(timeout);
            case ending::drain_and_stop: w_.saw("end: drain, then stop"); break;
        }
        srv_->drain(timeout);
        if (in_logic_) srv_->stop();
    }

    // Events beside the peers, about one each millisecond.
    ice::task<> conduct() {
        asio::steady_timer timer(srv_->executor());
        while (!w_.has_begun_to_end) {
            timer.expires_after(std::chrono::microseconds(w_.inside.between(200, 1000)));
            co_await timer.async_wait(asio::use_awaitable);
            if (!leaving_.empty() && w_.does(w_.inside, "caller: is cancelled", leaves_))
                leaving_[w_.inside.below(leaving_.size())]->emit(asio::cancellation_type::all);
            if (is_child_ && now() > child_ends_) ::_exit(0);
            if (forks_ && w_.inside.hit(0.2)) fork();
            const bool talked = others_.polite_gone() && stage_.callers == 0;
            const bool is_over = now() >= lasts_;
            if (!talked && !(is_over && early_)) continue;
            w_.is_ending = w_.is_ending || how_ == ending::stop || talked;
            stage_.ends_in_logic = in_logic_;
            if (in_logic_ && !talked && now() < lasts_ + 5ms) continue;
            end();
        }
        w_.is_ending = true;
        if (is_child_) ::_exit(0);
        if (how_ != ending::drain_and_stop || in_logic_) co_return;
        timer.expires_after(std::chrono::microseconds(w_.inside.below(3000)));
        co_await timer.async_wait(asio::use_awaitable);
        srv_->stop();
    }

    // A child that only has copies of the descriptors, or one that continues with the listeners.
    void fork() {
        forks_ = false;
        // A child that serves would send requests to upstreams in the parent, which could not be
        // counted in the child (fork_test.cpp has a child that serves).
        const bool goes_on = false;
        w_.saw("fork: the child waits");
        if (goes_on) io_->notify_fork(asio::execution_context::fork_prepare);
        is_child_ = kernel_.fork(goes_on);
        if (goes_on)
            io_->notify_fork(is_child_ ? asio::execution_context::fork_child
                                       : asio::execution_context::fork_parent);
        if (!is_child_) return;
        w_.last_request += 1'000'000;  // which the parent will not use
        how_ = ending::stop;
        child_ends_ = now() + 5ms;
    }

    ice::task<> calls(source& from, std::uint64_t n) {
        const counted here(callers_);
        while (n-- != 0 && !w_.has_begun_to_end) {
            if (w_.inside.hit(0.2)) {
                const bool replied = co_await from.talk();
                static_cast<void>(replied);
            } else {
                const bool replied = co_await from.ask();
                static_cast<void>(replied);
            }
            if (!w_.inside.hit(0.3)) continue;
            asio::steady_timer timer(srv_->executor(), w_.inside.below(ice::duration(2ms)));
            co_await timer.async_wait(asio::use_awaitable);
        }
    }

    void spawn(ice::task<> work, asio::cancellation_slot slot) {
        auto ended = [this, is_caller = slot.is_connected()](const std::exception_ptr& e) {
            if (is_caller) --stage_.callers;
            try {
                if (e) std::rethrow_exception(e);
            } catch (const thrown&) {
            } catch (const asio::system_error& left) {
                check(left.code() == asio::error::operation_aborted, left.what());
            } catch (const std::exception& other) { fail(other.what()); }
        };
        if (!slot.is_connected())
            return asio::co_spawn(srv_->executor(), std::move(work), std::move(ended));
        asio::co_spawn(srv_->executor(), std::move(work),
                       asio::bind_cancellation_slot(slot, std::move(ended)));
    }

    world& w_;
    crowd& others_;
    meddler& kernel_;
    std::vector<std::unique_ptr<asio::cancellation_signal>> leaving_;
    stage stage_;
    std::optional<asio::io_context> io_;  // none: the server has its own
    std::optional<ice::server> srv_;
    ending how_ = ending::stop;
    bool forks_ = false, is_child_ = false, in_logic_ = false, early_ = false;
    double leaves_ = 0;
    std::size_t callers_ = 0;
    std::chrono::steady_clock::time_point lasts_, ended_, child_ends_;
};

}  // namespace

void run_world(std::uint64_t seed, tally& seen) {
    world w(seed, seen);
    w.is_calm = w.does(w.chance, "calm worlds", 0.4);
    const std::size_t before = open_descriptors();
    {
        crowd others(w);
        meddler kernel(w, draw_meddling(w), others);
        run one(w, others, kernel);
        one.make();
        one.go();
        one.check_end();
    }
    const std::size_t after = open_descriptors();
    if (after != before) fail(fmt::format("{} descriptors before, {} after", before, after));
}

}  // namespace torture
