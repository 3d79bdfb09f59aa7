// Simulates the kernels at both ends of a connection, and the network between them.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "network.hpp"

namespace ice::testing {

wire::wire(network& n, std::uint64_t number) : net(n), id(number), window(n.faults.window) {}

// No segment overtakes another of its direction.
time_point wire::arrival(int from) {
    end& me = ends[from];
    time_point when = after(net.now(), net.latency());
    if (net.strikes(fault::delay)) when = after(when, net.fault_dice().below(net.faults.slow));
    me.last = std::max(when, after(me.last, duration(1)));
    return me.last;
}

void wire::tell(int at) {
    if (ends[at].changed) ends[at].changed();
}

// After EAGAIN it stays full until have_room(), as the socket's owner waits to be told.
std::size_t wire::send(int from, std::string_view bytes, error_code& ec) {
    end& me = ends[from];
    if (me.error) {
        ec = std::exchange(me.error, {});
        return 0;
    }
    if (me.broken || me.shut) {
        ec = system_error(EPIPE);
        return 0;
    }
    if (const int error = net.next_operation()) {
        fails(from, error);
        ec = system_error(error);
        return 0;
    }
    // After fault::end the socket goes on taking bytes, which arrive nowhere.
    if (me.vanishing) return bytes.size();
    std::size_t n = me.full ? 0 : std::min(bytes.size(), window - me.unread);
    if (n == 0) {
        me.full = true;
        ec = system_error(EAGAIN);
        return 0;
    }
    if (n > 1 && net.strikes(fault::short_write)) {
        n = net.fault_dice().between(1, n - 1);
        me.full = true;
        net.after(net.latency(), [w = shared_from_this(), from] { w->have_room(from); });
    }
    const std::size_t taken = n;
    const bool ends_here = net.strikes(fault::end);
    if (ends_here) n = net.fault_dice().below(n);
    if (net.strikes(fault::stall))
        me.last = after(std::max(me.last, net.now()), net.fault_dice().below(net.faults.stall));
    net.note("send", id * 2 + static_cast<std::uint64_t>(from), n);
    me.sent.append(bytes.substr(0, n));
    me.unread += n;
    // Each segment has its own time of arrival. `sent` holds the bytes in order until then.
    for (std::size_t left = n; left != 0;) {
        const std::size_t piece = std::min(left, net.faults.segment);
        net.at(arrival(from),
               [w = shared_from_this(), from, piece] { w->arrive(1 - from, piece); });
        left -= piece;
    }
    if (ends_here) {
        shut(from);
        me.shut = false;
        me.vanishing = true;
        return taken;
    }
    return n;
}

void wire::arrive(int at, std::size_t n) {
    end& me = ends[at];
    end& other = ends[1 - at];
    if (!me.broken && me.closed) reset(at);  // no socket is left that would read it
    net.note("arrive", id * 2 + static_cast<std::uint64_t>(at), n);
    if (!me.broken) me.arrived.append(other.sent, 0, n);
    other.sent.erase(0, n);
    if (!me.broken) tell(at);
}

void wire::finish(int at) {
    end& me = ends[at];
    net.note("end", id * 2 + static_cast<std::uint64_t>(at));
    if (me.broken) return;
    me.finished = true;
    tell(at);
}

bool wire::readable(int at) const noexcept {
    const end& me = ends[at];
    return me.read != me.arrived.size() || me.finished || me.broken;
}

bool wire::quiet(int at) noexcept {
    end& me = ends[at];
    if (me.read == me.arrived.size() && !me.finished) me.error.clear();
    return !readable(at);
}

std::size_t wire::receive(int at, char* to, std::size_t most, error_code& ec) {
    end& me = ends[at];
    if (const int error = net.next_operation()) {
        fails(at, error);
        ec = system_error(error);
        return 0;
    }
    if (!me.broken && !me.finished && net.strikes(fault::reset)) {  // by a router between the ends
        break_end(at, net.strikes(fault::lost_tail));
        net.after(net.latency(), [w = shared_from_this(), at] { w->break_end(1 - at, false); });
    }
    // As on Linux, bytes that arrived before the reset are read first; then it is reported once.
    std::size_t n = std::min(me.arrived.size() - me.read, most);
    if (n == 0) {
        if (me.finished) return 0;
        if (me.error) ec = std::exchange(me.error, {});
        else if (!me.broken) ec = system_error(EAGAIN);
        return 0;
    }
    if (n > 1 && net.strikes(fault::one_byte_read)) n = 1;
    else if (n > 1 && net.strikes(fault::short_read)) n = net.fault_dice().between(1, n - 1);
    std::copy_n(me.arrived.data() + me.read, n, to);
    me.read += n;
    if (me.read == me.arrived.size()) {
        me.arrived.clear();
        me.read = 0;
    }
    end& other = ends[1 - at];
    other.unread -= n;
    // The other end learns of the room with the next acknowledgement.
    if (other.full)
        net.after(net.latency(), [w = shared_from_this(), at] { w->have_room(1 - at); });
    return n;
}

void wire::have_room(int from) {
    ends[from].full = false;
    tell(from);
}

void wire::shut(int from) {
    end& me = ends[from];
    if (me.shut || me.broken) return;
    me.shut = true;
    if (me.vanishing) return;
    net.at(arrival(from), [w = shared_from_this(), from] { w->finish(1 - from); });
}

// Closing with unread bytes sends a reset, as Linux does (RFC 2525, 2.17): otherwise the other end
// would take its message for delivered.
void wire::close(int at) {
    end& me = ends[at];
    if (std::exchange(me.closed, true)) return;
    // The channel of this end is gone.
    me.changed = nullptr;
    if (me.broken) return;
    if (me.read == me.arrived.size()) shut(at);
    else reset(at);
}

void wire::reset(int from) {
    ends[from].broken = true;
    const bool lossy = net.strikes(fault::lost_tail);
    const time_point when = lossy ? after(net.now(), net.latency()) : arrival(from);
    net.at(when, [w = shared_from_this(), from, lossy] { w->break_end(1 - from, lossy); });
}

// An operation of this end failed with `error`. A socket survives a lack of memory or descriptors,
// and no other error.
void wire::fails(int at, int error) {
    if (error == ENOBUFS || error == ENOMEM || error == EMFILE) return;
    if (ends[at].broken) return;
    ends[at].broken = true;
    net.note("failed", id * 2 + static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(error));
    net.after(net.latency(), [w = shared_from_this(), at] { w->break_end(1 - at, false); });
}

void wire::break_end(int at, bool lossy) {
    end& me = ends[at];
    if (std::exchange(me.broken, true)) return;
    net.note("reset", id * 2 + static_cast<std::uint64_t>(at), lossy);
    if (lossy) {
        me.arrived.clear();
        me.read = 0;
    }
    // Linux reports a reset as EPIPE behind the end of the stream (tcp_reset(), CLOSE_WAIT).
    me.error = system_error(me.finished ? EPIPE : ECONNRESET);
    tell(at);
}

}  // namespace ice::testing
