// happy_eyeballs: which address of a name to try next, and when (RFC 8305). No I/O and no clock.
#pragma once

#include <cstddef>
#include <ice/address.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <optional>
#include <vector>

namespace ice {

class happy_eyeballs {
public:
    // To the next attempt while the one before has no answer (RFC 8305 section 5).
    static constexpr auto attempt_delay = std::chrono::milliseconds(250);

    // Addresses of one name that are tried: at 250 ms each they take longer than
    // pool_timeouts::connect. It bounds the sockets of one connect.
    static constexpr std::size_t most_addresses = 16;

    // `found` as the resolver orders it (RFC 6724). The families take turns, that of the first
    // address begins (section 4). If `preferred` is among them, it is tried before all others.
    explicit happy_eyeballs(std::vector<address> found, const address* preferred = nullptr);

    // The address to try at `now`, each once; null if none is due.
    const address* next(time_point now) noexcept;

    // When next() has another; `never` if all have been tried.
    time_point due() const noexcept { return next_ < order_.size() ? due_ : never; }

    // One that was tried failed: the next is due at once.
    void failed(error_code why) noexcept;

    // Every address was tried and failed.
    bool have_all_failed() const noexcept { return failures_ == order_.size(); }
    // Why the first that failed did: it is the one that says most of the name. Of a name without
    // addresses errc::host_not_found.
    error_code why() const noexcept { return why_; }

    bool is_first(const address& a) const noexcept { return !order_.empty() && a == order_[0]; }

private:
    std::vector<address> order_;
    std::size_t next_ = 0, failures_ = 0;
    time_point due_ = time_point::min();
    error_code why_ = errc::host_not_found;
};

}  // namespace ice
