// siphash: a hash of bytes that nobody can predict without its key (Aumasson and Bernstein, 2012).
// Keys that collide under std::hash do so with any seed, and are easily found.
#pragma once

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

struct siphash_key {
    std::uint64_t k0 = 0, k1 = 0;

    // From the kernel: a key for each table. Throws std::system_error if there is none.
    static siphash_key random() {
        siphash_key key;
        if (::getrandom(&key, sizeof key, 0) !=
            sizeof key)  // so few bytes come whole: getrandom(2)
            throw std::system_error(errno, std::generic_category(), "getrandom");
        return key;
    }
};

// Rounds for each word, and at the end: SipHash-1-3 is what Rust and Python use for their tables.
template <int Each = 1, int End = 3>
class siphash {
public:
    constexpr siphash(siphash_key key, std::string_view bytes) noexcept
        : a_(key.k0 ^ 0x736f6d6570736575), b_(key.k1 ^ 0x646f72616e646f6d),
          c_(key.k0 ^ 0x6c7967656e657261), d_(key.k1 ^ 0x7465646279746573) {
        std::uint64_t last = std::uint64_t{bytes.size()} << 56;
        for (; bytes.size() >= 8; bytes.remove_prefix(8)) take(word(bytes.substr(0, 8)));
        take(last | word(bytes));
        c_ ^= 0xff;
        rounds(End);
    }

    constexpr std::uint64_t value() const noexcept { return a_ ^ b_ ^ c_ ^ d_; }

private:
    static constexpr std::uint64_t word(std::string_view bytes) noexcept {  // little-endian
        std::uint64_t w = 0;
        for (std::size_t i = bytes.size(); i-- > 0;)
            w = w << 8 | static_cast<unsigned char>(bytes[i]);
        return w;
    }
    constexpr void take(std::uint64_t w) noexcept {
        d_ ^= w;
        rounds(Each);
        a_ ^= w;
    }
    constexpr void rounds(int n) noexcept {
        for (; n != 0; --n) {
            a_ += b_;
            b_ = std::rotl(b_, 13) ^ a_;
            a_ = std::rotl(a_, 32);
            c_ += d_;
            d_ = std::rotl(d_, 16) ^ c_;
            a_ += d_;
            d_ = std::rotl(d_, 21) ^ a_;
            c_ += b_;
            b_ = std::rotl(b_, 17) ^ c_;
            c_ = std::rotl(c_, 32);
        }
    }

    std::uint64_t a_, b_, c_, d_;
};

// For a table of texts whose keys strangers choose: each could send keys that collide under a hash
// that they can predict, and the table would compare each with all. By a view one finds a string
// without making one.
struct keyed_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
        return static_cast<std::size_t>(siphash<>(key, text).value());
    }
    siphash_key key = siphash_key::random();
};
