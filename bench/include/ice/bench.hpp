// bench: a load generator for a protocol of your own, with every option of ice-bench.
//
//     #include <ice/bench.hpp>
//     #include <ice/protocols/line.hpp>
//
//     int main(int argc, char** argv) {
//         return ice::bench::run(argc, argv, ice::line{},
//                                [](std::uint64_t n) { return fmt::format("message {}", n); });
//     }
//
// Link with ice::bench. The protocol is the type that the server has.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <ice/error.hpp>
#include <ice/protocol.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ice::bench {

// What can be wrong with the bytes of a reply.
enum class fault {
    none,
    mismatch,     // a reply that is not the one that was due
    bad_message,  // bytes that the protocol refuses
    unexpected,   // a reply that nobody asked for
};

// One connection as the engine sees it: bytes to send, bytes that came. Two virtual calls a burst.
class dialogue {
public:
    virtual ~dialogue() = default;

    // Appends what is sent before the first request, such as options of telnet.
    virtual void open(std::string& out) = 0;
    // Nothing is asked before this holds.
    virtual bool is_open() const = 0;

    // Appends the next `count` requests.
    virtual void ask(std::size_t count, std::string& out) = 0;

    struct heard {
        std::size_t size = 0;     // bytes of `input` that are done with
        std::size_t replies = 0;  // right ones
        fault wrong = fault::none;
        std::string why;  // one sentence, if something is wrong
    };
    // Takes whole replies off the front of `input` and compares each with what was due. `out` gets
    // what the protocol itself has to answer.
    virtual heard listen(std::string_view input, std::string& out) = 0;
};

// Makes the dialogue of a new connection. The numbers of its requests begin with `first`; no other
// connection of the run has them.
using make_dialogue = std::function<std::unique_ptr<dialogue>(std::uint64_t first)>;

// One kind of load: `ice-bench NAME ADDRESS`.
struct mode {
    std::string name;  // empty for the only one of a program
    std::string help;
    std::function<make_dialogue(std::size_t size)> make;  // of -s
    bool one_each = false;                                // a connection for each request
};

// The whole program: options, load, report. Returns the exit code.
int run(int argc, char** argv, const std::vector<mode>& modes);

namespace detail {

// A piece of bytes for an error's text: printable, and not too long.
std::string quoted(std::string_view bytes);

template <class M>
std::string shown(const M& message) {
    if constexpr (std::convertible_to<const M&, std::string_view>) return quoted(message);
    else return "a message";
}

// The check of a server that answers each request with itself.
struct is_echo {};

template <protocol P, class Ask, class Check>
class typed_dialogue final : public dialogue {
public:
    static_assert(!ice::detail::handles<P>,
                  "ice: a generator needs a protocol with parse(), not handle()");
    static_assert(
        !requires { &P::handshake; },
        "ice: a generator cannot run handshake(); give the protocol open(std::string&) "
        "and is_open(), or generate load for the part behind the handshake");

    typed_dialogue(P p, Ask asks, Check check, std::uint64_t first)
        : protocol_(std::move(p)), ask_(std::move(asks)), check_(std::move(check)), next_(first),
          due_(first) {}

    void open(std::string& out) override {
        if constexpr (requires { protocol_.open(out); }) protocol_.open(out);
    }
    bool is_open() const override {
        if constexpr (requires { protocol_.is_open(); }) return protocol_.is_open();
        else return true;
    }

    void ask(std::size_t count, std::string& out) override {
        for (; count != 0; --count)
            if (const error_code ec = packet(protocol_, ask_(next_++), out))
                throw std::invalid_argument("the protocol cannot send this request: " +
                                            ec.message());
    }

    heard listen(std::string_view input, std::string& out) override {
        heard h;
        for (;;) {
            auto found = parse(input.substr(h.size), out);
            if (found.failed()) return wrong(h, fault::bad_message, found.error().message());
            if (found.size() == 0) return h;
            h.size += found.size();
            if (!found.has_message()) continue;
            if (due_ == next_)
                return wrong(h, fault::unexpected, "not asked for: " + shown(found.message()));
            const std::uint64_t n = due_++;
            if (!is_right(found.message(), n))
                return wrong(h, fault::mismatch,
                             "asked " + shown(ask_(n)) + ", got " + shown(found.message()));
            ++h.replies;
        }
    }

private:
    auto parse(std::string_view input, std::string& out) {
        if constexpr (ice::detail::parses<P>) return protocol_.parse(input);
        else return protocol_.parse(input, out);
    }
    bool is_right(const message_t<P>& reply, std::uint64_t n) {
        if constexpr (std::same_as<Check, is_echo>) return reply == ask_(n);
        else return check_(reply, n);
    }
    static heard& wrong(heard& h, fault what, std::string why) {
        h.wrong = what;
        h.why = std::move(why);
        return h;
    }

    P protocol_;
    Ask ask_;
    Check check_;
    std::uint64_t next_;  // the number of the next request
    std::uint64_t due_;   // of the next reply
};

}  // namespace detail

// A mode for protocol P. `ask(n)` makes request n, always the same one for the same n, and
// `check(reply, n)` says whether a reply is right; without it, the reply must equal the request.
template <protocol P, class Ask, class Check = detail::is_echo>
make_dialogue talk(P p, Ask ask, Check check = {}) {
    return [=](std::uint64_t first) -> std::unique_ptr<dialogue> {
        return std::make_unique<detail::typed_dialogue<P, Ask, Check>>(p, ask, check, first);
    };
}

// The whole program, for one protocol.
template <protocol P, class Ask, class Check = detail::is_echo>
int run(int argc, char** argv, P p, Ask ask, Check check = {}) {
    const auto make = [=](std::size_t) { return talk(p, ask, check); };
    return run(argc, argv, {mode{"", "Generates load and checks every reply.", make}});
}

}  // namespace ice::bench
