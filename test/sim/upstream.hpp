// upstream: the other end of a pool, in virtual time. It replies to "q17" with "a17", and
// misbehaves at random.
#pragma once

#include <ice/testing/sim.hpp>
#include <memory>
#include <string>
#include <vector>

#include "world.hpp"

namespace swarm {

// The probability of each misbehaviour, per connection (c) or per request (r).
struct manners {
    ice::duration service = 5ms;  // from 0 to this
    double silent = 0;            // r: never answers
    double early = 0;             // r: acts on the first bytes of a long one, and answers
    double late = 0;              // r: answers after up to 10 s
    double duplicate = 0;         // r: answers twice, in one segment
    double unasked = 0;           // r: answers a second time, a moment later
    double dumb = 0;              // r: answers nothing any more on that connection
    double extra = 0;             // r: an answer and some bytes more
    double truncated = 0;         // r: a part of an answer, then the end
    double wrong_length = 0;      // r: announces more than it sends
    double garbage = 0;           // r: bytes that are no answer
    double closes = 0;            // r: answers, and ends the connection
    double hangs_up = 0;          // r: ends the connection instead of an answer
    double talks_first = 0;       // c: garbage before any request
    double unresponsive = 0;      // c: reads nothing for up to a minute
};

class upstream {
public:
    upstream(world& w, std::shared_ptr<ice::transport> net, ice::address where)
        : world_(w), net_(std::move(net)), where_(std::move(where)) {}
    ~upstream() { crash(); }
    upstream(const upstream&) = delete;
    upstream& operator=(const upstream&) = delete;

    void start();
    // As if its process were killed: pending requests get no reply.
    void crash();
    std::size_t open() const { return channels_->size(); }
    // How often request `id` was executed.
    unsigned executed(std::uint64_t id) const { return id < executed_.size() ? executed_[id] : 0U; }

    // Whether the reply to `id`, or an earlier one on its connection, was sent twice. Where only
    // the order tells replies apart, the next caller may get it.
    bool lied(std::uint64_t id) const { return id < lied_.size() && lied_[id]; }

    manners ways;

private:
    using channels = std::vector<ice::channel*>;
    struct entry;
    bool is_one_segment(std::size_t n) const;
    ice::task<> accept_all(std::shared_ptr<ice::acceptor>);
    ice::task<> serve(std::unique_ptr<ice::channel>);
    struct past {
        bool dumb = false, lied = false;
    };
    ice::task<bool> answer(ice::channel&, std::uint64_t id, past&);  // false: hang up
    void lie(std::uint64_t id, past&);

    world& world_;
    std::shared_ptr<ice::transport> net_;
    ice::address where_;
    std::shared_ptr<ice::acceptor> acceptor_;
    std::shared_ptr<channels> channels_ = std::make_shared<channels>();
    std::vector<std::uint8_t> executed_;
    std::vector<bool> lied_;
};

}  // namespace swarm
