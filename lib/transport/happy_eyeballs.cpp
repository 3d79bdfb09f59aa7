// The order of the attempts to connect: address families in turn, a preferred address first.
#include "happy_eyeballs.hpp"

#include <algorithm>

namespace ice {
namespace {

bool is_v6(const address& a) noexcept { return a.host().find(':') != std::string::npos; }

// Alternates the families, beginning with that of the first address (RFC 8305, 4). Keeps the order
// within each family.
std::vector<address> interleaved(std::vector<address> found) {
    std::vector<address> order;
    order.reserve(found.size());
    const auto second = std::stable_partition(
        found.begin(), found.end(), [first = !found.empty() && is_v6(found[0])](const address& a) {
            return is_v6(a) == first;
        });
    auto one = found.begin(), other = second;
    while (one != second || other != found.end()) {
        if (one != second) order.push_back(std::move(*one++));
        if (other != found.end()) order.push_back(std::move(*other++));
    }
    return order;
}

}  // namespace

happy_eyeballs::happy_eyeballs(std::vector<address> found, const address* preferred)
    : order_(interleaved(std::move(found))) {
    if (preferred) {
        const auto at = std::find(order_.begin(), order_.end(), *preferred);
        if (at != order_.end()) std::rotate(order_.begin(), at, at + 1);
    }
    // Cuts after the families were mixed, so that each of them has its share.
    if (order_.size() > most_addresses) order_.erase(order_.begin() + most_addresses, order_.end());
}

const address* happy_eyeballs::next(time_point now) noexcept {
    if (next_ == order_.size() || now < due_) return nullptr;
    due_ = after(now, attempt_delay);
    return &order_[next_++];
}

void happy_eyeballs::failed(error_code why) noexcept {
    if (failures_++ == 0) why_ = why;
    due_ = time_point::min();
}

}  // namespace ice
