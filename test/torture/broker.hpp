// broker: the other end of a link, made of raw system calls. It sends unasked, and misbehaves at
// random.
#pragma once

#include <set>

#include "outsiders.hpp"

namespace torture {

// The probability of each misbehaviour, first per connection, then each time it acts.
struct broker_manners {
    double closes_at_once = 0, resets_at_once = 0, says_nothing = 0, never_reads = 0;
    double closes = 0, resets = 0, half_closes = 0, garbage = 0, too_long = 0, urgent = 0;
    double stalls = 0;     // for some milliseconds
    double dies = 0;       // some milliseconds later it is back
    double sends = 0;      // a message, unasked
    double in_pieces = 0;  // of each write
};

class broker final : public outsider {
public:
    // Listens at a path, or on a free port if the path is empty.
    broker(world&, speech, const std::string& path, const broker_manners&);
    ~broker() override;

    void act() override;
    bool is_gone() const override { return false; }
    std::string where() const;  // as ice::address reads it

    // Whether that push has arrived here.
    bool has(std::uint64_t id) const { return got_.contains(id); }
    bool is_garbling() const noexcept { return ways_.garbage + ways_.urgent > 0; }

private:
    struct connection;
    void listen();
    void accept();
    void die();
    void serve(connection&);
    void receive(connection&);
    void take(connection&, const std::string& text);
    void send_message(connection&);
    void misbehave(connection&);

    world& w_;
    speech speech_;
    std::string path_;
    broker_manners ways_;
    door door_;
    raw_socket listening_;
    std::chrono::steady_clock::time_point back_at_{};
    std::vector<std::unique_ptr<connection>> open_;
    std::set<std::uint64_t> got_;
};

}  // namespace torture
