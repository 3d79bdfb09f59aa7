// visitors: peers of a server, polite and hostile ones. They send "q17" and expect "a17" ("e17" if
// the request of a gateway has failed), each once and in order.
#pragma once

#include <ice/testing/sim.hpp>
#include <memory>

#include "world.hpp"

namespace swarm {

class visitors {
public:
    visitors(world& w, ice::address server) : world_(w), server_(std::move(server)) {}

    // A polite peer sends so many requests in bursts, and reads all answers.
    void send_polite(std::uint64_t requests);
    // A hostile peer is slow, unresponsive or silent, sends garbage, or closes at once.
    void send_hostile();

    bool all_gone() const noexcept { return there_ == 0; }

    bool answers_soon = true;  // the server: in milliseconds
    bool half_open = true;     // the server answers after a half-close
    // Nothing can go wrong: requests that were sent before this instant must be answered.
    bool strict = false;
    ice::time_point due_before = ice::never;

private:
    struct visit;
    bool is_due(ice::time_point asked) const { return strict && asked < due_before; }
    std::shared_ptr<ice::transport> somewhere();
    ice::task<> polite(std::uint64_t requests);
    ice::task<> burst(visit&, std::uint64_t n);
    ice::task<> answers(visit&);
    ice::task<> hostile();
    ice::task<> to_the_end(ice::channel&);

    world& world_;
    ice::address server_;
    std::size_t there_ = 0;
    std::uint64_t last_id_ = 0;
};

}  // namespace swarm
