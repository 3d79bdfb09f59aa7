// dialogue: one connection as the engine of a generator sees it: bytes to send, bytes that came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ice::bench {

// What can be wrong with the bytes of a reply.
enum class fault {
    none,
    mismatch,     // a reply that is not the one that was due
    bad_message,  // bytes that the protocol refuses
    unexpected,   // a reply that nobody asked for
    handshake,    // the protocol's handshake() has failed
};

// Two virtual calls a burst.
class dialogue {
public:
    virtual ~dialogue() = default;

    // Appends what is sent before the first request, such as options of telnet.
    virtual void open(std::string& out) = 0;
    // Nothing is asked before this holds.
    virtual bool is_open() const = 0;

    // The next `count` requests, one behind the other. Valid until the next call.
    virtual std::string_view ask(std::size_t count) = 0;

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

namespace detail {

// A piece of bytes for an error's text: printable, and not too long.
std::string quoted(std::string_view bytes);

}  // namespace detail
}  // namespace ice::bench
