// schedule: when the requests of an open loop are due, whatever the server does.
#pragma once

#include <cmath>
#include <random>

#include "options.hpp"

namespace ice::bench {

class schedule {
public:
    // `rate` requests a second from `begin` on; `phase` in 0..1 shifts the first, so that several
    // threads do not all send at the same instant.
    schedule(clock::time_point begin, double rate, arrival kind, std::uint64_t seed, double phase)
        : begin_(begin), gap_(1e9 / rate), kind_(kind), chance_(seed),
          at_(kind == arrival::uniform ? gap_ * phase : gap()) {}

    clock::time_point next() const { return begin_ + nanoseconds(static_cast<std::int64_t>(at_)); }
    void advance() { at_ += gap(); }

private:
    double gap() {
        if (kind_ == arrival::uniform) return gap_;
        return -std::log1p(-std::uniform_real_distribution<>()(chance_)) * gap_;
    }

    clock::time_point begin_;
    double gap_;  // in ns, on average
    arrival kind_;
    std::mt19937_64 chance_;
    double at_;  // ns after begin_; exact enough for days
};

}  // namespace ice::bench
