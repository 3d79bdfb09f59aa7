// Listeners, and their logics, which answer, push, wait, throw and close.
#include <asio/this_coro.hpp>
#include <ice/asio.hpp>
#include <optional>

#include "stage.hpp"

namespace torture {

void stage::in_logic() {
    if (!std::exchange(ends_in_logic, false)) return;
    w.saw("end: from inside a logic");
    end();
}

void place::check_end() const {
    const auto& l = base();
    if (l.size() != 0) fail("a listener holds a connection for ever");
    const auto c = l.counters();
    const auto ended = c.closed + c.truncated + c.broken + c.bad_messages + c.timeouts +
                       c.handshakes_failed + c.ended_by_us;
    if (c.accepted - c.refused != ended || c.messages < heard) fail(l.report().front());
}

void place::count(world& w) const {
    const auto c = base().counters();
    for (const auto& [what, times] :
         {std::pair("closed", c.closed), std::pair("truncated", c.truncated),
          std::pair("broken", c.broken), std::pair("bad_messages", c.bad_messages),
          std::pair("timeouts", c.timeouts), std::pair("handshakes_failed", c.handshakes_failed),
          std::pair("logic_threw", c.logic_threw), std::pair("outbox_full", c.outbox_full),
          std::pair("ended_by_us", c.ended_by_us), std::pair("accept_errors", c.accept_errors),
          std::pair("paused", c.paused), std::pair("refused", c.refused)}) {
        if (times != 0) w.saw(fmt::format("listener: {}", what), times);
    }
}

namespace {

// How each protocol represents texts.
template <class P>
struct texts {
    static std::string_view of(std::string_view m) { return m; }
    static std::string answer(std::string text) { return text; }
};
template <>
struct texts<ice::resp_requests> {
    static std::string_view of(ice::resp_view m) { return (*m.begin()).text(); }
    static ice::resp_value answer(const std::string& text) { return ice::resp_bulk_string(text); }
};
template <class P>
using answer_of = decltype(texts<P>::answer(std::string()));

template <class P>
class typed_place final : public place {
public:
    typed_place(stage& s, bool waits) : stage_(s), waits_(waits) {}

    void open(const ice::address& at, P p, const ice::limits& l, const ice::timeouts& t) {
        receives_ = l.in_flight == 1;
        if (waits_ && !receives_) stage_.w.saw("listeners with messages in flight");
        auto action = ice::tcp_server_action{at}.protocol(std::move(p));
        if (waits_) listener_ = &add(std::move(action).logic(waiting{*this}), l, t);
        else listener_ = &add(std::move(action).logic(plain{*this}), l, t);
    }
    const ice::listener_base& base() const override { return *listener_; }
    void check_end() const override {
        place::check_end();
        if (!std::same_as<P, greeting>)
            check(listener_->counters().messages == heard, "a message did not come to its logic");
    }

private:
    template <class A>
    ice::listener<P>& add(A action, const ice::limits& l, const ice::timeouts& t) {
        return stage_.srv->add(std::move(action).limits(l).timeouts(t));
    }

    using session = ice::session<P>;
    static constexpr bool is_raw = std::same_as<P, ice::raw>;
    using made = std::conditional_t<is_raw, std::string, answer_of<P>>;

    bool does(std::string_view what, double p) { return stage_.w.does(stage_.w.inside, what, p); }
    dice& chance() { return stage_.w.inside; }

    void push(session& to, char kind, std::uint64_t about) {
        answer said{kind, ++stage_.last_push, about, chance().below(200)};
        if (to.push(texts<P>::answer(to_text(said)))) stage_.w.refused.insert(said.id);
        else stage_.w.saw("pushes");
    }

    // Actions of any logic beside its answer.
    void beside(session& peer) {
        const habits& h = ways;
        stage_.in_logic();
        if (does("logic: looks at its socket", h.looks))
            static_cast<void>(ice::socket(peer).native_handle());
        if constexpr (!is_raw) {
            if (does("logic: pushes", h.pushes)) push(peer, 'p', peer.uid().number());
            if (does("logic: broadcasts", h.broadcasts)) {
                answer said{'b', ++stage_.last_push, 0, chance().below(200)};
                listener_->broadcast(texts<P>::answer(to_text(said)));
            }
            if (!uids.empty() && does("logic: pushes to another", h.pushes_to_another)) {
                session* const other = listener_->find(uids[chance().below(uids.size())]);
                if (other) push(*other, 'p', other->uid().number());
                else stage_.w.saw("logic: the other is gone");
            }
        }
        if (does("logic: spawns", h.spawns)) peer.spawn(run_beside(peer));
        if (!uids.empty() && does("logic: closes another", h.closes_another)) {
            if (session* const other = listener_->find(uids[chance().below(uids.size())]))
                other->close();
        }
        if (does("logic: closes its session", h.closes)) peer.close();
        if (does("logic: throws", h.throws)) throw thrown();
    }

    std::optional<made> answer_to(std::string_view text, session& peer) {
        // Not to peers that count the answers.
        const bool may_be_silent = text.starts_with("q0 ") || (is_raw && text.front() == 'r');
        if (may_be_silent && does("logic: answers nothing", ways.silent)) return std::nullopt;
        if constexpr (is_raw) {
            return std::string(text);
        } else {
            if (does("logic: answers what cannot be packed", ways.unencodable))
                return texts<P>::answer(std::string(200'000, '\n'));
            const auto q = to_question(text);
            // Only a hostile peer can have sent this.
            if (!q) return texts<P>::answer("what?");
            answer said{'a', q->id, peer.uid().number(), std::min<std::size_t>(q->size, 90'000)};
            return texts<P>::answer(to_text(said));
        }
    }

    std::string heard_of(const ice::message_t<P>& m) {
        ++heard;
        stage_.w.saw("messages");
        return std::string(texts<P>::of(m));
    }

    void begins(session& peer) {
        uids.push_back(peer.uid());
        if (uids.size() > 64) uids.erase(uids.begin());
        if (does("logic: spawns in opened()", ways.spawns)) peer.spawn(run_beside(peer));
        if (does("logic: throws in opened()", ways.throws)) throw thrown();
    }
    void ends(session& peer) {
        check(spawned[peer.uid().number()] == 0, "a spawned coroutine ran until closed()");
        if (does("logic: spawns in closed()", ways.spawns)) peer.spawn(run_beside(peer));
        if constexpr (!is_raw) {
            if (does("logic: pushes in closed()", ways.pushes))
                push(peer, 'p', peer.uid().number());
        }
        if (does("logic: throws in closed()", ways.throws)) throw thrown();
    }

    struct plain {
        typed_place& me;
        std::optional<made> operator()(ice::message_t<P> m, session& peer) {
            const std::string text = me.heard_of(m);
            me.beside(peer);
            return me.answer_to(text, peer);
        }
        void opened(session& peer) { me.begins(peer); }
        void closed(session& peer, ice::error_code) { me.ends(peer); }
    };

    struct waiting {
        typed_place& me;
        ice::task<std::optional<made>> operator()(ice::message_t<P> m, session& peer) {
            std::string text = me.heard_of(m);
            me.beside(peer);
            co_await me.wait(peer);
            const double asks_back = me.receives_ ? me.ways.asks_back : 0;
            for (int more = 0; more < 3 && me.does("logic: asks back", asks_back); ++more) {
                auto answer = me.answer_to(text, peer);
                if (answer) {
                    const ice::error_code unsent = co_await peer.send(*std::move(answer));
                    if (unsent) {  // lost, or it cannot be packed: then the next is not its answer
                        peer.close();
                        co_return std::nullopt;
                    }
                }
                const auto next = co_await peer.receive();
                if (!next) co_return std::nullopt;
                text = me.heard_of(*next);
                me.beside(peer);
            }
            co_return me.answer_to(text, peer);
        }
        ice::task<> opened(session& peer) {
            me.begins(peer);
            co_await me.wait(peer);
        }
        ice::task<> closed(session& peer) {
            co_await me.wait(peer);
            me.ends(peer);
        }
    };

    // Pushes at intervals until its session ends; may ask a pool, or hold the session for a while.
    ice::task<> run_beside(session& peer) {
        const counted here(spawned[peer.uid().number()]);
        if (does("spawned: cannot be cancelled", ways.waits_long))
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        for (int times = 0; times < 20; ++times) {
            // The session's end cancels a request, which a calm world takes for a failure.
            if (!stage_.w.is_calm) co_await wait(peer);
            co_await peer.sleep(chance().below(ice::duration(5ms)));
            if constexpr (!is_raw) push(peer, 'p', peer.uid().number());
            stage_.w.saw("spawned: rounds");
        }
    }

    ice::task<> wait(session& peer) {
        const habits& h = ways;
        if (does("logic: waits", h.waits)) co_await peer.sleep(chance().below(ice::duration(3ms)));
        if (does("logic: waits long", h.waits_long))
            co_await peer.sleep(chance().below(ice::duration(30ms)));
        if (does("logic: gives way", h.yields)) co_await peer.bytes().net().yield();
        if (stage_.sources.empty()) co_return;
        auto& from = *stage_.sources[chance().below(stage_.sources.size())];
        if (does("logic: asks a pool", h.asks_a_pool)) {
            const bool replied = co_await from.ask();
            static_cast<void>(replied);
        }
        if (does("logic: leases", h.leases)) {
            const bool replied = co_await from.talk();
            static_cast<void>(replied);
        }
        if (does("logic: throws after a wait", h.throws)) throw thrown();
    }

    stage& stage_;
    bool waits_;
    bool receives_ = true;  // its logic may, as it works on one message at a time
    ice::listener<P>* listener_ = nullptr;
};

template <class P>
std::unique_ptr<place> make(stage& s, const ice::address& at, P p, bool waits, const ice::limits& l,
                            const ice::timeouts& t) {
    auto made = std::make_unique<typed_place<P>>(s, waits);
    made->open(at, std::move(p), l, t);
    return made;
}

}  // namespace

std::unique_ptr<place> make_place(stage& s, speech how, const ice::address& at, bool waits,
                                  const ice::limits& l, const ice::timeouts& t) {
    switch (how) {
        case speech::raw: return make(s, at, ice::raw{}, waits, l, t);
        case speech::line: return make(s, at, ice::line{"\r\n", 100'000}, waits, l, t);
        case speech::telnet: return make(s, at, ice::telnet{100'000}, waits, l, t);
        case speech::resp: return make(s, at, ice::resp_requests{100'000}, waits, l, t);
        case speech::greeting: return make(s, at, greeting{}, waits, l, t);
    }
    fail("no such speech");
}

}  // namespace torture
