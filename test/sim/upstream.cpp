// How an upstream replies and misbehaves.
#include "upstream.hpp"

namespace swarm {

// Bytes that arrive together. A second reply that comes after the next request was sent is one that
// no pool can tell from the right one.
bool upstream::is_one_segment(std::size_t n) const {
    auto& f = world_.sim.faults();
    return n <= f.segment && n <= f.window && f[fault::short_write] == 0;
}

// Lists a connection while it is open.
struct upstream::entry {
    entry(std::shared_ptr<channels> a, ice::channel* c) : all(std::move(a)), one(c) {
        all->push_back(c);
    }
    ~entry() { std::erase(*all, one); }
    entry(const entry&) = delete;
    entry& operator=(const entry&) = delete;

    std::shared_ptr<channels> all;
    ice::channel* one;
};

void upstream::start() {
    if (acceptor_) return;
    acceptor_ = net_->listen(where_);
    world_.sim.spawn(accept_all(acceptor_));
}

void upstream::crash() {
    if (acceptor_) acceptor_->cancel();
    acceptor_.reset();
    for (ice::channel* c : *channels_) c->cancel(ice::errc::stopped);
}

ice::task<> upstream::accept_all(std::shared_ptr<ice::acceptor> from) {
    for (;;) {
        const ice::error_code closed = co_await from->ready();
        if (closed) co_return;
        auto one = from->accept();
        if (one) world_.sim.spawn(serve(*std::move(one)));
        else co_await net_->sleep(10ms);  // whatever it is
    }
}

ice::task<> upstream::serve(std::unique_ptr<ice::channel> c) {
    const entry here(channels_, c.get());
    frames protocol;
    std::int64_t begun = -1;  // answered before all of it had come
    past done;
    if (world_.does("talks_first", ways.talks_first)) {
        c->out() += "@";
        c->try_flush();
    }
    if (world_.does("unresponsive", ways.unresponsive))
        co_await net_->sleep(world_.chance.below(60s));
    for (;;) {
        auto found = protocol.parse(c->data());
        if (found.failed()) co_return;
        auto id = id_of('q', head_of(c->data()));
        if (!found.has_message() && id >= 0 && id != begun && world_.does("early", ways.early)) {
            begun = id;
        } else if (!found.has_message()) {
            const ice::error_code over = co_await c->fill();
            if (over) co_return;
            continue;
        } else {
            c->consume(found.size());
            if (id < 0) co_return world_.fail("the upstream got what nobody sent");
            if (id == begun) continue;
        }
        const bool goes_on = co_await answer(*c, static_cast<std::uint64_t>(id), done);
        if (!goes_on) co_return;
    }
}

void upstream::lie(std::uint64_t id, past& done) {
    done.lied = true;
    if (id >= lied_.size()) lied_.resize(id + 1);
    lied_[id] = true;
}

ice::task<bool> upstream::answer(ice::channel& c, std::uint64_t id, past& done) {
    if (id >= executed_.size()) executed_.resize(id + 1);
    ++executed_[id];
    if (done.lied) lie(id, done);
    world_.sim.note("executed", id);
    const bool late = world_.does("late", ways.late);
    const ice::duration work = world_.chance.below(late ? ice::duration(10s) : ways.service);
    if (work != ice::duration::zero()) co_await net_->sleep(work);
    if (c.cancelled()) co_return false;
    done.dumb = done.dumb || world_.does("dumb", ways.dumb);
    if (done.dumb || world_.does("silent", ways.silent)) co_return true;
    if (world_.does("hangs_up", ways.hangs_up)) co_return false;
    frames protocol;
    std::string reply;
    protocol.packet(text_of('a', id, world_.chance.below(world_.chance.hit(0.1) ? 3000 : 30)),
                    reply);
    bool goes_on = !world_.does("closes", ways.closes);
    if (world_.does("truncated", ways.truncated)) {
        reply.resize(world_.chance.below(reply.size()));
        goes_on = false;
    } else if (world_.does("wrong_length", ways.wrong_length)) {
        reply = "9" + reply;
    } else if (world_.does("garbage", ways.garbage)) {
        reply = "@@@@";
    } else if (world_.does("extra", ways.extra)) {
        reply += "@";
    } else if (is_one_segment(2 * reply.size()) && world_.does("duplicate", ways.duplicate)) {
        reply += reply;
        lie(id, done);
    } else if (world_.does("unasked", ways.unasked)) {
        lie(id, done);
        c.out() += reply;
        const ice::error_code lost = co_await c.flush(60s, ice::never, ice::errc::write_timeout);
        if (lost) co_return false;
        co_await net_->sleep(world_.chance.below(20ms));
        if (c.cancelled()) co_return false;
    }
    c.out() += reply;
    const ice::error_code lost = co_await c.flush(60s, ice::never, ice::errc::write_timeout);
    co_return goes_on && !lost;
}

}  // namespace swarm
