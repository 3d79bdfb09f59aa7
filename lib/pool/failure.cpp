// The kind of each error, and the text of a failure.
#include <fmt/format.h>

#include <asio/error.hpp>
#include <ice/failure.hpp>

namespace ice {

failure_kind kind_of(error_code ec) noexcept {
    // Before the category is looked at: it is that of sockets, and the caller was only cancelled.
    if (ec == asio::error::operation_aborted) return failure_kind::ended;
    if (ec.category() != category()) {
        // Only connect_error() has this condition in another category than that of ice.
        if (ec == condition::not_executed) return failure_kind::connect;
        if (ec.category() == std::system_category() ||
            ec.category() == asio::error::get_system_category())
            return failure_kind::closed;  // a socket's error: reset, unreachable
        return failure_kind::bad_reply;   // an error of the protocol or of the logic of replies
    }
    switch (static_cast<errc>(ec.value())) {
        case errc::pool_full:
        case errc::acquire_timeout: return failure_kind::wait;
        case errc::connect_timeout:
        case errc::host_not_found:
        case errc::name_resolution_failed:
        case errc::upstream_closes:
        case errc::handshake_failed:
        case errc::handshake_timeout:
        case errc::not_connected:
        case errc::no_responders:
        case errc::not_sent: return failure_kind::connect;
        case errc::breaker_open: return failure_kind::breaker;
        case errc::request_timeout:
        case errc::pipeline_stalled:
        case errc::message_timeout:
        case errc::idle_timeout:
        case errc::write_timeout:
        case errc::logic_timeout: return failure_kind::timeout;
        case errc::closed: return failure_kind::closed;
        case errc::truncated: return failure_kind::truncated;
        case errc::bad_message:
        case errc::message_too_large:
        case errc::reply_refused: return failure_kind::bad_reply;
        case errc::unencodable:
        case errc::outbox_full: return failure_kind::bad_request;
        case errc::draining:
        case errc::stopped: return failure_kind::ended;
    }
    return failure_kind::bad_reply;
}

failure::failure(error_code code, error_code cause, bool sent, std::string pool,
                 std::string upstream, std::size_t unparsed)
    : code_(code), cause_(cause), sent_(sent), pool_(std::move(pool)),
      upstream_(std::move(upstream)),
      // Such bytes explain only why there was no reply in time.
      unparsed_(kind_of(code) == failure_kind::timeout ? unparsed : 0) {}

std::shared_ptr<const failure> detail::unknown_failure() {
    static const auto one =
        std::make_shared<const failure>(errc::stopped, error_code(), true, "unknown", "unknown");
    return one;
}

std::shared_ptr<const failure> detail::late_failure(const failure& of) {
    const bool sent = of.may_have_been_executed();
    const errc code = sent ? errc::request_timeout : errc::acquire_timeout;
    return std::make_shared<const failure>(code, of.cause(), sent, of.pool(), of.upstream(),
                                           of.unparsed());
}

std::shared_ptr<const failure> detail::not_begun_failure() {
    return std::make_shared<const failure>(errc::acquire_timeout, error_code(), false, "unknown",
                                           "unknown");
}

std::string failure::text() const {
    std::string more;
    if (unparsed_ != 0) more = fmt::format("; {} bytes received are no whole message", unparsed_);
    if (cause_ && cause_ != code_) more += fmt::format("; of the upstream: {}", cause_.message());
    return fmt::format("pool '{}' of {}: {}{} ({})", pool_, upstream_, code_.message(), more,
                       may_have_been_executed() ? "may have been executed" : "not executed");
}

}  // namespace ice
