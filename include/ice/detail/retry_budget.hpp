// retry_budget: how many requests a pool may repeat, so that an outage does not multiply the load.
#pragma once

#include <cstdint>
#include <ice/duration.hpp>

namespace ice {

// Requests may be repeated in so many percent of those of the last ten to twenty seconds, and ten
// more, as a percentage of few requests would allow none.
class retry_budget {
public:
    explicit retry_budget(unsigned percent) noexcept : percent_(percent) {}

    void request(time_point now) noexcept {
        roll(now);
        ++current_.requests;
    }
    // Takes one retry. Returns false if there is none.
    bool take(time_point now) noexcept {
        if (percent_ == 0) return false;
        roll(now);
        const std::uint64_t requests = last_.requests + current_.requests;
        if (last_.retries + current_.retries >= always + requests * percent_ / 100) return false;
        ++current_.retries;
        return true;
    }

private:
    static constexpr std::uint64_t always = 10;
    static constexpr duration window = std::chrono::seconds(10);
    struct counts {
        std::uint64_t requests = 0, retries = 0;
    };
    void roll(time_point now) noexcept {
        if (now < ends_) return;  // mutant: window_ends
        last_ = now < after(ends_, window) ? current_ : counts();
        current_ = {};
        ends_ = after(now, window);
    }

    unsigned percent_;
    counts last_, current_;
    time_point ends_{};
};

}  // namespace ice
