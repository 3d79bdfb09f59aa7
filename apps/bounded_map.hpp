// bounded_map: texts under keys, in a bounded number of bytes. What apps/keyvalue keeps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "siphash.hpp"

class bounded_map {
public:
    // Keeps at most `room` bytes, counted as memory: see cost().
    explicit bounded_map(std::size_t room) : room_(room) {}

    // Null if there is none; otherwise it lives until the key is kept anew or forgotten.
    const std::string* find(std::string_view key) const {
        const auto found = texts_.find(key);
        return found == texts_.end() ? nullptr : &found->second;
    }

    // The same, to write over its bytes: its length must not change.
    std::string* find_to_change(std::string_view key) {
        const auto found = texts_.find(key);
        return found == texts_.end() ? nullptr : &found->second;
    }

    // False if there is no room for it: then all is as before.
    bool keep(std::string_view key, std::string_view text) {
        const auto found = texts_.find(key);
        const std::size_t before = found == texts_.end() ? 0 : cost(key, found->second);
        if (used_ - before + cost(key, text) > room_) return false;
        // Not assigned: a short text would leave the memory of a long one with its string.
        if (found == texts_.end()) texts_.emplace(key, text);
        else std::string(text).swap(found->second);
        used_ += cost(key, text) - before;
        return true;
    }

    // False if there was none.
    bool forget(std::string_view key) {
        const auto found = texts_.find(key);
        if (found == texts_.end()) return false;
        used_ -= cost(key, found->second);
        texts_.erase(found);
        return true;
    }

    void forget_all() {
        texts_.clear();
        used_ = 0;
    }

    // With how many keys one is compared at most.
    std::size_t fullest_bucket() const {
        std::size_t most = 0;
        for (std::size_t i = 0; i < texts_.bucket_count(); ++i)
            most = std::max(most, texts_.bucket_size(i));
        return most;
    }

private:
    // The two texts; their strings, node and place in the table (104 bytes), and what malloc adds.
    static std::size_t cost(std::string_view key, std::string_view text) {
        return key.size() + text.size() + 160;
    }

    std::unordered_map<std::string, std::string, keyed_hash, std::equal_to<>> texts_;
    std::size_t room_, used_ = 0;
};
