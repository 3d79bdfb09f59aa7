// Peers of listeners: polite ones, which check each answer, and hostile ones.
#include <algorithm>
#include <array>
#include <optional>

#include "upstream.hpp"

namespace torture {
namespace {

std::uint64_t conversations = 0;  // of raw peers: each has bytes of its own

// The base of both kinds.
class peer : public outsider {
public:
    peer(world& w, const door& d, speech s) : w_(w), door_(d), speech_(s) {
        auto& c = w.chance;
        starts_ = now() + c.below(ice::duration(10ms));
        if (c.hit(0.3)) receive_buffer_ = static_cast<int>(c.between(1, 8 * 1024));
        if (c.hit(0.2)) send_buffer_ = static_cast<int>(c.between(1, 8 * 1024));
        const std::array<std::size_t, 4> pieces{1, 50, 600, 16 * 1024};
        piece_ = pieces[c.below(4)];
    }
    bool is_gone() const override { return state_ == state::gone; }

    void act() override {
        switch (state_) {
            case state::waiting:
                if (now() < starts_) return;
                if (w_.has_begun_to_end) return leave();
                socket_ = raw_socket::connect(door_, send_buffer_, receive_buffer_);
                state_ = state::connecting;
                return;
            case state::connecting: {
                const auto how = socket_.connected();
                if (how == raw_socket::progress::done) {
                    state_ = state::established;
                    if (speech_ == speech::greeting) out_ = "hello\r\n";
                } else if (how == raw_socket::progress::ended) {
                    not_let_in();
                    leave();
                }
                return;
            }
            case state::established: return talk();
            case state::gone: return;
        }
    }

protected:
    enum class state { waiting, connecting, established, gone };

    virtual void talk() = 0;
    virtual void not_let_in() {}

    void leave() {
        socket_.close();
        state_ = state::gone;
    }
    void leave_hard() {
        socket_.reset();
        state_ = state::gone;
    }
    bool chance(double p) { return w_.outside.hit(p); }
    std::size_t a_piece() { return w_.outside.between(1, piece_); }

    // False: the connection is lost.
    bool send_some() {
        const std::size_t n = std::min(out_.size(), a_piece());
        const long sent = socket_.send(std::string_view(out_).substr(0, n));
        if (sent > 0) out_.erase(0, static_cast<std::size_t>(sent));
        return sent >= 0;
    }
    std::size_t drawn_size() {
        auto& c = w_.outside;
        const auto kind = c.below(30);
        // Reading a long answer byte by byte would take too long.
        return c.below(kind < 20 || piece_ == 1 ? 40 : kind < 28 || piece_ == 50 ? 2000 : 40'000);
    }

    world& w_;
    door door_;
    speech speech_;
    raw_socket socket_;
    state state_ = state::waiting;
    std::chrono::steady_clock::time_point starts_;
    int send_buffer_ = 0, receive_buffer_ = 0;
    std::size_t piece_;  // sent or read at once, at most
    std::string out_, in_;
};

class polite final : public peer {
public:
    polite(world& w, const door& d, speech s, const upstream* through)
        : peer(w, d, s), through_(through) {
        auto& c = w.chance;
        const std::uint64_t most =
            s != speech::raw ? 40 : std::min<std::size_t>(3000, piece_ * 100);
        total_ = c.between(1, most);
        window_ = c.between(1, most);
        half_closes_ = c.hit(0.4);
        number_ = ++conversations;
        if (s == speech::greeting) welcomed_ = false;
    }
    bool is_polite() const override { return true; }

    // On a slow machine bytes may still be in flight: then no answer is due.
    void before_drain() override {
        due_ = answered_;
        if (answered_ != 0 && out_.empty() && socket_.all_arrived()) due_ = asked_;
        if (w_.is_calm && due_ != answered_) w_.saw("polite: has asked before the end");
    }

private:
    void talk() override {
        if (w_.is_ending && !w_.is_calm && chance(0.2)) return leave();
        if (!out_.empty() && chance(0.7)) {
            if (!send_some()) return ended();
            return;
        }
        if (out_.empty() && asked_ < total_ && asked_ - answered_ < window_ && chance(0.5) &&
            !w_.has_begun_to_end)
            return ask();
        if (out_.empty() && (asked_ == total_ || w_.has_begun_to_end) && half_closes_ &&
            !half_closed_ && chance(0.5)) {
            w_.saw("polite: half-closes");
            half_closed_ = true;
            return socket_.half_close();
        }
        auto how = socket_.receive(in_, a_piece());
        for (int more = 16; how == raw_socket::progress::done && piece_ < 100 && more != 0; --more)
            how = socket_.receive(in_, a_piece());
        look();
        if (how == raw_socket::progress::ended) return ended();
        const std::uint64_t all = w_.has_begun_to_end ? asked_ : total_;
        if (answered_ != all || !out_.empty() || half_closed_) return;
        w_.saw("polite: answered to the end");
        if (chance(0.5)) return leave();
        return leave_hard();
    }

    void ask() {
        auto& c = w_.outside;
        const std::uint64_t n = c.between(1, std::min(total_ - asked_, window_));
        if (n > 1) w_.saw("polite: pipelined bursts");
        for (std::uint64_t i = 0; i < n; ++i) {
            ++asked_;
            if (speech_ == speech::raw) out_ += raw_byte(number_, asked_);
            else pack_question(speech_, next_question(), out_);
        }
    }

    // An upstream must know the questions of all peers apart.
    question next_question() {
        return questions_.emplace_back(
            question{through_ ? ++w_.last_request : asked_, drawn_size()});
    }

    void look() {
        if (speech_ == speech::raw) {
            for (const char c : in_)
                check(c == raw_byte(number_, ++answered_), "a byte came back that is not the next");
            check(answered_ <= asked_, "a byte came back that was never sent");
            in_.clear();
            return;
        }
        while (auto text = take_text(speech_, in_)) {
            if (!welcomed_) {
                check(*text == "welcome", "not the greeting");
                welcomed_ = true;
                continue;
            }
            const auto a = to_answer(*text);
            if (through_ != nullptr) {
                look_at_reply(a);
                continue;
            }
            check(a.has_value(), "an answer that is none");
            w_.saw(a->kind == 'a' ? "answers" : "pushes that arrived");
            if (a->kind == 'b') {
                check(a->id > broadcast_, "a broadcast came twice or late");
                broadcast_ = a->id;
                continue;
            }
            check(session_ == 0 || a->session == session_, "an answer of another session");
            session_ = a->session;
            if (a->kind == 'p') {
                check(a->id > pushed_, "a push came twice or late");
                check(!w_.refused.contains(a->id), "a push arrived that was refused");
                pushed_ = a->id;
                continue;
            }
            if (a->kind != 'a' || a->id != answered_ + 1)
                fail(fmt::format("{}{} of u{} came behind a{}", a->kind, a->id, a->session,
                                 answered_));
            ++answered_;
            check(a->id <= asked_ && a->size == questions_[a->id - 1].size,
                  "the answer to another question");
        }
    }

    // The reply to the oldest question, or a failure; or garbage of the upstream.
    void look_at_reply(const std::optional<answer>& a) {
        check(answered_ < asked_, "more answers than questions");
        const question& q = questions_[answered_++];
        if (!a) return check(through_->is_garbling(), "an answer that is none");
        if (a->id != q.id)
            fail(fmt::format("the reply to {} came to the asker of {}", a->id, q.id));
        if (a->kind == 'f') {
            w_.saw("forward: failures that arrived");
            return check(!w_.is_calm || w_.has_begun_to_end, "no reply in a calm world");
        }
        w_.saw("forward: replies that arrived");
        check(a->kind == 'a' && a->size == q.size, "the reply to another question");
        check(through_->executed(q.id) == 1, "a reply to what was not executed");
    }

    void ended() {
        const bool well = half_closed_ && answered_ == asked_;
        w_.saw(well ? "polite: answered to the end" : "polite: was ended");
        if (w_.is_calm) {
            const std::uint64_t due = w_.has_begun_to_end ? due_ : half_closed_ ? asked_ : total_;
            if (answered_ < due)
                fail(fmt::format("a question was not answered: {} of {}, {} asked, in a calm world",
                                 answered_, due, asked_));
            if (!w_.has_begun_to_end) check(well, "a conversation was ended before its time");
        }
        leave();
    }
    void not_let_in() override {
        w_.saw("polite: not let in");
        if (w_.is_calm) check(w_.has_begun_to_end, "nobody listens in a calm world");
    }

    std::uint64_t total_, window_, number_;
    std::uint64_t asked_ = 0, answered_ = 0, due_ = 0;  // the last of each; of raw: bytes
    std::uint64_t session_ = 0, pushed_ = 0, broadcast_ = 0;
    std::vector<question> questions_;  // that were asked; not of raw
    const upstream* through_;
    bool half_closes_, half_closed_ = false, welcomed_ = true;
};

class hostile final : public peer {
public:
    hostile(world& w, const door& d, speech s) : peer(w, d, s) {
        auto& c = w.chance;
        way_ = static_cast<way>(c.below(static_cast<std::uint64_t>(way::count)));
        dies_ = starts_ + c.below(ice::duration(30ms));
        end_ = c.below(4);
        w.saw(fmt::format("hostile: {}", name(way_)));
    }

private:
    enum class way {
        unresponsive,
        sips,
        trickles,
        silent,
        garbage,
        urgent,
        vanishes,
        floods,
        count
    };
    static std::string_view name(way h) {
        constexpr std::string_view names[] = {
            "sends and never reads", "reads a few bytes",       "sends one byte at a time",
            "says nothing",          "sends garbage",           "sends urgent data",
            "connects and vanishes", "sends too long a message"};
        return names[static_cast<std::size_t>(h)];
    }

    void talk() override {
        if (w_.is_ending || now() >= dies_) return die();
        switch (way_) {
            case way::vanishes: return die();
            case way::silent: return read_on();
            case way::unresponsive: return ask_on();
            case way::sips:
                if (chance(0.7)) return ask_on();
                return read(3000);
            case way::trickles:
                if (out_.empty()) ask();
                return send(1);
            case way::garbage:
                if (chance(0.7)) return read_on();
                for (auto n = w_.outside.below(40); n != 0; --n)
                    out_ += static_cast<char>(w_.outside.next());
                return send(out_.size());
            case way::urgent:
                if (chance(0.3)) return socket_.send_urgent('!');
                if (chance(0.5)) return read(600);
                return ask_on();
            case way::floods:
                out_.append(1000, 'x');
                send(out_.size());
                if (out_.size() > 100'000) out_.clear();
                return read_on();
            case way::count: return;
        }
    }

    void ask() {
        if (speech_ == speech::raw) out_.append(1 + drawn_size(), 'r');
        else pack_question(speech_, {0, chance(0.5) ? drawn_size() : 20'000}, out_);
    }
    void ask_on() {
        while (out_.size() < 2000) ask();
        send(out_.size());
    }
    void send(std::size_t n) {
        const long sent = socket_.send(std::string_view(out_).substr(0, n));
        if (sent < 0) return leave();
        out_.erase(0, static_cast<std::size_t>(sent));
    }
    void read(std::size_t most) {
        in_.clear();
        if (socket_.receive(in_, w_.outside.between(1, most)) == raw_socket::progress::ended)
            leave();
    }
    void read_on() {
        if (chance(0.3)) read(16 * 1024);
    }
    void die() {
        if (end_ == 0 && !w_.is_ending) {  // it waits until the server ends the conversation
            if (!half_closed_) socket_.half_close();
            half_closed_ = true;
            w_.saw("hostile: half-closes and waits");
            end_ = 3;
            dies_ = now() + 10ms;
            way_ = way::silent;
            return;
        }
        w_.saw(end_ == 1 ? "hostile: closes" : "hostile: resets");
        if (end_ == 1) return leave();
        leave_hard();
    }

    way way_;
    std::uint64_t end_;
    bool half_closed_ = false;
    std::chrono::steady_clock::time_point dies_;
};

}  // namespace

std::unique_ptr<outsider> make_polite(world& w, const door& d, speech s, const upstream* through) {
    return std::make_unique<polite>(w, d, s, through);
}
std::unique_ptr<outsider> make_hostile(world& w, const door& d, speech s) {
    return std::make_unique<hostile>(w, d, s);
}

}  // namespace torture
