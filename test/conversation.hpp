// conversation: one session on a memory_channel, with a clock that the test moves. The peer sends
// by wire.arrive(..), and wire.written is what it received. For exact counts and for timeouts.
#pragma once

#include <asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory_transport.hpp"
#include "printing.hpp"

namespace test {

using namespace std::chrono_literals;

// What conversations share: the loop, the clock, the log.
struct memory_world {
    asio::io_context loop;
    std::shared_ptr<memory_transport> net = std::make_shared<memory_transport>(loop);
    std::shared_ptr<ice::server_context> context = std::make_shared<ice::server_context>(net);
    std::vector<std::string> log;

    memory_world() {
        context->log.to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
    }

    // Runs whatever is ready now, and what that makes ready.
    void settle() {
        do {
            if (loop.stopped()) loop.restart();
        } while (loop.poll() != 0);
    }

    void advance(ice::duration span) {
        net->advance(span);
        settle();
    }

    // Runs a coroutine beside everything else.
    void spawn(ice::task<> work) { ice::spawn(context, std::move(work), "test"); }
};

template <class P>
class conversation {
public:
    explicit conversation(memory_world& w, P p = P{}, const ice::limits& l = {},
                          const ice::timeouts& t = {}, std::uint64_t number = 1)
        : settings{l, t}, wire(*new memory_channel(*w.net)),
          peer(std::unique_ptr<ice::channel>(&wire), std::move(p), ice::uid(number), settings),
          world_(w) {}
    // Coroutines end before what they use.
    ~conversation() {
        wire.cancel(ice::errc::stopped);
        world_.settle();
    }
    conversation(const conversation&) = delete;
    conversation& operator=(const conversation&) = delete;

    // Answers by `logic` until the conversation has ended.
    template <class L>
    void serve(L logic) {
        world_.spawn(served(*this, std::move(logic)));
        world_.settle();
    }
    void arrive(std::string_view bytes) {
        wire.arrive(bytes);
        world_.settle();
    }
    void arrive_end() {
        wire.arrive_end();
        world_.settle();
    }
    // What the peer has heard since it was last asked.
    std::string heard() { return std::exchange(wire.written, ""); }

    ice::session_settings settings;
    memory_channel& wire;
    ice::session<P> peer;
    std::optional<ice::error_code> ended;

private:
    template <class L>
    static ice::task<> served(conversation& c, L logic) {
        const ice::error_code why = co_await ice::serve(c.peer, logic);
        c.ended = why;
    }

    memory_world& world_;
};

}  // namespace test
