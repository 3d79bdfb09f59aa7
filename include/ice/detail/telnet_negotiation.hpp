// telnet_negotiation: which options of telnet are on, on both sides of a connection (RFC 854), by
// the Q method of RFC 1143. It knows no meaning of an option, and no subnegotiation. No I/O.
#pragma once

#include <array>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <string>

namespace ice::detail {

// RFC 854, "TELNET COMMAND STRUCTURE".
enum class telnet_verb : std::uint8_t { will = 251, wont = 252, do_ = 253, dont = 254 };

// The options that can be on, by their numbers. All others are refused.
enum class telnet_option : std::uint8_t {
    binary = 0,             // RFC 856
    echo = 1,               // RFC 857
    suppress_go_ahead = 3,  // RFC 858
    terminal_type = 24,     // RFC 1091
    window_size = 31,       // RFC 1073
    charset = 42,           // RFC 2066
};

// The side that performs an option. One of us says WILL or WONT of it, one of the peer DO or DONT.
enum class telnet_side : std::uint8_t { us, peer };

// Each option has a state for each side, and the two are independent.
class ICE_API telnet_negotiation {
public:
    // Takes a command of the peer, and appends the answer to `out`: none or three bytes. `agrees`
    // says whether an option that the peer wants may be on; it is not used for WONT and DONT, which
    // cannot be refused. An option that is not a telnet_option is refused each time.
    void receive(telnet_verb verb, std::uint8_t option, bool agrees, std::string& out);

    // Wants an option on or off, and appends nothing or three bytes. If the peer still owes the
    // answer to an earlier command about it, the request waits for that answer, and is sent then.
    void request(telnet_side side, telnet_option option, bool on, std::string& out);
    // Sends the request again whose answer is due, for a caller that may have discarded its bytes.
    // A peer that has received both finds that the second one changes nothing.
    void repeat(telnet_side side, telnet_option option, std::string& out) const;

    // Both sides know that it is on.
    bool is_on(telnet_side side, telnet_option option) const noexcept;
    // The peer owes an answer.
    bool is_pending(telnet_side side, telnet_option option) const noexcept;
    // What we want: is_on() if nothing is pending, else the state after the request.
    bool is_wanted(telnet_side side, telnet_option option) const noexcept;

    bool operator==(const telnet_negotiation&) const = default;

private:
    // RFC 1143, 7. The queue bit ("opposite") is part of the state.
    enum class state : std::uint8_t {
        no,
        yes,
        want_no,
        want_no_opposite,
        want_yes,
        want_yes_opposite
    };

    state get(telnet_side side, telnet_option option) const noexcept;
    void set(telnet_side side, telnet_option option, state to) noexcept;

    std::array<std::uint8_t, 6> states_{};  // of an option: us in the low four bits, then the peer
};

}  // namespace ice::detail
