// Pools and their callers, which check that each reply is the one to their request.
#include "forwarder.hpp"

namespace torture {
namespace {

template <class P>
struct requests {
    using served = P;  // the protocol of a listener whose messages are such requests
    static std::string of(const question& q) { return to_text(q); }
    static std::string text(std::string_view reply) { return std::string(reply); }
    static P make_served() {
        if constexpr (std::same_as<P, greeting>) return {};
        else return P("\r\n", 100'000);
    }
};
template <>
struct requests<ice::resp> {
    using served = ice::resp_requests;
    static ice::resp_value of(const question& q) { return ice::resp_command(to_text(q)); }
    static std::string text(ice::resp_view reply) { return std::string(reply.text()); }
    static served make_served() { return served(100'000); }
};

template <class P>
class typed_source final : public source {
public:
    typed_source(stage& s, upstream& u, const std::string& name, std::size_t size, P p)
        : stage_(s), w_(s.w) {
        up = &u;
        auto& c = w_.chance;
        auto action = ice::tcp_client_action<P>{ice::address(u.where()), name, size, std::move(p)};
        ice::pool_limits l;
        l.max_waiters = c.hit(0.3) && !w_.is_calm ? c.below(4) : 1024;
        l.message = c.hit(0.3) && !w_.is_calm ? c.between(50, 1000) : 1024 * 1024;
        l.min_connections = c.below(size + 1);
        l.preconnect = c.hit(0.5) ? c.below(size + 1) : ice::unlimited;
        if (c.hit(0.3)) l.pipeline = c.between(2, 8);
        ice::pool_timeouts t;
        t.request = t.acquire = 5s;  // of a forwarded request: a calm world has no failures
        if (!w_.is_calm) {
            for (auto* const one : {&t.connect, &t.handshake, &t.acquire, &t.request, &t.idle,
                                    &t.retry_interval, &t.check, &t.max_lifetime}) {
                if (c.hit(0.5)) *one = std::chrono::milliseconds(c.between(1, c.hit(0.5) ? 5 : 50));
            }
        }
        ice::backoff_limits b;
        b.first = b.cap = std::chrono::milliseconds(c.below(10));
        ice::breaker_limits breaks;
        breaks.failures = c.hit(0.5) ? c.between(1, 5) : ice::unlimited;
        breaks.first = std::chrono::milliseconds(c.below(10));
        auto ready = std::move(action).limits(l).timeouts(t).backoff(b).breaker(breaks);
        if (!w_.is_calm && c.hit(0.5)) {
            const auto every = std::chrono::milliseconds(c.between(1, 10));
            std::move(ready).health_check(requests<P>::of({0, 1}), every);
        }
        pool_ = &stage_.srv->add(std::move(ready));
        if (l.pipeline > 1) up->never_replies_twice();
    }

    ice::pool_base& base() override { return *pool_; }

    ice::task<bool> ask() override {
        const counted here(in_flight);
        const question q = next();
        const bool is_short = !w_.is_calm && w_.inside.hit(0.3);
        const ice::duration timeout = is_short ? w_.inside.below(ice::duration(20ms)) : 5s;
        auto message = requests<P>::of(q);
        const auto reply = co_await pool_->request(std::move(message), timeout);
        if (reply) {
            ++replies;
            judge(q, requests<P>::text(*reply));
            co_return true;
        }
        source::judge(w_, q, reply.error(), reply.failure().may_have_been_executed());
        co_return false;
    }

    std::unique_ptr<place> make_forwarder(const ice::address& at, const ice::limits& l,
                                          const ice::timeouts& t) override {
        is_forwarded_to = true;
        using made = forwarder<typename requests<P>::served, P>;
        return std::make_unique<made>(stage_, *this, *pool_, at, requests<P>::make_served(), l, t);
    }

    ice::task<bool> talk() override {
        const counted here(in_flight);
        const ice::duration timeout = w_.is_calm ? 5s : 30ms;
        auto lent = co_await pool_->acquire(timeout);
        if (!lent) {
            w_.saw("lease: none");
            co_return false;
        }
        auto& peer = **lent;
        if (++leases % 4 != 0) lent->keep();  // the others close their connections
        // A second reply to the first request would count as the reply to the second.
        for (auto n = w_.inside.between(0, up->may_reply_twice() ? 1 : 3); n != 0; --n) {
            const question q = next();
            auto message = requests<P>::of(q);
            const ice::error_code unsent = co_await peer.send(std::move(message));
            if (unsent) co_return false;
            if (w_.does(w_.inside, "lease: leaves without the reply", w_.is_calm ? 0 : 0.1))
                co_return false;
            if (w_.does(w_.inside, "lease: throws", w_.is_calm ? 0 : 0.05)) throw thrown();
            const auto reply = co_await peer.receive();
            if (!reply) co_return false;
            judge(q, requests<P>::text(*reply));
            w_.saw("lease: replies");
            if (w_.does(w_.inside, "lease: waits", 0.1))
                co_await peer.sleep(w_.inside.below(ice::duration(5ms)));
        }
        co_return true;
    }

private:
    question next() {
        const auto kind = w_.inside.below(10);
        note("request", static_cast<long>(w_.last_request + 1));
        return {++w_.last_request, w_.inside.below(kind < 6 ? 40 : kind < 9 ? 2000 : 20'000)};
    }

    void judge(const question& q, const std::string& text) {
        w_.saw("replies");
        const auto a = to_answer(text);
        if (!a) {
            if (up->is_garbling()) return;
            fail(fmt::format("a reply that is none: {}", ice::escaped(text, 60)));
        }
        if (a->kind != 'a' || a->id != q.id || a->size != q.size)
            fail(fmt::format("the reply to {} came to the caller of {}", a->id, q.id));
        check(up->executed(q.id) == 1, "a reply to what was not executed");
    }

    stage& stage_;
    world& w_;
    ice::pool<P>* pool_;
};

}  // namespace

void source::judge(world& w, const question& q, ice::error_code why, bool perhaps) const {
    w.saw(fmt::format("request: {}", why.message()));
    // Aborted: the peer of a logic with several messages in flight has reset its connection.
    const bool is_aborted = why == asio::error::operation_aborted;
    if (w.is_calm && !w.has_begun_to_end && !is_aborted)
        fail(fmt::format("a request failed in a calm world: {}", why.message()));
    check(perhaps || up->executed(q.id) == 0, "a request was executed that says it was not");
}

void source::check_end() {
    auto& p = base();
    const auto& c = p.counters();
    check(in_flight == 0, "a caller waits for ever");
    // Nobody tells of the reply to a forwarded request.
    const bool has_replies = is_forwarded_to ? c.replies >= replies : c.replies == replies;
    const auto ended = c.replies + c.timeouts + c.failures + c.refused + leases;
    if (p.busy() != 0 || p.waiting() != 0 || p.state().open() != 0 || !has_replies ||
        c.requests != ended)
        fail(p.report());
}

void source::count(world& w) {
    const auto& c = base().counters();
    for (const auto& [what, times] :
         {std::pair("timeouts", c.timeouts), std::pair("closed", c.closed),
          std::pair("truncated", c.truncated), std::pair("bad_replies", c.bad_replies),
          std::pair("waited", c.waited), std::pair("refused", c.refused),
          std::pair("retries", c.retries), std::pair("breaker_open", c.breaker_open),
          std::pair("connect_failures", c.connect_failures), std::pair("returned", c.returned),
          std::pair("discarded", c.discarded), std::pair("stale", c.stale),
          std::pair("expired", c.expired), std::pair("aged", c.aged), std::pair("checks", c.checks),
          std::pair("checks_failed", c.checks_failed)}) {
        if (times != 0) w.saw(fmt::format("pool: {}", what), times);
    }
}

std::unique_ptr<source> make_source(stage& s, speech how, upstream& up, const std::string& name) {
    const std::size_t size = s.w.chance.between(1, 4);
    switch (how) {
        case speech::resp:
            return std::make_unique<typed_source<ice::resp>>(s, up, name, size, ice::resp{});
        case speech::greeting:
            return std::make_unique<typed_source<greeting>>(s, up, name, size, greeting{});
        default:
            return std::make_unique<typed_source<ice::line>>(s, up, name, size,
                                                             ice::line{"\r\n", 100'000});
    }
}

}  // namespace torture
