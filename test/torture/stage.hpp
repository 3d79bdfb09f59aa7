// stage: the part of a torture world that uses ice: a server with listeners, pools, logics and
// callers; and the checks when they have ended.
#pragma once

#include <ice/ice.hpp>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "../greeting.hpp"
#include "broker.hpp"
#include "upstream.hpp"

namespace torture {

using test::greeting;

struct stage;

// The probability of each action of a logic or a caller beside its answer.
struct habits {
    double waits = 0, waits_long = 0, asks_back = 0, sends = 0, yields = 0;
    double pushes = 0, broadcasts = 0, pushes_to_another = 0, closes = 0, closes_another = 0;
    double throws = 0, unencodable = 0, silent = 0, looks = 0, acts = 0;
    double asks_a_pool = 0, leases = 0, spawns = 0;
};

// A listener of any protocol.
class place {
public:
    virtual ~place() = default;
    virtual const ice::listener_base& base() const = 0;
    virtual void check_end() const;
    void count(world&) const;  // what its limits have done

    std::uint64_t heard = 0;  // messages, by logics and handshakes
    habits ways;
    std::vector<ice::uid> uids;                    // of all sessions so far
    std::map<std::uint64_t, std::size_t> spawned;  // coroutines that run, by uid
};

// A pool of any protocol, with its upstream.
class source {
public:
    virtual ~source() = default;
    virtual ice::pool_base& base() = 0;
    // One request, or a few in a lease, with checks of the replies.
    virtual ice::task<bool> ask() = 0;
    virtual ice::task<bool> talk() = 0;
    // A listener that forwards its messages to this pool.
    virtual std::unique_ptr<place> make_forwarder(const ice::address&, const ice::limits&,
                                                  const ice::timeouts&) = 0;
    // Checks what a request has failed with.
    void judge(world&, const question&, ice::error_code why, bool perhaps) const;
    void check_end();
    void count(world&);

    upstream* up = nullptr;
    std::uint64_t replies = 0;  // of ask()
    std::uint64_t leases = 0;
    std::size_t in_flight = 0;  // coroutines in ask() or talk()
    bool is_forwarded_to = false;
};

// A link of any protocol, with its brokers.
class feed {
public:
    virtual ~feed() = default;
    virtual const ice::link_base& base() const = 0;
    // Pushes, learns addresses and leaves brokers.
    virtual ice::task<> use() = 0;
    // `has_drained`: the server, so what a calm world has pushed must have arrived.
    virtual void check_end(bool has_drained) const = 0;
    void count(world&) const;
};

std::unique_ptr<place> make_place(stage&, speech, const ice::address&, bool waits,
                                  const ice::limits&, const ice::timeouts&);
std::unique_ptr<source> make_source(stage&, speech, upstream&, const std::string& name);
std::unique_ptr<feed> make_feed(stage&, speech, std::vector<broker*>, std::string name);

struct stage {
    explicit stage(world& of) : w(of) {}

    world& w;
    ice::server* srv = nullptr;
    std::function<void()> end;   // the server, in the way of this world
    bool ends_in_logic = false;  // the next logic does it
    std::vector<std::unique_ptr<place>> places;
    std::vector<std::unique_ptr<source>> sources;
    std::vector<std::unique_ptr<feed>> feeds;
    std::uint64_t last_push = 0;
    std::size_t callers = 0;  // that are not in a logic

    // A logic has been called.
    void in_logic();
};

// What a logic or a caller throws.
struct thrown : std::runtime_error {
    thrown() : std::runtime_error("on purpose") {}
};

// One world from its beginning to its end.
void run_world(std::uint64_t seed, tally&);

}  // namespace torture
