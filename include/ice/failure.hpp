// failure: why a request to a pool has no reply: the pool, the upstream, the error, the state of
// the upstream, and whether the upstream may have executed the request. fmt prints it:
//     pool 'timeserver' of 127.0.0.1:10000: cannot connect: Connection refused (not executed)
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
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

// Groups of errors, for counters and switches. failure::code() has the exact error.
enum class failure_kind : std::uint8_t {
    wait,         // no connection came free: errc::pool_full, errc::acquire_timeout
    connect,      // no connection could be made, or it was lost before a byte was sent
    breaker,      // errc::breaker_open
    timeout,      // no reply in time: errc::request_timeout, errc::pipeline_stalled
    closed,       // the connection ended before the reply
    truncated,    // the connection ended in the middle of the reply
    bad_reply,    // the protocol or the logic of replies refused the reply
    bad_request,  // the request was not sent: errc::unencodable, errc::outbox_full
    ended,        // this side ended it: errc::stopped, errc::draining, or it was cancelled
};
// The kind of any error of a request. An error of a category that ice does not know is the
// protocol's own or that of a logic of replies: failure_kind::bad_reply.
ICE_API failure_kind kind_of(error_code) noexcept;

// A value that refers to nothing: it is valid after the pool and the server have ended, and any
// thread may read it.
//     auto reply = co_await pool.request(message);
//     if (!reply && !reply.failure().may_have_been_executed()) ..  // safe to try elsewhere
//     if (!reply) co_return reply.failure().text();  // a sentence for people
class failure {
public:
    // Made by pools. `unparsed` counts for timeouts only.
    ICE_API failure(error_code code, error_code cause, bool sent, std::string pool,
                    std::string upstream, std::size_t unparsed = 0);

    // The error of the request, as result::error() returns it.
    error_code code() const noexcept { return code_; }
    // As kind_of(code()). A request that was refused before it was sent has no bad reply: its kind
    // is bad_request.
    failure_kind kind() const noexcept {
        const failure_kind k = kind_of(code_);
        return k == failure_kind::bad_reply && !sent_ ? failure_kind::bad_request : k;
    }

    // The state of the upstream when the request failed: its last connect error, what its last
    // handshake returned, or the error that opened its breaker. No error if the upstream was
    // healthy. So a request that ended with errc::acquire_timeout also says that its upstream
    // refuses connections, and errc::handshake_failed is explained. For errc::reply_refused it is
    // what the logic of replies returned.
    error_code cause() const noexcept { return cause_; }

    // The name of the pool.
    const std::string& pool() const noexcept { return pool_; }
    // The address to which the request was assigned, or all addresses of the pool if there was no
    // connection for it.
    const std::string& upstream() const noexcept { return upstream_; }

    // Bytes that had arrived when the request timed out, and that are no whole message. It is more
    // than 0 if the upstream ends its lines in another way than the protocol expects, or stops
    // within a reply. On a shared connection only the oldest request has them; for others it is 0.
    std::size_t unparsed() const noexcept { return unparsed_; }

    // Whether the upstream may have executed the request. If not, sending it again is safe. It is
    // more exact than comparing code() with condition::not_executed: it is also false for a request
    // that was cancelled, or whose pool was stopped, while it waited for a connection.
    bool may_have_been_executed() const noexcept {
        return sent_ && code_ != condition::not_executed;
    }

    // One line for a log: pool, upstream, error, unparsed bytes, cause, and whether the request may
    // have been executed. It holds no bytes of the peer but those of a refusal_error().
    ICE_API std::string text() const;

private:
    error_code code_, cause_;
    bool sent_;  // a byte of the request may have been sent
    std::string pool_, upstream_;
    std::size_t unparsed_;
};

namespace detail {
// The failure of a pool_result that no pool has made. It is one object for all of them.
ICE_API std::shared_ptr<const failure> unknown_failure();
// The failure of a request that a time_limit has cancelled, which returned `of`: that of a request
// whose own timeout ended then.
ICE_API std::shared_ptr<const failure> late_failure(const failure& of);
// The same for a request that did not begin, so that its pool is "unknown".
ICE_API std::shared_ptr<const failure> not_begun_failure();
}  // namespace detail

// What requests to a pool return: a result<T> that also has a failure if it has no value. Only a
// failure allocates memory for it.
template <class T>
class [[nodiscard]] pool_result : public result<T> {
public:
    // No value, and a failure with errc::stopped of the pool "unknown", which may have been
    // executed: for what makes a result before there is one, as Asio's co_spawn() does.
    pool_result() : pool_result(detail::unknown_failure()) {}
    // Implicit, as those of result<T>: a coroutine writes `co_return value;`.
    pool_result(T value) : result<T>(std::move(value)) {}
    // Copies of the result share `why`, which is never null.
    pool_result(std::shared_ptr<const ice::failure> why)
        : result<T>(why->code()), failure_(std::move(why)) {}

    // Why there is no value. Valid as long as this result or a copy of it. Requires: !has_value().
    const ice::failure& failure() const noexcept {
        assert(failure_ != nullptr);
        return *failure_;
    }

private:
    std::shared_ptr<const ice::failure> failure_;
};

}  // namespace ice

// Prints text(). There are no format options: "{}".
template <>
struct fmt::formatter<ice::failure> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(const ice::failure& f, Context& context) const {
        const std::string text = f.text();
        return std::copy(text.begin(), text.end(), context.out());
    }
};
