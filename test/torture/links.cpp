// Links, and their logics, which check that each message comes once and in order.
#include <algorithm>
#include <asio/steady_timer.hpp>
#include <ice/asio.hpp>
#include <ice/link.hpp>

#include "stage.hpp"

namespace torture {
namespace {

template <class P>
class typed_feed final : public feed {
    using session = ice::session<P>;

public:
    typed_feed(stage& s, std::vector<broker*> brokers, std::string name, P p)
        : stage_(s), w_(s.w), brokers_(std::move(brokers)) {
        auto& c = w_.chance;
        ice::link_limits l;
        l.message = c.hit(0.3) && !w_.is_calm ? c.between(50, 1000) : 1024 * 1024;
        l.outbox = c.hit(0.5) ? c.between(w_.is_calm ? 300 : 0, 3000) : 1024 * 1024;
        l.queue = c.hit(0.5) ? c.between(1, 10) : 0;
        l.in_flight = c.hit(0.3) ? c.between(2, 8) : 1;
        ice::link_timeouts t;
        t.drain = w_.is_calm ? 5s : std::chrono::milliseconds(c.between(1, 30));
        if (!w_.is_calm) {
            for (auto* const one : {&t.connect, &t.handshake, &t.message, &t.write, &t.logic}) {
                if (c.hit(0.5)) *one = std::chrono::milliseconds(c.between(1, c.hit(0.5) ? 5 : 50));
            }
        }
        const auto most = std::chrono::milliseconds(c.below(10));
        const auto beat = w_.is_calm ? 5s : std::chrono::milliseconds(c.between(1, 10));
        if (c.hit(0.5)) waits_ = static_cast<double>(c.between(1, 40)) / 100;
        if (!w_.is_calm && c.hit(0.3)) throws_ = static_cast<double>(c.between(1, 20)) / 100;
        if (!w_.is_calm && c.hit(0.5)) closes_ = 0.05;
        auto action = ice::tcp_link_action<P>{ice::address(brokers_[0]->where()), std::move(name)}
                          .protocol(std::move(p))
                          .limits(l)
                          .timeouts(t)
                          .backoff({.first = most, .cap = most})
                          .heartbeat(to_text(answer{'h', 0, 0, 0}), beat);
        if (c.hit(0.5)) link_ = &s.srv->add(std::move(action).logic(waiting{*this}));
        else link_ = &s.srv->add(std::move(action).logic(plain{*this}));
    }

    const ice::link_base& base() const override { return *link_; }

    ice::task<> use() override {
        const counted here(in_use_);
        if (w_.does(w_.inside, "link: waits until it is connected", w_.is_calm ? 1 : 0.1)) {
            const ice::error_code ended = co_await link_->connected();
            if (ended) co_return;
        }
        for (auto n = w_.inside.between(1, 40); n != 0 && !w_.has_begun_to_end; --n) {
            for (auto burst = w_.inside.below(4); burst != 0; --burst) push();
            if (w_.does(w_.inside, "link: learns addresses", 0.1)) learn();
            if (w_.does(w_.inside, "link: is to reconnect", closes_)) link_->reconnect();
            asio::steady_timer timer(stage_.srv->executor(), w_.inside.below(ice::duration(1ms)));
            co_await timer.async_wait(asio::use_awaitable);
        }
    }

    void check_end(bool has_drained) const override {
        check(in_use_ == 0, "a caller of a link is left");
        check(!is_open_ && spawned_ == 0 && opened_ == closed_, "a session of a link is left");
        const auto c = link_->counters();
        const auto ended = c.closed + c.broken + c.reconnects;
        if (!link_->is_over() || c.connects < ended || c.connects > ended + 1)
            fail(link_->report());
        if (!w_.is_calm || !has_drained) return;
        check(ended == 0, "a link lost its connection in a calm world");
        for (const std::uint64_t id : pushed_) check(has(id), "a push is lost in a calm world");
    }

private:
    bool does(std::string_view what, double p) { return w_.does(w_.inside, what, p); }
    bool has(std::uint64_t id) const {
        return std::ranges::any_of(brokers_, [&](broker* b) { return b->has(id); });
    }

    void push() {
        const answer said{'s', ++stage_.last_push, 0, w_.inside.below(200)};
        const bool is_up = link_->is_connected();
        if (const ice::error_code refused = link_->push(to_text(said))) {
            w_.refused.insert(said.id);
            if (is_up) return check(refused != ice::errc::not_connected, "it is connected");
            check(!w_.is_calm || w_.has_begun_to_end || refused == ice::errc::not_connected,
                  "another refusal while not connected");
            return;
        }
        pushed_.push_back(said.id);
        w_.saw(is_up ? "link: pushes" : "link: queues a push");
    }
    // A part of the brokers: the others leave the link, except the first.
    void learn() {
        std::vector<ice::address> some;
        for (auto n = w_.inside.below(3); n != 0; --n)
            some.emplace_back(brokers_[w_.inside.below(brokers_.size())]->where());
        link_->learn_addresses(some);
    }

    void begins(session& peer) {
        check(!std::exchange(is_open_, true), "a link has two connections");
        ++opened_;
        connection_ = last_ = 0;
        is_garbled_ = false;
        const answer first{'o', ++stage_.last_push, 0, 0};
        if (peer.push(to_text(first))) w_.refused.insert(first.id);
        if (does("link: spawns", waits_)) peer.spawn(run_beside(peer));
        if (does("link: throws in opened()", throws_)) throw thrown();
    }
    void hears(std::string_view text, session& peer) {
        stage_.in_logic();
        check(is_open_, "a message behind closed()");
        w_.saw("messages of links");
        const auto a = to_answer(text);
        if (!a) {
            check(is_garbling(), "a message that is none");
            is_garbled_ = true;  // an urgent byte has come before a message, perhaps
        } else {
            if (connection_ == 0) connection_ = a->session;
            check(a->kind == 'm' && a->session == connection_, "a message of another connection");
            check(is_garbled_ ? a->id > last_ : a->id == last_ + 1,
                  "a message is missing, or comes twice");
            last_ = a->id;
        }
        if (does("link: looks at its socket", waits_))
            static_cast<void>(ice::socket(peer).native_handle());
        if (does("link: its logic closes", closes_)) peer.close();
        if (does("link: throws", throws_)) throw thrown();
    }
    void ends(session& peer, ice::error_code why) {
        check(is_open_ && spawned_ == 0, "closed() of a link without opened(), or too early");
        is_open_ = false;
        ++closed_;
        check(!w_.is_calm || w_.has_begun_to_end, why.message());
        const answer last{'s', ++stage_.last_push, 0, 0};
        if (peer.push(to_text(last))) w_.refused.insert(last.id);
        if (does("link: throws in closed()", throws_)) throw thrown();
    }
    bool is_garbling() const {
        return std::ranges::any_of(brokers_, [](broker* b) { return b->is_garbling(); });
    }

    struct plain {
        typed_feed& me;
        void operator()(std::string_view m, session& peer) { me.hears(m, peer); }
        void opened(session& peer) { me.begins(peer); }
        void closed(session& peer, ice::error_code why) { me.ends(peer, why); }
    };
    struct waiting {
        typed_feed& me;
        ice::task<> operator()(std::string_view m, session& peer) {
            me.hears(m, peer);
            co_await me.wait(peer);
        }
        ice::task<> opened(session& peer) {
            me.begins(peer);
            co_await me.wait(peer);
        }
        // It may be cancelled where it waits.
        ice::task<> closed(session& peer, ice::error_code why) {
            me.ends(peer, why);
            co_await me.wait(peer);
        }
    };

    ice::task<> wait(session& peer) {
        if (does("link: waits", waits_)) co_await peer.sleep(w_.inside.below(ice::duration(3ms)));
        if (does("link: throws after a wait", throws_)) throw thrown();
    }
    ice::task<> run_beside(session& peer) {
        const counted here(spawned_);
        for (int times = 0; times < 20; ++times)
            co_await peer.sleep(w_.inside.below(ice::duration(5ms)));
    }

    stage& stage_;
    world& w_;
    std::vector<broker*> brokers_;
    ice::link<P>* link_;
    std::vector<std::uint64_t> pushed_;
    bool is_open_ = false;  // between opened() and closed()
    bool is_garbled_ = false;
    std::uint64_t connection_ = 0, last_ = 0;  // of its messages
    std::uint64_t opened_ = 0, closed_ = 0;
    std::size_t in_use_ = 0, spawned_ = 0;
    double waits_ = 0, throws_ = 0, closes_ = 0;
};

}  // namespace

void feed::count(world& w) const {
    const auto c = base().counters();
    for (const auto& [what, times] :
         {std::pair("connects", c.connects), std::pair("connect_failures", c.connect_failures),
          std::pair("closed", c.closed), std::pair("broken", c.broken),
          std::pair("reconnects", c.reconnects), std::pair("heartbeats", c.heartbeats),
          std::pair("heartbeats_lost", c.heartbeats_lost), std::pair("logic_threw", c.logic_threw),
          std::pair("outbox_full", c.outbox_full), std::pair("not_connected", c.not_connected),
          std::pair("queued", c.queued)}) {
        if (times != 0) w.saw(fmt::format("link: {}", what), times);
    }
}

std::unique_ptr<feed> make_feed(stage& s, speech how, std::vector<broker*> brokers,
                                std::string name) {
    if (how == speech::greeting)
        return std::make_unique<typed_feed<greeting>>(s, std::move(brokers), std::move(name),
                                                      greeting{});
    return std::make_unique<typed_feed<ice::line>>(s, std::move(brokers), std::move(name),
                                                   ice::line{"\r\n", 100'000});
}

}  // namespace torture
