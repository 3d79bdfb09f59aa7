// How an upstream replies and misbehaves.
#include "upstream.hpp"

#include <unistd.h>

#include <algorithm>

namespace torture {

struct upstream::connection {
    raw_socket socket;
    std::string in{}, out{};
    std::chrono::steady_clock::time_point sends_at{};  // not before
    bool greeted = true, is_unresponsive = false, is_over = false;
    bool is_idle() const { return in.empty() && out.empty(); }
    enum class end { none, close, reset, half_close } then = end::none;  // when all is sent
};

upstream::upstream(world& w, speech s, const std::string& path, const manners& m)
    : w_(w), speech_(s), path_(path), ways_(m),
      door_(path.empty() ? door_to(std::uint16_t{0}) : door_to(path)) {
    listen();
    check(listening_.is_open(), "no upstream can be made");
    if (path.empty()) door_ = door_to(listening_.port());
}

upstream::~upstream() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

void upstream::listen() { listening_ = raw_socket::listen(door_, ways_.accepts_slowly ? 0 : 64); }

void upstream::die() {
    for (auto& c : open_) c->socket.reset();
    open_.clear();
    listening_.close();
    if (!path_.empty()) ::unlink(path_.c_str());
    back_at_ = now() + w_.outside.below(ice::duration(10ms));
}

std::string upstream::where() const {
    return path_.empty() ? fmt::format("127.0.0.1:{}", door_.port()) : "unix:" + path_;
}

unsigned upstream::executed(std::uint64_t id) const {
    const auto found = executed_.find(id);
    return found == executed_.end() ? 0 : found->second;
}

void upstream::act() {
    if (!listening_.is_open()) {
        if (now() >= back_at_) listen();
        return;
    }
    if (w_.does(w_.outside, "upstream: dies", ways_.dies)) return die();
    if (w_.outside.hit(ways_.accepts_slowly ? 0.01 : 0.5)) accept();
    if (open_.empty()) return;
    connection& c = *open_[w_.outside.below(open_.size())];
    const bool replies = !c.out.empty();
    serve(c);
    // Only if several are idle: otherwise a pool never has more than one idle connection.
    const auto idle =
        std::count_if(open_.begin(), open_.end(), [](const auto& each) { return each->is_idle(); });
    if (replies && c.is_idle() && idle > 1 &&
        w_.does(w_.outside, "upstream: hangs up", ways_.hangs_up)) {
        for (auto& each : open_) each->is_over = each->is_over || each->is_idle();
    }
    std::erase_if(open_, [](const auto& each) { return each->is_over; });
}

void upstream::accept() {
    raw_socket made = listening_.accept();
    if (!made.is_open()) return;
    auto& by = w_.outside;
    if (w_.does(by, "upstream: closes at once", ways_.closes_at_once)) return;
    if (w_.does(by, "upstream: resets at once", ways_.resets_at_once)) return made.reset();
    auto c = std::make_unique<connection>(connection{.socket = std::move(made)});
    if (w_.does(by, "upstream: talks first", ways_.talks_first)) c->out = "what?\r\n";
    // A pool that takes these bytes for a reply must not get the real one behind them.
    c->is_unresponsive =
        !c->out.empty() || w_.does(by, "upstream: never reads", ways_.unresponsive);
    c->greeted = speech_ != speech::greeting;
    open_.push_back(std::move(c));
}

void upstream::serve(connection& c) {
    auto& by = w_.outside;
    if (!c.out.empty() && now() >= c.sends_at) {
        const std::size_t n = by.hit(ways_.in_pieces) ? by.between(1, c.out.size()) : c.out.size();
        const long sent = c.socket.send(std::string_view(c.out).substr(0, n));
        if (sent < 0) c.is_over = true;
        else c.out.erase(0, static_cast<std::size_t>(sent));
    }
    if (c.out.empty() && c.then != connection::end::none) {
        if (c.then == connection::end::reset) c.socket.reset();
        if (c.then == connection::end::half_close) c.socket.half_close();
        c.is_over = c.then != connection::end::half_close;
        c.then = connection::end::none;
    }
    if (c.is_unresponsive || c.is_over || c.then != connection::end::none) return;
    const auto how = c.socket.receive(c.in, by.between(1, 4096));
    if (how == raw_socket::progress::done) take_requests(c);
    if (how == raw_socket::progress::ended) c.is_over = true;
}

void upstream::take_requests(connection& c) {
    while (c.then == connection::end::none && !c.is_unresponsive) {
        if (speech_ == speech::resp && c.in.starts_with("*1\r\n")) c.in.erase(0, 4);
        const auto text = take_text(speech_, c.in);
        if (!text) return;
        if (!c.greeted) {
            check(*text == "hello", "a pool does not greet");
            c.greeted = true;
            c.out += "welcome\r\n";
            continue;
        }
        const auto q = to_question(*text);
        check(q.has_value(), "a request that is none");
        // 0: a health check
        if (q->id != 0 && ++executed_[q->id] > 1)
            fail(fmt::format("request {} was sent twice", q->id));
        w_.saw("requests");
        note("  upstream has request", static_cast<long>(q->id));
        reply(c, *q);
    }
}

void upstream::reply(connection& c, const question& q) {
    auto& by = w_.outside;
    // It sends no later reply either: where callers share a connection, that would count as this
    // one.
    if (w_.does(by, "upstream: never replies", ways_.silent)) {
        c.is_unresponsive = true;
        return;
    }
    if (w_.does(by, "upstream: replies late", ways_.late))
        c.sends_at = now() + by.below(ice::duration(40ms));
    if (w_.does(by, "upstream: replies with garbage", ways_.garbage)) {
        c.out += "no answer\r\n";
        return;
    }
    if (w_.does(by, "upstream: replies without an end", ways_.too_long)) {
        c.out.append(200'000, '+');
        c.is_unresponsive = true;
        return;
    }
    std::string text;
    pack_text(speech_, to_text(answer{'a', q.id, 0, q.size}), text);
    // The second reply arrives together with the first: later, it would be the reply to the next
    // request.
    const bool alone = c.out.empty() && c.in.empty() && text.size() < 500;
    if (alone && now() >= c.sends_at && c.socket.all_arrived() &&
        w_.does(by, "upstream: replies twice", ways_.twice)) {
        const long sent = c.socket.send(text + text);
        if (sent != static_cast<long>(2 * text.size())) c.is_over = true;
        return;
    }
    if (w_.does(by, "upstream: replies with a part", ways_.cut)) {
        text.resize(by.below(text.size()));
        c.then = by.hit(0.5) ? connection::end::close : connection::end::reset;
    } else if (w_.does(by, "upstream: resets behind the reply", ways_.resets)) {
        c.then = connection::end::reset;
    } else if (w_.does(by, "upstream: closes behind the reply", ways_.closes)) {
        c.then = connection::end::close;
    } else if (w_.does(by, "upstream: half-closes", ways_.half_closes)) {
        c.then = connection::end::half_close;
    }
    c.out += text;
    if (w_.does(by, "upstream: urgent data", ways_.urgent)) c.socket.send_urgent('!');
}

}  // namespace torture
