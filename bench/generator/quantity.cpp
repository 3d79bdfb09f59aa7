// A number and its unit, apart.
#include "quantity.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <utility>

namespace ice::bench {
namespace {

using units = std::initializer_list<std::pair<std::string_view, double>>;

double quantity(std::string_view text, units known, std::string_view right) {
    double value = 0;
    const char* const last = text.data() + text.size();
    const auto [end, ec] =
        std::from_chars(text.data(), last, value, std::chars_format::fixed);  // 1e9 is no number
    const std::string_view unit(end, static_cast<std::size_t>(last - end));
    if (ec == std::errc() && std::isfinite(value))
        for (const auto& [name, factor] : known)
            if (unit == name) return value * factor;
    throw std::invalid_argument(fmt::format("{} is not {}", text.empty() ? "''" : text, right));
}

}  // namespace

double count_of(std::string_view text) {
    return quantity(text, {{"", 1}, {"k", 1e3}, {"m", 1e6}}, "a number (1000, 100k, 1m)");
}

double time_of(std::string_view text, bool bare) {
    if (bare && !text.empty() && text.back() >= '0' && text.back() <= '9')
        return quantity(text, {{"", 1e9}}, "a time (200us, 5ms, 10s, 2m)");
    return quantity(text, {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}},
                    bare ? "a time (200us, 5ms, 10s, 2m)" : "a time with a unit (200us, 5ms, 10s)");
}

}  // namespace ice::bench
