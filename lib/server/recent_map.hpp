// recent_map: a bounded number of values under keys. It forgets the one that was used least
// recently.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <utility>

namespace ice {

template <class Key, class Value>
class recent_map {
public:
    // Keeps at most `most` values; 0 means 1.
    explicit recent_map(std::size_t most) : most_(most == 0 ? 1 : most) {}

    // Null if there is none. Valid until the next call of another member. `K` compares with Key.
    template <class K>
    Value* find(const K& key) {
        const auto found = places_.find(key);
        if (found == places_.end()) return nullptr;
        values_.splice(values_.begin(), values_, found->second);
        return &found->second->second;
    }

    // Requires: there is no value under this key. Returns whether it has forgotten another one.
    bool add(Key key, Value value) {
        values_.emplace_front(key, std::move(value));
        try {
            places_.emplace(std::move(key), values_.begin());
        } catch (...) {
            values_.pop_front();
            throw;
        }
        const bool is_full = values_.size() > most_;
        if (is_full) {
            places_.erase(values_.back().first);
            values_.pop_back();
        }
        return is_full;
    }

    // Erases the keys from `first` up to `last`, included.
    void erase(const Key& first, const Key& last) {
        const auto begin = places_.lower_bound(first), end = places_.upper_bound(last);
        for (auto at = begin; at != end; ++at) values_.erase(at->second);
        places_.erase(begin, end);
    }

private:
    using entries = std::list<std::pair<Key, Value>>;

    std::size_t most_;
    entries values_;  // the most recent one first
    std::map<Key, typename entries::iterator, std::less<>> places_;
};

}  // namespace ice
