// failure: why a request to a pool has no reply. Which pool of which upstream, what the upstream
// was known to suffer from, and whether the request may have been executed. Printed by fmt:
//     pool 'timeserver' of 127.0.0.1:10000: cannot connect: Connection refused (not executed)
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <ice/address.hpp>
#include <ice/error.hpp>
#include <ice/export.hpp>
#include <ice/result.hpp>
#include <memory>
#include <string>
#include <utility>

namespace ice {

// What can be told apart, for those who count or switch; code() says it exactly.
enum class failure_kind : std::uint8_t {
    wait,         // no connection came free: errc::pool_full, errc::pool_wait_timeout
    connect,      // none could be made, or it was lost before a byte was sent
    breaker,      // errc::breaker_open
    timeout,      // no reply in time: errc::request_timeout, errc::upstream_stuck
    closed,       // the connection ended before the reply
    cut_short,    // or in the middle of it
    bad_reply,    // not what the protocol, or the logic of replies, takes
    bad_request,  // its protocol does not express it: errc::unpackable; errc::outbox_full
    ended,        // by us: errc::stopped, errc::draining, cancelled
};
ICE_API failure_kind kind_of(error_code) noexcept;

class failure {
public:
    // `pool` and `upstream` are copied: it outlives both.
    ICE_API failure(error_code code, error_code cause, bool sent, std::string pool,
                    std::string upstream, std::size_t unparsed = 0);

    // The same as result::error().
    error_code code() const noexcept { return code_; }
    failure_kind kind() const noexcept {
        const failure_kind k = kind_of(code_);  // what was not sent has had no reply
        return k == failure_kind::bad_reply && !sent_ ? failure_kind::bad_request : k;
    }

    // Why the upstream was in no good state at that moment: its last connect error, or what has
    // opened the breaker. No error if nothing was known against it.
    error_code cause() const noexcept { return cause_; }

    const std::string& pool() const noexcept { return pool_; }
    // The address that was asked; all addresses of the pool if it did not come to that.
    const std::string& upstream() const noexcept { return upstream_; }

    // Bytes that were received when the time was over, and are no whole message: an upstream that
    // does not end its lines as the protocol says, or has stopped in the middle. 0: it is silent.
    // Of a request that shares its connection only if its reply was the next.
    std::size_t unparsed() const noexcept { return unparsed_; }

    // Knows more than condition::not_executed, which knows the code alone: that of a caller who was
    // cancelled, or whose pool was stopped, while it waited for a connection.
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

// What a pool gives: a result whose failure can be asked for more than its error. With a value it
// carries a null pointer, and nothing is allocated.
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
