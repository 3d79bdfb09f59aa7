// handshake: the handshake() of a protocol, run by an engine that only has bytes to bring and to
// take away. It may send and receive; for its end it has the time-out of a reply (--timeout).
#pragma once

#include <ice/event.hpp>
#include <ice/session.hpp>
#include <ice/transport.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ice::bench::detail {

// A channel whose other end is the engine.
class wire;

// The handshakes of one thread: an io_context with nothing in it that comes from outside.
class handshakes {
public:
    handshakes();
    ~handshakes();

    std::unique_ptr<wire> make();
    void spawn(task<> work);
    // Runs until all wait for bytes. Rethrows what a handshake threw.
    void run();

    session_settings settings;

private:
    struct world;
    std::unique_ptr<world> world_;
};

class wire final : public channel {
public:
    explicit wire(transport& net);

    // So many bytes more have come.
    void arrive(std::string_view bytes);
    // What has come and was not consumed.
    std::size_t left() const noexcept { return in_.size(); }
    // Takes away what is to be sent.
    std::string sent();

    task<io_status> fill() override;
    bool has_no_input() noexcept override { return in_.size() == 0; }
    bool try_flush() override;
    void drain(error_code why) override { cancel(why); }
    void cancel(error_code why) override;
    task<> linger(duration timeout) override;
    address peer() const override { return {"server", 1}; }

private:
    event more_;
    std::string sent_text_;
};

template <class P>
class handshake {
public:
    handshake(std::shared_ptr<handshakes> all, P p)
        : all_(std::move(all)), state_(std::make_shared<state>(*all_, std::move(p))) {
        all_->spawn(talk(state_));
    }
    handshake(const handshake&) = delete;
    handshake& operator=(const handshake&) = delete;
    // If it still waits it gets errc::stopped, and may live until `all` ends.
    ~handshake() { state_->bytes.cancel(errc::stopped); }

    // Goes on with `input`, whose first bytes may have been there the last time; returns how many
    // of it are done with. `out` gets what is to be sent.
    std::size_t go_on(std::string_view input, std::string& out) {
        wire& bytes = state_->bytes;
        bytes.arrive(input.substr(bytes.left()));
        all_->run();
        bytes.try_flush();
        out += bytes.sent();
        return input.size() - bytes.left();
    }

    bool is_over() const { return state_->result.has_value(); }
    // Requires: it is over.
    error_code error() const { return *state_->result; }

    // As the handshake has left it.
    P& protocol() { return state_->talk.protocol(); }

private:
    struct state {
        state(handshakes& all, P p) : state(all, std::move(p), all.make()) {}
        state(handshakes& all, P p, std::unique_ptr<wire> w)
            : bytes(*w), talk(std::move(w), std::move(p), ice::uid(1), all.settings) {}

        wire& bytes;  // of talk
        session<P> talk;
        std::optional<error_code> result;
    };

    static task<> talk(std::shared_ptr<state> s) {
        s->result = co_await s->talk.shake_hands(duration::max());
    }

    std::shared_ptr<handshakes> all_;
    std::shared_ptr<state> state_;
};

}  // namespace ice::bench::detail
