// duration: no value of std::chrono overflows in its conversion to ice::duration, nor in sums.
#include <boost/test/unit_test.hpp>
#include <ice/duration.hpp>
#include <ice/limits.hpp>
#include <limits>

namespace {

using namespace std::chrono_literals;
namespace chrono = std::chrono;
using span = ice::duration;

constexpr auto most = std::numeric_limits<span::rep>::max();
constexpr auto least = std::numeric_limits<span::rep>::min();

constexpr span given(span d) { return d; }
constexpr std::int64_t ticks(span d) { return d.count(); }

}  // namespace

BOOST_AUTO_TEST_SUITE(duration)

BOOST_AUTO_TEST_CASE(a_duration_that_does_not_fit_becomes_the_longest_or_the_shortest) {
    // The conversion of std::chrono wraps around: an endless timeout expired at once.
    static_assert(given(chrono::hours::max()) == ice::no_timeout);
    static_assert(given(chrono::seconds::max()) == ice::no_timeout);
    static_assert(given(chrono::milliseconds::max()) == ice::no_timeout);
    static_assert(given(chrono::milliseconds::max() - 1ms) == ice::no_timeout);
    static_assert(given(chrono::nanoseconds::max()) == ice::no_timeout);
    static_assert(given(chrono::hours::min()) == span::min());
    static_assert(given(chrono::milliseconds::min()) == span::min());
    static_assert(given(chrono::years(1000)) == ice::no_timeout);
    static_assert(given(chrono::years(-1000)) == span::min());
    static_assert(given(chrono::duration<std::uint64_t>::max()) == ice::no_timeout);
    static_assert(given(chrono::duration<std::uint64_t, std::nano>::max()) == ice::no_timeout);
}

BOOST_AUTO_TEST_CASE(a_duration_that_fits_is_unchanged) {
    static_assert(ticks(0ms) == 0);
    static_assert(ticks(-1ms) == -1'000'000);
    static_assert(ticks(24h) == 86'400'000'000'000);
    static_assert(ticks(chrono::years(292)) == 292 * 31'556'952'000'000'000);
    constexpr chrono::milliseconds last(most / 1'000'000);  // the edge of each unit
    static_assert(ticks(last) == most / 1'000'000 * 1'000'000);
    static_assert(given(last + 1ms) == ice::no_timeout);
    static_assert(ticks(-last) == -(most / 1'000'000 * 1'000'000));
    static_assert(given(-last - 1ms) == span::min());
    static_assert(ticks(chrono::duration<unsigned char>(255)) == 255'000'000'000);
    static_assert(ticks(chrono::duration<int, std::ratio<60>>(-1)) == -60'000'000'000);
}

BOOST_AUTO_TEST_CASE(otherwise_a_duration_behaves_as_in_std_chrono) {
    static_assert(span{} == 0ns);
    static_assert(span(1s) + 1ms == 1001ms);
    static_assert(chrono::duration_cast<chrono::seconds>(span(90s)) == 90s);
    static_assert(ice::time_point{} + span(1s) == ice::time_point(1s));
    static_assert(std::is_convertible_v<span, chrono::nanoseconds>);
    // What rounds or is no whole number must be said, as with std::chrono.
    static_assert(!std::is_convertible_v<chrono::duration<double>, span>);
    static_assert(!std::is_convertible_v<chrono::duration<int, std::pico>, span>);
    static_assert(!std::is_convertible_v<int, span>);
    static_assert(!std::is_convertible_v<span, chrono::milliseconds>);
    static_assert(sizeof(span) == 8 && std::is_trivially_copyable_v<span>);
}

BOOST_AUTO_TEST_CASE(options_accept_any_duration) {
    constexpr ice::timeouts t{.idle = chrono::hours::max(), .write = 1h};
    static_assert(t.idle == ice::no_timeout && t.write == 1h);
    constexpr ice::pool_timeouts p{.request = chrono::years(1000), .max_lifetime = ice::no_timeout};
    static_assert(p.request == ice::no_timeout && p.max_lifetime == ice::no_timeout);
    constexpr ice::backoff_limits b{.first = chrono::minutes::min()};
    static_assert(b.first < 0s && b.cap == 30s);
}

BOOST_AUTO_TEST_CASE(sums_and_products_saturate) {
    constexpr span one(1), all(most), bottom(least);
    static_assert(ice::add_sat(1s, 2s) == 3s);
    static_assert(ice::add_sat(all, one) == all && ice::add_sat(one, all) == all);
    static_assert(ice::add_sat(bottom, -one) == bottom && ice::add_sat(-one, bottom) == bottom);
    static_assert(ice::add_sat(all, bottom) == span(-1));
    static_assert(ice::mul_sat(1s, 4) == 4s && ice::mul_sat(-1s, 4) == -4s);
    static_assert(ice::mul_sat(all, 2) == all && ice::mul_sat(bottom, -1) == all);
    static_assert(ice::mul_sat(all, -2) == bottom && ice::mul_sat(bottom, 2) == bottom);
    static_assert(ice::mul_sat(all, 0) == 0s && ice::mul_sat(bottom, 1) == bottom);
}

BOOST_AUTO_TEST_CASE(an_instant_beyond_the_clock_is_never) {
    constexpr ice::time_point now(1h), start{};
    static_assert(ice::after(now, 1s) == ice::time_point(3601s));
    static_assert(ice::after(now, 0s) == now && ice::after(now, -1h) == start);
    static_assert(ice::after(now, ice::no_timeout) == ice::never);
    static_assert(ice::after(start, ice::no_timeout) == ice::never);
    static_assert(ice::after(ice::time_point(-1s), ice::no_timeout) == ice::never);
    static_assert(ice::after(now, chrono::hours::max()) == ice::never);
    static_assert(ice::after(now, span(most - 1)) == ice::never);
    static_assert(ice::after(start, span(most - 1)) < ice::never);
    static_assert(ice::after(now, chrono::hours::min()) < start);
    static_assert(ice::after(ice::time_point(-1s), chrono::hours::min()) == ice::time_point::min());
    static_assert(ice::after(ice::never, 1s) == ice::never);
}

BOOST_AUTO_TEST_CASE(a_random_part_is_at_most_the_whole_duration) {
    constexpr std::uint64_t all_bits = ~std::uint64_t{0};
    static_assert(ice::any_up_to(10ns, 10) == 10ns && ice::any_up_to(10ns, 11) == 0ns);
    static_assert(ice::any_up_to(0s, all_bits) == 0s);
    static_assert(ice::any_up_to(-1s, all_bits) == 0s);
    static_assert(ice::any_up_to(chrono::hours::min(), 7) == 0s);
    static_assert(ice::any_up_to(ice::no_timeout, most) == ice::no_timeout);
    static_assert(ice::any_up_to(ice::no_timeout, all_bits) == ice::no_timeout);
    static_assert(ice::any_up_to(ice::no_timeout, std::uint64_t{1} << 63) == 0s);
}

BOOST_AUTO_TEST_SUITE_END()
