// upstream: what a pool is connected to, made of raw system calls: it answers, more or less.
#pragma once

#include <map>

#include "outsiders.hpp"

namespace torture {

// How likely it is that an upstream misbehaves: of each connection, then of each request.
struct manners {
    double closes_at_once = 0, resets_at_once = 0, talks_first = 0, unresponsive = 0;
    double late = 0, silent = 0, cut = 0, resets = 0, closes = 0, half_closes = 0;
    double garbage = 0, too_long = 0, twice = 0, urgent = 0;
    double hangs_up = 0;  // behind a reply, on all connections that wait for requests
    double dies = 0;      // each time it acts; some milliseconds later it is back
    bool accepts_slowly = false;
    double in_pieces = 0;  // of each write
};

class upstream final : public outsider {
public:
    // At a path, or if that is empty on a port of its own.
    upstream(world&, speech, const std::string& path, const manners&);
    ~upstream() override;

    void act() override;
    bool is_gone() const override { return false; }
    std::string where() const;  // as ice::address reads it

    // Where callers share a connection, no pool can know whose the second reply is.
    bool may_reply_twice() const noexcept { return ways_.twice > 0; }
    void never_replies_twice() noexcept { ways_.twice = 0; }
    // How often a request has arrived whole.
    unsigned executed(std::uint64_t id) const;
    // What it sends may be no reply at all; but never the reply to another request.
    bool is_garbling() const noexcept {
        return ways_.garbage + ways_.talks_first + ways_.urgent > 0;
    }

private:
    struct connection;
    void listen();
    void accept();
    void die();
    void serve(connection&);
    void take_requests(connection&);
    void reply(connection&, const question&);

    world& w_;
    speech speech_;
    std::string path_;
    manners ways_;
    door door_;
    raw_socket listening_;
    std::chrono::steady_clock::time_point back_at_{};
    std::vector<std::unique_ptr<connection>> open_;
    std::map<std::uint64_t, unsigned> executed_;
};

}  // namespace torture
