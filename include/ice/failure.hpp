// failure: why a request to a pool has no reply: the pool and the upstream, the error, the state
// of the upstream, and whether it may have executed the request. fmt prints it:
//     pool 'timeserver' of 127.0.0.1:10000: cannot connect: Connection refused (not executed)
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <ice/address.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/result.hpp>
#include <memory>
#include <string>
#include <utility>

namespace ice {

// Groups of errors, for counters and switches; code() has the exact one.
enum class failure_kind : std::uint8_t {
    wait,         // no connection came free: errc::pool_full, errc::acquire_timeout
    connect,      // no connection could be made, or it was lost before a byte was sent
    breaker,      // errc::breaker_open
    timeout,      // no reply in time: errc::request_timeout, errc::pipeline_stalled
    closed,       // the connection ended before the reply
    truncated,    // or in the middle of it
    bad_reply,    // not what the protocol, or the logic of replies, takes
    bad_request,  // its protocol does not express it: errc::unencodable; errc::outbox_full
    ended,        // by us: errc::stopped, errc::draining, cancelled
};
ICE_API failure_kind kind_of(error_code) noexcept;

class failure {
public:
    // Copies the names, so it is valid after the pool has ended.
    ICE_API failure(error_code code, error_code cause, bool sent, std::string pool,
                    std::string upstream, std::size_t unparsed = 0);

    // The same as result::error().
    error_code code() const noexcept { return code_; }
    failure_kind kind() const noexcept {
        const failure_kind k = kind_of(code_);  // what was not sent has had no reply
        return k == failure_kind::bad_reply && !sent_ ? failure_kind::bad_request : k;
    }

    // What was wrong with the upstream at that moment: its last error of connecting, or the one
    // that opened its breaker. No error if the pool knew of none.
    error_code cause() const noexcept { return cause_; }

    const std::string& pool() const noexcept { return pool_; }
    // The address that the request was sent to, or all addresses of the pool if it was not sent.
    const std::string& upstream() const noexcept { return upstream_; }

    // Bytes that had arrived when the request timed out, and that are no whole message. More than 0
    // if the upstream ends its lines in another way than the protocol, or stops within a reply.
    // Always 0 for a request that shared its connection and was not the first in its order.
    std::size_t unparsed() const noexcept { return unparsed_; }

    // Whether the upstream may have executed the request. More exact than comparing code() with
    // condition::not_executed: it also knows that a request was cancelled, or its pool stopped,
    // while it waited for a connection.
    bool may_have_been_executed() const noexcept {
        return sent_ && code_ != condition::not_executed;
    }

    ICE_API std::string text() const;

private:
    error_code code_, cause_;
    bool sent_;  // some of it, perhaps
    std::string pool_, upstream_;
    std::size_t unparsed_;
};

// What requests to a pool return: a result that also has a failure. A value allocates nothing for
// it.
template <class T>
class [[nodiscard]] pool_result : public result<T> {
public:
    pool_result(T value) : result<T>(std::move(value)) {}
    pool_result(std::shared_ptr<const ice::failure> why)
        : result<T>(why->code()), failure_(std::move(why)) {}

    // Requires: !has_value().
    const ice::failure& failure() const noexcept { return *failure_; }

private:
    std::shared_ptr<const ice::failure> failure_;
};

}  // namespace ice

template <>
struct fmt::formatter<ice::failure> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(const ice::failure& f, Context& context) const {
        const std::string text = f.text();  // std::string itself is formatted by fmt/format.h alone
        return fmt::format_to(context.out(), "{}", fmt::string_view(text.data(), text.size()));
    }
};
