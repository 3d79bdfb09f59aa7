// What a broker sends, and what it checks of the pushes that arrive.
#include "broker.hpp"

#include <unistd.h>

namespace torture {
namespace {

std::uint64_t connections = 0;  // of all brokers

}  // namespace

struct broker::connection {
    raw_socket socket;
    std::uint64_t number = ++connections;
    std::string in{}, out{};
    std::chrono::steady_clock::time_point goes_on{};
    std::uint64_t sent = 0, last = 0;  // messages; the last push that came
    bool greeted = true, subscribed = false;
    bool says_nothing = false, never_reads = false, has_half_closed = false, is_over = false;
};

broker::broker(world& w, speech s, const std::string& path, const broker_manners& m)
    : w_(w), speech_(s), path_(path), ways_(m),
      door_(path.empty() ? door_to(std::uint16_t{0}) : door_to(path)) {
    listen();
    check(listening_.is_open(), "no broker can be made");
    if (path.empty()) door_ = door_to(listening_.port());
}

broker::~broker() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

void broker::listen() { listening_ = raw_socket::listen(door_, 64); }

void broker::die() {
    for (auto& c : open_) c->socket.reset();
    open_.clear();
    listening_.close();
    if (!path_.empty()) ::unlink(path_.c_str());
    back_at_ = now() + w_.outside.below(ice::duration(10ms));
}

std::string broker::where() const {
    return path_.empty() ? fmt::format("127.0.0.1:{}", door_.port()) : "unix:" + path_;
}

void broker::act() {
    if (!listening_.is_open()) {
        if (now() >= back_at_) listen();
        return;
    }
    if (w_.does(w_.outside, "broker: dies", ways_.dies)) return die();
    if (w_.outside.hit(0.5)) accept();
    if (open_.empty()) return;
    serve(*open_[w_.outside.below(open_.size())]);
    std::erase_if(open_, [](const auto& each) { return each->is_over; });
}

void broker::accept() {
    raw_socket made = listening_.accept();
    if (!made.is_open()) return;
    auto& by = w_.outside;
    if (w_.does(by, "broker: closes at once", ways_.closes_at_once)) return;
    if (w_.does(by, "broker: resets at once", ways_.resets_at_once)) return made.reset();
    auto c = std::make_unique<connection>(connection{.socket = std::move(made)});
    c->says_nothing = w_.does(by, "broker: says nothing", ways_.says_nothing);
    c->never_reads = w_.does(by, "broker: never reads", ways_.never_reads);
    c->greeted = speech_ != speech::greeting;
    open_.push_back(std::move(c));
}

void broker::serve(connection& c) {
    auto& by = w_.outside;
    if (now() < c.goes_on) return;
    if (!c.out.empty()) {
        const std::size_t n = by.hit(ways_.in_pieces) ? by.between(1, c.out.size()) : c.out.size();
        const long sent = c.socket.send(std::string_view(c.out).substr(0, n));
        if (sent < 0) c.is_over = true;
        else c.out.erase(0, static_cast<std::size_t>(sent));
    }
    if (!c.is_over) misbehave(c);
    if (c.is_over || c.never_reads) return;
    receive(c);
    const bool may_send = c.subscribed && !c.says_nothing && !c.has_half_closed;
    if (may_send && c.out.size() < 10'000 && !w_.is_ending && by.hit(ways_.sends)) send_message(c);
}

// A message that was begun is sent to its end, so that a link sees the end between messages, too.
void broker::misbehave(connection& c) {
    auto& by = w_.outside;
    if (w_.does(by, "broker: stalls", ways_.stalls))
        c.goes_on = now() + by.below(ice::duration(20ms));
    if (w_.does(by, "broker: sends urgent data", ways_.urgent)) c.socket.send_urgent('!');
    if (w_.does(by, "broker: sends garbage", ways_.garbage)) c.out += "no message\r\n";
    if (w_.does(by, "broker: sends no end", ways_.too_long)) {
        c.out.append(200'000, '+');
        c.says_nothing = true;
    }
    if (!c.has_half_closed && w_.does(by, "broker: half-closes", ways_.half_closes)) {
        c.socket.half_close();
        c.has_half_closed = true;
        c.out.clear();
    }
    if (w_.does(by, "broker: resets", ways_.resets)) c.socket.reset();
    else if (!w_.does(by, "broker: closes", ways_.closes)) return;
    c.is_over = true;
}

void broker::receive(connection& c) {
    const auto how = c.socket.receive(c.in, w_.outside.between(1, 4096));
    if (how == raw_socket::progress::ended) c.is_over = true;
    if (how != raw_socket::progress::done) return;
    while (auto text = take_text(speech_, c.in)) take(c, *text);
}

// "o": the subscription, "s": a push, "h": a heartbeat.
void broker::take(connection& c, const std::string& text) {
    if (!c.greeted) {
        check(text == "hello", "a link does not greet");
        c.greeted = true;
        if (!c.says_nothing) c.out += "welcome\r\n";
        return;
    }
    const auto a = to_answer(text);
    check(a.has_value(), "a push that is none");
    check(c.subscribed || a->kind == 'o', "a push came before the subscription");
    if (a->kind == 'h') return w_.saw("heartbeats");
    check(got_.insert(a->id).second, "a push came twice");
    check(!w_.refused.contains(a->id), "a push came that was refused");
    if (a->kind == 'o') {
        check(!std::exchange(c.subscribed, true), "a link subscribes twice");
        return;
    }
    check(a->kind == 's' && a->id > c.last, "a push came late");
    c.last = a->id;
    w_.saw("pushes of links");
}

void broker::send_message(connection& c) {
    const auto kind = w_.outside.below(30);
    const auto size = w_.outside.below(kind < 20 ? 40 : kind < 28 ? 2000 : 20'000);
    pack_text(speech_, to_text(answer{'m', ++c.sent, c.number, size}), c.out);
    w_.saw("messages of brokers");
}

}  // namespace torture
