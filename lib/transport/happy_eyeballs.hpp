// happy_eyeballs: which address of a host to try next, and when (RFC 8305). No I/O and no clock.
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
    // The pause before the next attempt while the last one has no answer (RFC 8305, 5).
    static constexpr auto attempt_delay = std::chrono::milliseconds(250);

    // How many addresses of a host are tried. At 250 ms each they take longer than
    // pool_timeouts::connect. It bounds the sockets of one connect().
    static constexpr std::size_t most_addresses = 16;

    // `found` is in the order of the resolver (RFC 6724). The families take turns, beginning with
    // that of the first address (RFC 8305, 4). If `preferred` is among them, it is tried first.
    explicit happy_eyeballs(std::vector<address> found, const address* preferred = nullptr);

    // Returns the address to try at `now`, each address once, or null if none is due. Valid as long
    // as this object.
    const address* next(time_point now) noexcept;

    // When next() returns another address; `never` if all have been tried.
    time_point due() const noexcept { return next_ < order_.size() ? due_ : never; }

    // Reports a failed attempt: the next address is due at once.
    void failed(error_code why) noexcept;

    // Whether every address was tried and failed.
    bool have_all_failed() const noexcept { return failures_ == order_.size(); }
    // The error of the first attempt that failed, as that is the address which the resolver
    // prefers; errc::host_not_found if there is no address.
    error_code why() const noexcept { return why_; }

    bool is_first(const address& a) const noexcept { return !order_.empty() && a == order_[0]; }

private:
    std::vector<address> order_;
    std::size_t next_ = 0, failures_ = 0;
    time_point due_ = time_point::min();
    error_code why_ = errc::host_not_found;
};

}  // namespace ice
