// upstream: the other end of a pool, made of raw system calls. It replies, and misbehaves at
// random.
#pragma once

#include <map>

#include "outsiders.hpp"

namespace torture {

// The probability of each misbehaviour, first per connection, then per request.
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
    // Listens at a path, or on a free port if the path is empty.
    upstream(world&, speech, const std::string& path, const manners&);
    ~upstream() override;

    void act() override;
    bool is_gone() const override { return false; }
    std::string where() const;  // as ice::address reads it
    speech language() const noexcept { return speech_; }

    // Where callers share a connection, no pool can tell to which request a second reply belongs.
    bool may_reply_twice() const noexcept { return ways_.twice > 0; }
    void never_replies_twice() noexcept { ways_.twice = 0; }
    // How often the whole request has arrived.
    unsigned executed(std::uint64_t id) const;
    // It may send garbage, but never the reply to another request.
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
