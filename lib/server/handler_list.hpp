// handler_list: the handlers of one topic. They are called in the order in which they were added,
// and may come and go while they are called.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace ice {

template <class Argument>
class handler_list {
public:
    using handler = std::function<void(Argument)>;

    // Requires: no other has this number.
    void add(std::uint64_t number, handler f) {
        all_.emplace_back(number, std::make_shared<handler>(std::move(f)));
    }
    // It is not called any more. Null if there is none. Its end may call back, so the caller keeps
    // it until all else is done.
    std::shared_ptr<handler> remove(std::uint64_t number) noexcept {
        const auto one = std::find_if(all_.begin(), all_.end(),
                                      [&](const auto& h) { return h.first == number; });
        if (one == all_.end()) return nullptr;
        auto removed = std::exchange(one->second, nullptr);
        if (!is_calling_) all_.erase(one);
        return removed;
    }
    void clear() noexcept { const auto ended = std::exchange(all_, {}); }

    bool is_empty() const noexcept {
        return std::none_of(all_.begin(), all_.end(), [](const auto& h) { return !!h.second; });
    }

    // Calls `f` with each handler. One that is added meanwhile is not called. Requires: `f` throws
    // nothing, does not call this again, and the list outlives the call.
    template <class F>
    void for_each(F f) {
        is_calling_ = true;
        const std::size_t before = all_.size();
        for (std::size_t i = 0; i < before && i < all_.size(); ++i) {
            const auto held = all_[i].second;  // it may remove itself
            if (held) f(*held);
        }
        std::erase_if(all_, [](const auto& h) { return h.second == nullptr; });
        is_calling_ = false;
    }

private:
    std::vector<std::pair<std::uint64_t, std::shared_ptr<handler>>> all_;  // null: removed
    bool is_calling_ = false;
};

}  // namespace ice
