// forwarder: a listener whose logic is ice::forward(). Its peers check that each answer is the
// reply to their own question, or says that there is none. This checks what the failures say.
#pragma once

#include <ice/forward.hpp>

#include "stage.hpp"

namespace torture {

// How a listener with forward() reads its messages, and makes an answer.
template <class P>
struct forwarded_texts {
    static std::string_view of(std::string_view m) { return m; }
    static std::string answer(std::string text) { return text; }
};
template <>
struct forwarded_texts<ice::resp_requests> {
    static std::string_view of(ice::resp_view m) { return (*m.begin()).text(); }
    static ice::resp_value answer(const std::string& text) { return ice::resp_bulk_string(text); }
};

// P is the protocol of the listener, Q that of the pool.
template <class P, class Q>
class forwarder final : public place {
    using texts = forwarded_texts<P>;
    using message = ice::message_t<P>;
    using answer_type = decltype(texts::answer(std::string()));

public:
    forwarder(stage& s, const source& from, ice::pool<Q>& to, const ice::address& at, P p,
              const ice::limits& l, const ice::timeouts& t)
        : stage_(s), from_(from) {
        auto failed = [this](const ice::failure& why, const message& m) {
            return answer_to_failed(why, m);
        };
        auto instead = [this](const message& m) { return instead_of_reply(m); };
        auto action = ice::tcp_server_action{at}.protocol(std::move(p)).limits(l).timeouts(t);
        listener_ = &s.srv->add(std::move(action).logic(ice::forward(to, failed, instead)));
    }

    const ice::listener_base& base() const override { return *listener_; }
    void check_end() const override {
        place::check_end();
        if (!std::same_as<P, greeting>)
            check(listener_->counters().messages == heard, "a message was not forwarded");
    }

private:
    std::optional<answer_type> instead_of_reply(const message& m) {
        ++heard;
        auto& w = stage_.w;
        w.saw("messages");
        stage_.in_logic();
        if (w.does(w.inside, "forward: throws", ways.throws)) throw thrown();
        const auto q = to_question(texts::of(m));
        if (!q) {  // only a hostile peer can have sent this
            w.saw("forward: answers itself");
            return texts::answer("what?");
        }
        return std::nullopt;
    }

    answer_type answer_to_failed(const ice::failure& why, const message& m) {
        auto& w = stage_.w;
        w.saw("forward: has no reply");
        const auto q = to_question(texts::of(m));
        check(q.has_value(), "a message of forward() is another when its request has failed");
        from_.judge(w, *q, why.code(), why.may_have_been_executed());
        if (w.does(w.inside, "forward: throws without a reply", ways.throws)) throw thrown();
        return texts::answer(to_text(answer{'f', q->id, 0, 0}));
    }

    stage& stage_;
    const source& from_;
    ice::listener<P>* listener_ = nullptr;
};

}  // namespace torture
