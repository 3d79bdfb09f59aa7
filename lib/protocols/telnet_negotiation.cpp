// The tables of RFC 1143, section 7.
#include <ice/detail/telnet_negotiation.hpp>

namespace ice::detail {
namespace {

constexpr std::size_t unknown = 6;

constexpr std::size_t index_of(std::uint8_t option) noexcept {
    switch (static_cast<telnet_option>(option)) {
        case telnet_option::binary: return 0;
        case telnet_option::echo: return 1;
        case telnet_option::suppress_go_ahead: return 2;
        case telnet_option::terminal_type: return 3;
        case telnet_option::window_size: return 4;
        case telnet_option::charset: return 5;
    }
    return unknown;
}

constexpr std::size_t index_of(telnet_option option) noexcept {
    return index_of(static_cast<std::uint8_t>(option));
}

void append(telnet_side side, bool on, std::uint8_t option, std::string& out) {
    telnet_verb verb = on ? telnet_verb::do_ : telnet_verb::dont;
    if (side == telnet_side::us) verb = on ? telnet_verb::will : telnet_verb::wont;
    out.append({'\xff', static_cast<char>(verb), static_cast<char>(option)});
}

}  // namespace

// The switches of receive() and request() are the RFC's tables, case by case.
void telnet_negotiation::receive(telnet_verb verb, std::uint8_t number, bool agrees,
                                 std::string& out) {
    const bool on = verb == telnet_verb::will || verb == telnet_verb::do_;
    const bool of_peer = verb == telnet_verb::will || verb == telnet_verb::wont;
    const telnet_side side = of_peer ? telnet_side::peer : telnet_side::us;
    if (index_of(number) == unknown) {
        if (on) append(side, false, number, out);
        return;
    }
    const auto option = static_cast<telnet_option>(number);
    const state was = get(side, option);
    state is = was;
    switch (was) {
        case state::no:
            if (!on) break;
            if (agrees) is = state::yes;
            append(side, agrees, number, out);
            break;
        case state::yes:
            if (on) break;
            is = state::no;
            append(side, false, number, out);
            break;
        // A peer that answers "off" by "on" is in error. The option is taken as what was wanted
        // last: the RFC says so, since another request could begin a loop.
        case state::want_no: is = state::no; break;
        case state::want_no_opposite:
            is = on ? state::yes : state::want_yes;
            if (!on) append(side, true, number, out);
            break;
        case state::want_yes: is = on ? state::yes : state::no; break;
        case state::want_yes_opposite:
            is = on ? state::want_no : state::no;
            if (on) append(side, false, number, out);
            break;
    }
    set(side, option, is);
}

void telnet_negotiation::request(telnet_side side, telnet_option option, bool on,
                                 std::string& out) {
    const state was = get(side, option);
    state is = was;
    switch (was) {
        case state::no:
            if (on) is = state::want_yes;
            break;
        case state::yes:
            if (!on) is = state::want_no;
            break;
        case state::want_no:
        case state::want_no_opposite: is = on ? state::want_no_opposite : state::want_no; break;
        case state::want_yes:
        case state::want_yes_opposite: is = on ? state::want_yes : state::want_yes_opposite; break;
    }
    const bool is_new = was == state::no || was == state::yes;
    if (is_new && is != was) append(side, on, static_cast<std::uint8_t>(option), out);
    set(side, option, is);
}

void telnet_negotiation::repeat(telnet_side side, telnet_option option, std::string& out) const {
    const state is = get(side, option);
    if (is == state::want_yes || is == state::want_no)
        append(side, is == state::want_yes, static_cast<std::uint8_t>(option), out);
}

bool telnet_negotiation::is_on(telnet_side side, telnet_option option) const noexcept {
    return get(side, option) == state::yes;
}

bool telnet_negotiation::is_pending(telnet_side side, telnet_option option) const noexcept {
    const state is = get(side, option);
    return is != state::no && is != state::yes;
}

bool telnet_negotiation::is_wanted(telnet_side side, telnet_option option) const noexcept {
    const state is = get(side, option);
    return is == state::yes || is == state::want_yes || is == state::want_no_opposite;
}

telnet_negotiation::state telnet_negotiation::get(telnet_side side,
                                                  telnet_option option) const noexcept {
    const std::uint8_t both = states_[index_of(option)];
    return static_cast<state>(side == telnet_side::us ? both & 15 : both >> 4);
}

void telnet_negotiation::set(telnet_side side, telnet_option option, state to) noexcept {
    std::uint8_t& both = states_[index_of(option)];
    const auto bits = static_cast<unsigned>(to);
    both = static_cast<std::uint8_t>(side == telnet_side::us ? (both & 0xf0) | bits
                                                             : (both & 0x0f) | bits << 4);
}

}  // namespace ice::detail
