// What a listener tells of itself: its counters and its report.
#include <fmt/format.h>

#include <ice/listener.hpp>

namespace ice {

void listener_base::count(error_code why) {
    if (is_of_socket(why)) {
        ++counters_.broken;
        return;
    }
    if (why.category() != category()) {  // the protocol's own
        ++counters_.bad_messages;
        return;
    }
    switch (static_cast<errc>(why.value())) {
        case errc::closed: ++counters_.closed; break;
        case errc::truncated: ++counters_.truncated; break;
        case errc::handshake_failed: ++counters_.handshakes_failed; break;
        case errc::handshake_timeout:
        case errc::message_timeout:
        case errc::idle_timeout:
        case errc::write_timeout:
        case errc::logic_timeout: ++counters_.timeouts; break;
        case errc::stopped:
        case errc::draining: ++counters_.ended_by_us; break;
        default: ++counters_.bad_messages; break;
    }
}

listener_counters listener_base::counters() const noexcept {
    listener_counters all = counters_;
    all.messages = settings_.messages;
    all.outbox_full = settings_.outbox_full;
    all.unencodable = settings_.unencodable;
    return all;
}

std::vector<std::string> listener_base::report(std::size_t most) const {
    const listener_counters c = counters();
    std::vector<std::string> lines;
    lines.push_back(fmt::format(
        "listener {}: {} of {} open, {} accepted, {} messages; ended: {} closed, {} truncated, {} "
        "broken, {} bad messages, {} timeouts, {} handshakes failed, {} by us; {} logics threw, {} "
        "answers unencodable, {} pushes refused, {} accept errors, {} times full, {} connections "
        "refused",
        endpoint_, open_, allowed(), c.accepted, c.messages, c.closed, c.truncated, c.broken,
        c.bad_messages, c.timeouts, c.handshakes_failed, c.ended_by_us, c.logic_threw,
        c.unencodable, c.outbox_full, c.accept_errors, c.paused, c.refused));
    std::size_t more = 0;
    const std::uint32_t now = whole_seconds(net_->now());
    for (const auto& s : sessions_) {
        if (!s.session) continue;
        if (lines.size() > most) {
            ++more;
            continue;
        }
        session_base& one = *s.session;
        const std::size_t unsent = one.bytes().unsent(), unread = one.bytes().data().size();
        const std::size_t spawned = one.has_spawned() ? settings_.spawned.at(&one).group.size() : 0;
        const char* waits = unsent != 0                   ? "its peer to read"
                            : !one.is_established()       ? "its handshake or its end"
                            : one.is_in_partial_message() ? "the rest of a message"
                                                          : "a message or its logic";
        lines.push_back(
            fmt::format("session {} of {}: {} s old, waits for {}, {} bytes to send, {} "
                        "received and not used{}",
                        one.uid(), one.peer(), now - s.opened, waits, unsent, unread,
                        spawned == 0 ? "" : fmt::format(", {} coroutines spawned", spawned)));
    }
    if (more != 0) lines.push_back(fmt::format("and {} more sessions", more));
    return lines;
}

}  // namespace ice
