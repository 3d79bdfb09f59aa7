// The scenario of a link: brokers that send unasked, crash and misbehave, and a program that pushes
// whether or not the link is connected.
#include <ice/link.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "world.hpp"

namespace swarm {
namespace {

constexpr ice::link_name<frames> name{"broker"};
constexpr ice::duration beat = 2s;

// What one connection to a broker has sent and got. The link's session is another object, so this
// one tells what went over the wire.
struct broker {
    broker(world& w_, int n)
        : w(w_), where(fmt::format("10.0.0.{}", n + 1), 7), net(w.sim.host(where.host())) {}
    ~broker() { crash(); }
    broker(const broker&) = delete;
    broker& operator=(const broker&) = delete;

    void start() {
        if (acceptor) return;
        acceptor = net->listen(where);
        w.sim.spawn(accept_all(acceptor));
    }
    void crash() {
        if (acceptor) acceptor->cancel();
        acceptor.reset();
        for (ice::channel* c : open) c->cancel(ice::errc::stopped);
    }
    ice::task<> accept_all(std::shared_ptr<ice::acceptor> from) {
        for (;;) {
            const ice::error_code closed = co_await from->ready();
            if (closed) co_return;
            auto one = from->accept();
            if (one) w.sim.spawn(serve(*std::move(one)));
            else co_await net->sleep(10ms);  // whatever it is
        }
    }
    // Each message is "m<connection><sequence>", so the link can see a gap. It answers "q0".
    ice::task<> serve(std::unique_ptr<ice::channel> c) {
        struct entry {
            broker& b;
            ice::channel* c;
            entry(broker& b_, ice::channel* c_) : b(b_), c(c_) { b.open.push_back(c); }
            ~entry() { std::erase(b.open, c); }
        } const here(*this, c.get());
        frames protocol;
        std::uint64_t next = 0, last = 0;  // last: 1 is the subscription
        if (w.does("refuses", refuses)) co_return;
        if (w.does("unresponsive", unresponsive)) co_await net->sleep(w.chance.below(60s));
        for (;;) {
            auto found = protocol.parse(c->data());
            if (found.failed()) co_return w.fail("the broker got what nobody sent");
            if (found.has_message()) {
                const auto id = id_of('q', found.message());
                c->consume(found.size());
                if (id < 0) co_return w.fail("the broker got what nobody pushed");
                got(static_cast<std::uint64_t>(id), last);
                if (w.does("closes", closes)) co_return;
                if (w.does("garbage", garbage)) c->out() += "@@@@";
                const std::uint64_t n = w.chance.below(id == 0 ? 2 : 4);
                for (std::uint64_t i = 0; i < n || (id == 0 && i == 0); ++i)
                    protocol.packet(text_of('m', next++, w.chance.below(200)), c->out());
                const ice::error_code lost =
                    co_await c->flush(60s, ice::never, ice::errc::write_timeout);
                if (lost) co_return;
                continue;
            }
            const ice::error_code over = co_await c->fill();
            if (over) co_return;
        }
    }
    // In the order in which they were pushed, and never twice, behind the subscription, which is 1.
    // 0 is a heartbeat.
    void got(std::uint64_t id, std::uint64_t& last) {
        w.sim.note("broker got", id);
        w.check(id == 1 || last != 0, "a message came before the subscription");
        if (id == 0) return;
        w.check(id > last, "a broker got messages out of order");
        last = id;
        if (id == 1) return;
        w.check(delivered.insert({id, where.host()}).second, "a message was delivered twice");
    }

    world& w;
    ice::address where;
    std::shared_ptr<ice::transport> net;
    std::shared_ptr<ice::acceptor> acceptor;
    std::vector<ice::channel*> open;
    std::map<std::uint64_t, std::string> delivered;
    double refuses = 0, unresponsive = 0, closes = 0, garbage = 0;
};

class scenario {
public:
    explicit scenario(world& w) : w_(w) {}

    void run() {
        draw_faults(w_);
        draw_brokers();
        draw_link();
        w_.sim.spawn(pushes());
        for (auto crashes = w_.chance.below(4); crashes != 0; --crashes) w_.sim.spawn(crash());
        if (w_.does("stop_early", 0.1)) {
            settle(w_.chance.below(5s));
            return end();
        }
        run_until([&] { return pushed_all_ && crashes_ == 0; }, 1h, "the pushes");
        recover();
        end();
    }

private:
    // What the link's logic sees of each connection.
    struct logic {
        scenario& s;
        ice::task<> opened(ice::session<frames>& peer) const {
            s.w_.check(!s.talks_, "a link has two connections");
            s.talks_ = true;
            s.next_ = 0;
            ++s.opened_;
            if (s.w_.does("opened_waits", s.waits_)) co_await peer.sleep(s.w_.chance.below(3s));
            if (s.w_.does("opened_throws", s.throws_)) throw std::runtime_error("opened");
            (void)peer.push(text_of('q', 1));
        }
        ice::task<> operator()(std::string_view m, ice::session<frames>& peer) const {
            s.w_.check(s.talks_, "a message without a connection");
            s.w_.check(s.link_->is_connected() || s.drains_, "a message while not connected");
            s.w_.check(id_of('m', m) == s.next_++, "a message is missing or comes twice");
            if (s.w_.does("logic_waits", s.waits_)) co_await peer.sleep(s.w_.chance.below(50ms));
            if (s.w_.does("logic_throws", s.throws_)) throw std::runtime_error("logic");
        }
        ice::task<> closed(ice::session<frames>& peer, ice::error_code) const {
            s.w_.check(s.talks_, "closed() without opened()");
            struct at_end {  // it may be cancelled
                scenario& s;
                ~at_end() {
                    s.talks_ = false;
                    ++s.closed_;
                    s.left_ = s.w_.sim.now();
                }
            } const end{s};
            if (s.w_.does("closed_waits", s.waits_)) co_await peer.sleep(s.w_.chance.below(3s));
            if (s.w_.does("closed_throws", s.throws_)) throw std::runtime_error("closed");
        }
    };

    void draw_brokers() {
        const auto some = [&](double most) {
            const double p = static_cast<double>(w_.chance.below(1000)) / 1000 * most;
            return w_.chance.hit(0.4) ? p : 0;
        };
        const std::uint64_t n = w_.chance.between(1, 3);
        for (std::uint64_t i = 0; i < n; ++i) {
            auto& b = *brokers_.emplace_back(std::make_unique<broker>(w_, static_cast<int>(i)));
            b.refuses = some(0.3);
            b.unresponsive = some(0.1);
            b.closes = some(0.05);
            b.garbage = some(0.02);
            if (!w_.does("broker_is_down", 0.1)) b.start();
        }
        waits_ = some(0.3);
        throws_ = some(0.05);
    }

    // Of which the link's action does not know.
    void draw_more_brokers() {
        for (auto n = w_.options.between(1, 3); n != 0; --n) {
            const int next = static_cast<int>(brokers_.size());
            auto& b = *brokers_.emplace_back(std::make_unique<broker>(w_, next));
            b.closes = w_.options.hit(0.3) ? 0.05 : 0;
            if (w_.options.hit(0.9)) b.start();
        }
        learns_ = 0.02;
        leaves_ = w_.options.hit(0.7) ? 0.02 : 0;
    }

    void draw_link() {
        std::vector<ice::address> where;
        for (const auto& b : brokers_) where.push_back(b->where);
        configured_ = where;
        if (w_.options.hit(0.5)) draw_more_brokers();
        limits_ = {.outbox = w_.chance.between(500, 20'000), .queue = w_.chance.below(10)};
        ice::link_timeouts t;
        t.connect = std::chrono::milliseconds(w_.chance.between(100, 3000));
        t.logic = std::chrono::milliseconds(w_.chance.between(100, 5000));
        t.write = std::chrono::milliseconds(w_.chance.between(1000, 5000));
        t.message = std::chrono::milliseconds(w_.chance.between(1000, 5000));
        auto made = ice::tcp_link_action{where, name}
                        .limits(limits_)
                        .timeouts(t)
                        .backoff({.first = std::chrono::milliseconds(w_.chance.below(200)),
                                  .cap = std::chrono::milliseconds(w_.chance.between(1, 5000))})
                        .logic(logic{*this});
        // Without one a peer that is gone would never be found: "reset" and "end" of the network.
        link_ = &srv_->add(std::move(made).heartbeat(text_of('q', 0), beat));
    }

    ice::task<> pushes() {
        const test::counted here(w_.spawned);
        const std::uint64_t n = w_.chance.between(20, 200);
        for (std::uint64_t i = 0; i < n; ++i) {
            const ice::duration most = w_.chance.hit(0.05) ? 5s : 50ms;
            co_await w_.sim.net()->sleep(w_.chance.below(most));
            if (is_over_) co_return;
            if (w_.options.hit(learns_)) learn();
            if (w_.options.hit(leaves_)) leave();
            for (auto burst = w_.chance.below(4); burst != 0; --burst) push();
        }
        pushed_all_ = true;
    }
    void push() {
        const std::uint64_t id = ++last_id_;
        const std::size_t queued = link_->queued();
        const bool is_up = link_->is_connected();
        const ice::error_code ec = link_->push(text_of('q', id, w_.chance.below(500)));
        ++w_.requests;
        if (!ec) {
            if (!is_up) w_.saw("queued");
            accepted_.push_back(id);
            if (is_up)
                w_.check(link_->current()->bytes().unsent() <= limits_.outbox,
                         "more bytes are unsent than the outbox takes");
        } else if (is_up) {
            w_.check(ec != ice::errc::not_connected, "a link that is connected said it is not");
        } else {
            w_.check(ec == ice::errc::not_connected, "another refusal while not connected");
            w_.check(queued == limits_.queue, "a message was refused though the queue had room");
        }
        if (ec) refused_.push_back(id);
    }

    // Any part of the brokers, some of them twice, and some addresses without one.
    void learn() {
        w_.saw("learns");
        std::vector<ice::address> learnt;
        for (auto n = w_.options.below(6); n != 0; --n)
            learnt.emplace_back(fmt::format("10.0.0.{}", w_.options.between(1, 8)), 7);
        learn(learnt);
    }
    // Those of the action stay, and the one in use, which is still that one.
    void learn(const std::vector<ice::address>& learnt) {
        std::vector<ice::address> all = configured_;
        const auto add = [&](const ice::address& a) {
            if (std::ranges::find(all, a) == all.end()) all.push_back(a);
        };
        const ice::address before = link_->where();
        const bool waits = link_->state() == ice::link_state::waiting;
        if (!waits) add(before);
        for (const ice::address& a : learnt) add(a);
        link_->learn_addresses(learnt);
        w_.check(link_->addresses() == all, "a link has other addresses than it has learnt");
        w_.check(waits || link_->where() == before, "a link has forgotten where it is connected");
    }
    void leave() {
        w_.saw("reconnects");
        if (link_->is_connected()) asked_.insert(opened_);
        link_->reconnect();
    }
    const ice::address& next_address() const {
        const auto& all = link_->addresses();
        const auto here = std::ranges::find(all, link_->where());
        return here + 1 == all.end() ? all.front() : *(here + 1);
    }

    ice::task<> crash() {
        const test::counted here(w_.spawned);
        ++crashes_;
        co_await w_.sim.net()->sleep(w_.chance.below(5s));
        broker& b = *brokers_[w_.chance.below(brokers_.size())];
        if (!is_over_) b.crash();
        w_.saw("crash");
        co_await w_.sim.net()->sleep(w_.chance.below(3s));
        if (!is_over_) b.start();
        --crashes_;
    }

    // When the faults are over, it is connected within the longest pauses and timeouts, and what is
    // pushed then is delivered.
    void recover() {
        w_.sim.note("calm");
        calm(w_);
        for (const auto& b : brokers_) {
            b->refuses = b->unresponsive = b->closes = b->garbage = 0;
            b->start();
        }
        waits_ = throws_ = 0;
        settle(80s);  // a broker that reads nothing for a minute, and what comes after
        run_until([&] { return link_->is_connected(); }, 20s, "a connection after the last fault");
        for (int i = 0; i < 5; ++i) {
            push();
            w_.check(refused_.empty() || refused_.back() != last_id_, "a push was refused in calm");
            settle(100ms);
            w_.check(times_delivered(last_id_) == 1, "a message that was pushed in calm is lost");
        }
        const auto& c = link_->counters();
        settle(60s);
        w_.check(link_->counters().connects == c.connects, "a connection ended in calm");
        // Its own brokers see it leave when they crash.
        for (const auto& b : brokers_) b->crash();
        settle(10ms);
        for (const auto& b : brokers_) b->start();
        run_until([&] { return link_->is_connected(); }, 20s, "another connection after a crash");
        if (learns_ > 0) walk();
    }

    // It leaves each broker for the next one, at once, and has no connection to end in between.
    void walk() {
        std::vector<ice::address> all;
        for (const auto& b : brokers_) all.push_back(b->where);
        learn(all);
        for (std::size_t i = 0; i <= brokers_.size(); ++i) {
            settle(2s);  // it has lasted
            const ice::address next = next_address();
            const auto before = link_->counters();
            asked_.insert(opened_);
            link_->reconnect();
            link_->reconnect();  // no effect: it is about to
            run_until([&] { return link_->counters().connects != before.connects; }, 20s,
                      "a connection after reconnect()");
            const auto after = link_->counters();
            w_.check(link_->where() == next, "a link did not reconnect to the next address");
            w_.check(after.reconnects == before.reconnects + 1, "reconnect() is not counted once");
            w_.check(w_.sim.now() - left_ < 10ms, "a link paused before it reconnected");
        }
    }

    std::size_t times_delivered(std::uint64_t id) const {
        std::size_t n = 0;
        for (const auto& b : brokers_) n += b->delivered.count(id);
        return n;
    }

    void end() {
        is_over_ = drains_ = true;
        const bool drained = w_.does("drained", 0.5);
        if (drained) srv_->drain(1h);
        else srv_->stop();
        // link_timeouts::drain is 1 s; a loop may be late.
        w_.sim.run_until([&] { return link_->is_over(); }, 5s);
        w_.check(link_->is_over(), "a link held the end of its server");
        const auto n = link_->counters();
        settle(10s);  // closed() of the logic may wait
        w_.check(!talks_ && opened_ == closed_, "closed() was not called, or twice");
        const std::uint64_t lost = n.closed + n.broken + n.reconnects;
        w_.check(n.connects >= lost && n.connects <= lost + 1, "connections are not counted once");
        w_.check(n.reconnects <= asked_.size(), "a connection was lost as if by reconnect()");
        for (const std::uint64_t id : refused_)
            w_.check(times_delivered(id) == 0, "a message was sent that push() had refused");
        for (const std::uint64_t id : accepted_)
            w_.check(times_delivered(id) <= 1, "a message was sent twice");
        for (const auto& b : brokers_) b->crash();
        settle(3s);
        srv_.reset();
        w_.sim.run_until([&] { return w_.sim.quiescent() && w_.spawned == 0; }, 2min);
        w_.check(w_.sim.quiescent(), "something is left at the end");
    }

    template <class Condition>
    void run_until(Condition done, ice::duration timeout, const char* what) {
        const bool came = w_.sim.run_until([&] { return done() || !w_.failure.empty(); }, timeout);
        if (!w_.failure.empty()) throw std::runtime_error(w_.failure);
        if (!came) throw std::runtime_error(fmt::format("waited in vain for {}", what));
    }
    void settle(ice::duration span) {
        w_.sim.run_until([&] { return !w_.failure.empty(); }, span);
        if (!w_.failure.empty()) throw std::runtime_error(w_.failure);
    }

    world& w_;
    std::vector<std::unique_ptr<broker>> brokers_;
    std::unique_ptr<unlogged_server> srv_ = std::make_unique<unlogged_server>(w_.sim.net());
    ice::link<frames>* link_ = nullptr;
    ice::link_limits limits_;
    double waits_ = 0, throws_ = 0, learns_ = 0, leaves_ = 0;
    std::vector<ice::address> configured_;  // the addresses of the action
    std::set<std::uint64_t> asked_;  // the connections that reconnect() was to end, by opened_
    ice::time_point left_{};         // when closed() of the last one returned
    bool talks_ = false;             // between opened() and closed()
    std::int64_t next_ = 0;          // the next message of the connection
    std::uint64_t opened_ = 0, closed_ = 0;
    std::uint64_t last_id_ = 1;
    std::vector<std::uint64_t> accepted_, refused_;
    std::size_t crashes_ = 0;
    bool pushed_all_ = false, is_over_ = false, drains_ = false;
};

}  // namespace

void link(world& w) { scenario(w).run(); }

}  // namespace swarm
