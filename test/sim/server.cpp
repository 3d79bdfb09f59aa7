// The scenarios of a server: well-behaved and hostile visitors; a gateway, a server whose logic
// asks a pool; and a drain of a server alone, of one with a pool that others use too, and of a
// gateway.
#include <optional>

#include "upstream.hpp"
#include "visitors.hpp"

namespace swarm {
namespace {

const ice::address here("10.0.0.1", 9), there("10.0.0.2", 7);
constexpr ice::pool_name<frames> name{"up"};
constexpr std::uint64_t requests = 120;  // not all get so far

// Answers, mostly at once. Some sessions have a coroutine beside the logic.
struct answering {
    world& w;

    void opened(ice::session<frames>& peer) {
        if (w.options.hit(0.8)) return;
        w.saw("spawns");
        peer.spawn(run_beside(peer, w.spawned));
    }
    static ice::task<> run_beside(ice::session<frames>& peer, std::size_t& spawned) {
        const test::counted one(spawned);
        while (peer.now() != ice::never) co_await peer.sleep(1s);
    }
    ice::task<std::string> operator()(std::string_view request, ice::session<frames>& peer) {
        const auto id = id_of('q', request);
        if (w.chance.hit(0.3)) co_await peer.sleep(w.chance.below(5ms));
        if (id < 0) throw std::runtime_error("what is that?");
        co_return text_of('a', static_cast<std::uint64_t>(id), w.chance.below(30));
    }
};

// Sends a request to the pool; answers "e17" if it fails.
struct asking {
    world& w;
    ice::pool<frames>& up;
    ice::task<std::string> operator()(std::string_view request) {
        const auto id = static_cast<std::uint64_t>(id_of('q', request));
        const auto reply = co_await up.request(request);
        w.check(reply.error() != ice::errc::draining, "a drain took the pool from a logic");
        if (!reply) co_return text_of('e', id);
        if (id_of('a', *reply) != static_cast<std::int64_t>(id))
            w.fail("the reply to another request");
        co_return *reply;
    }
};

// The same without a coroutine.
auto forwarding(world& w, ice::pool<frames>& up) {
    return ice::forward(up, [&w](const ice::failure& why, std::string_view request) {
        w.check(why.code() != ice::errc::draining, "a drain took the pool from a logic");
        return text_of('e', static_cast<std::uint64_t>(id_of('q', request)));
    });
}

// A caller beside the listener, which sends requests to a pool until the pool takes no more.
class callers {
public:
    callers(world& w, const upstream& up, ice::pool<frames>& p) : w_(w), up_(up), pool_(p) {}

    void send(std::uint64_t n) {
        for (there_ = n; n != 0; --n) w_.sim.spawn(asks());
    }
    void drained() { drained_ = w_.sim.now(); }
    // Callers and all connections: a shared connection may outlive callers that have left.
    bool all_gone() const {
        return there_ == 0 && pool_.waiting() == 0 && pool_.state().open() == 0;
    }
    // Then the server has stopped the pool a moment later.
    void check_end() {
        w_.wait(10ms);
        const auto told = w_.sim.run(pool_.request(text_of('q', 0)));
        w_.check(told.error() == ice::errc::stopped, "a drain that is over has not ended");
    }

private:
    ice::task<> asks() {
        for (bool refused = false; !refused;) {
            co_await w_.sim.net()->sleep(w_.chance.below(10ms));
            const std::uint64_t id = ++last_id_;
            refused = co_await is_refused(id);
        }
        --there_;
    }
    ice::task<bool> is_refused(std::uint64_t id) {
        ++w_.requests;
        const bool late = pool_.state().is_draining;
        const auto begin = w_.sim.now();
        const auto reply = co_await pool_.request(text_of('q', id), 5s);
        w_.check_ended_by(begin + 5s);
        const ice::error_code ec = reply.error();
        const bool refused = ec == ice::errc::draining || ec == ice::errc::stopped;
        if (late) w_.check(refused, "a pool that drains has taken a request");
        // The grace period is 30 s, longer than the timeout of any request.
        else if (refused) w_.check(w_.sim.now() >= ice::after(drained_, 30s), "a request is lost");
        if (refused) w_.saw(ec == ice::errc::draining ? "refused_draining" : "refused_stopped");
        if (reply) w_.check(id_of('a', *reply) == static_cast<std::int64_t>(id), "another's reply");
        else if (!refused) w_.check(is_hostile(), "a request of a good upstream failed");
        const unsigned times = up_.executed(id);
        w_.check(reply ? times == 1 : times <= 1, "a request was not executed once");
        w_.check(times == 0 || ec != ice::condition::not_executed, "a refused one was executed");
        co_return refused;
    }
    bool is_hostile() const {
        const manners& m = up_.ways;
        return m.late + m.duplicate + m.garbage + m.closes > 0;
    }

    world& w_;
    const upstream& up_;
    ice::pool<frames>& pool_;
    ice::time_point drained_ = ice::never;
    std::uint64_t there_ = 0;
    std::uint64_t last_id_ = 1000;  // a gateway's visitors have those below
};

class scenario {
public:
    explicit scenario(world& w) : w_(w) {}

    void draw_limits() {
        limits_.connections = w_.chance.hit(0.5) ? w_.chance.between(1, 6) : 1000;
        limits_.connections_per_peer =
            w_.chance.hit(0.3) ? w_.chance.between(1, 4) : ice::unlimited;
        limits_.batch = w_.chance.between(1, 64);
        limits_.inbox = w_.chance.between(64, 64 * 1024);
        limits_.outbox = w_.chance.between(1000, 100'000);
        limits_.accepts = w_.chance.between(1, 64);
        if (w_.options.hit(0.6)) {
            w_.saw("in_flight");
            limits_.in_flight = w_.options.between(2, 32);
        }
        if (w_.options.hit(0.3)) {
            w_.saw("ends_with_peer");
            limits_.allow_half_open = them_.half_open = false;
        }
        for (auto* t : {&times_.handshake, &times_.message, &times_.write, &times_.logic})
            *t = std::chrono::milliseconds(w_.chance.between(1000, 30'000));
        times_.idle = std::chrono::milliseconds(w_.chance.between(1000, 75'000));
    }

    void serve() {
        listener_ = &srv_->add(ice::tcp_server_action{here}
                                   .protocol(frames{})
                                   .logic(answering{w_})
                                   .limits(limits_)
                                   .timeouts(times_));
    }

    void start(upstream& up) {
        up.ways = {.service = w_.chance.below(ice::duration(10ms)),
                   .late = w_.chance.hit(0.3) ? 0.02 : 0,
                   .duplicate = w_.chance.hit(0.3) ? 0.02 : 0,
                   .garbage = w_.chance.hit(0.3) ? 0.02 : 0,
                   .closes = w_.chance.hit(0.3) ? 0.05 : 0};
        up.start();
    }
    ice::pool<frames>& add_pool(ice::pool_limits l = {}) {
        auto to_up = ice::tcp_client_action{there, name, w_.chance.between(1, 4)};
        return srv_->add(std::move(to_up).limits(l));
    }
    void serve_as_gateway(ice::pool<frames>& pool) {
        times_.logic = 30s;  // longer than a request
        longest_answer_ = 4000;
        auto action = ice::tcp_server_action{here}.protocol(frames{});
        if (w_.options.hit(0.5)) {
            w_.saw("forwards");
            listener_ = &srv_->add(
                std::move(action).logic(forwarding(w_, pool)).limits(limits_).timeouts(times_));
        } else {
            listener_ = &srv_->add(
                std::move(action).logic(asking{w_, pool}).limits(limits_).timeouts(times_));
        }
    }

    void visit(std::uint64_t hostile) {
        for (; hostile != 0; --hostile) them_.send_hostile();
        const std::uint64_t polite = w_.chance.between(1, 6);
        const std::uint64_t each = (requests + polite - 1) / polite;
        for (std::uint64_t i = 0; i < polite; ++i) them_.send_polite(each);
    }

    void watch() {
        // Hostile visitors send 300 kB each: in segments of a few bytes, that makes many events.
        const std::uint64_t usual = w_.sim.faults().segment < 20 ? 50'000 : 10'000;
        w_.check(w_.sim.events() < usual * requests, "a storm of events");
        if (!listener_) return;
        w_.check(listener_->size() <= limits_.connections, "more connections than allowed");
        std::map<std::string, std::size_t> from;
        std::size_t held = 0;
        for (auto& s : listener_->sessions()) {
            w_.check(++from[s.peer().host()] <= limits_.connections_per_peer,
                     "more connections of one peer than allowed");
            // The answers of a batch, and those that were in flight.
            const std::size_t answers = limits_.batch + limits_.in_flight;
            w_.check(s.bytes().unsent() <= limits_.outbox + answers * longest_answer_,
                     "more unsent bytes than allowed");
            held += s.bytes().data().size();
        }
        // Each session holds the beginning of a message and the bytes of one read.
        w_.check(held <= listener_->size() * (longest + 8 + limits_.inbox),
                 "more received bytes than allowed");
    }
    bool passes(const std::function<bool()>& done, ice::duration timeout) {
        const bool came = w_.sim.run_until(
            [&] {
                watch();
                return done() || !w_.failure.empty();
            },
            timeout);
        if (!w_.failure.empty()) throw std::runtime_error(w_.failure);
        return came;
    }
    void all_leave() {
        if (!passes([&] { return them_.all_gone(); }, 2h))
            throw std::runtime_error("a visitor is never rid of");
    }

    // All remaining visitors end, and then polite visitors must be served without errors.
    void recover() {
        w_.sim.note("calm");
        calm(w_);
        passes([] { return false; }, 3min);
        w_.check(listener_->size() == 0, "a connection without a peer is held for minutes");
        them_.strict = limits_.connections_per_peer == ice::unlimited;
        for (int i = 0; i < 3; ++i) them_.send_polite(5);
        all_leave();
    }

    void end() {
        srv_->stop();
        passes([] { return false; }, 1s);
        w_.check(listener_->size() == 0, "a stopped server holds on");
        w_.check(w_.spawned == 0, "a spawned coroutine outlives its session");
        listener_ = nullptr;
        srv_.reset();
        passes([&] { return w_.sim.quiescent(); }, 2h);  // bytes in flight may be late
        w_.check(w_.sim.quiescent(), "something is left at the end");
    }

    world& w_;
    std::unique_ptr<unlogged_server> srv_ =
        std::make_unique<unlogged_server>(w_.sim.host("10.0.0.1"));
    ice::listener<frames>* listener_ = nullptr;
    ice::limits limits_;
    ice::timeouts times_;
    std::size_t longest_answer_ = 100;
    visitors them_{w_, here};
};

}  // namespace

void server(world& w) {
    draw_faults(w);
    scenario s(w);
    s.draw_limits();
    auto harmful = w.sim.faults();
    for (const fault f : of_clocks) harmful[f] = 0;
    const auto is_never = [](double p) { return p == 0; };
    s.them_.strict = std::ranges::all_of(harmful.chance, is_never) &&
                     s.limits_.connections_per_peer == ice::unlimited;
    s.serve();
    s.visit(w.chance.below(5));
    s.all_leave();
    s.recover();
    s.end();
}

void gateway(world& w) {
    draw_faults(w);
    upstream up(w, w.sim.host(there.host()), there);
    scenario s(w);
    s.draw_limits();
    s.start(up);
    ice::pool_limits l;
    if (w.options.hit(0.4)) {
        l.pipeline = w.options.between(2, 16);
        up.ways.duplicate = 0;  // no pool can know whose it is
    }
    s.serve_as_gateway(s.add_pool(l));
    s.them_.answers_soon = false;
    s.visit(w.chance.below(2));
    s.all_leave();
    up.ways = {};
    s.recover();
    up.crash();
    s.end();
}

namespace {

void draw_faults_of_a_drain(world& w) {
    auto& f = w.sim.faults();
    for (const auto kind : {fault::one_byte_read, fault::short_read, fault::short_write})
        f[kind] = w.chance.hit(0.5) ? 0.3 : 0;
    f[fault::no_descriptors] = w.chance.hit(0.3) ? 0.7 : 0;  // they wait in the backlog
    f[fault::lost_tail] = 1;  // a reset destroys all that is not read: it must not come to one
    f.latency = w.chance.below(ice::duration(3ms));
    f.jitter = w.chance.below(ice::duration(1ms));
}

}  // namespace

// Requests from before the drain are answered, also those in pieces or in the backlog. So are
// requests to a pool from before the end of the last connection.
void drain(world& w) {
    draw_faults_of_a_drain(w);
    upstream up(w, w.sim.host(there.host()), there);
    scenario s(w);
    s.draw_limits();
    s.limits_.connections = 1000;
    s.limits_.connections_per_peer = ice::unlimited;
    s.them_.strict = true;
    std::optional<callers> beside;
    const bool has_pool = w.does("drained_pool", 0.5);
    if (has_pool) {
        s.start(up);
        if (w.chance.hit(0.5)) up.ways = {.service = up.ways.service};
        ice::pool_limits l;
        if (w.chance.hit(0.3)) l.pipeline = w.chance.between(2, 16);
        if (l.pipeline > 1) up.ways.duplicate = 0;  // no pool can know whose it is
        auto& pool = s.add_pool(l);
        beside.emplace(w, up, pool);
        beside->send(w.chance.between(1, 6));
        if (w.does("drained_gateway", 0.5)) {
            up.ways.late = 0;  // a few of ten seconds, and the drain's time is over
            s.serve_as_gateway(pool);
        }
    }
    if (s.listener_ == nullptr) s.serve();
    for (int i = 0; i < 2; ++i) s.visit(0);  // so that some are in the middle of a burst
    s.passes([] { return false; }, w.chance.below(60ms));
    w.sim.faults()[fault::no_descriptors] = 0;
    w.sim.note("drain");
    w.saw("drain");
    s.srv_->drain();
    if (beside) beside->drained();
    // Bytes in flight arrive later; where handlers take time, so do those that arrive meanwhile.
    s.them_.due_before = w.sim.last_idle() - 5ms;
    s.all_leave();
    const auto is_over = [&] {
        return s.listener_->size() == 0 && (!beside || beside->all_gone());
    };
    if (!s.passes(is_over, 31s)) w.fail("the drain never ends");
    if (beside) beside->check_end();
    up.crash();
    s.end();
}

}  // namespace swarm
