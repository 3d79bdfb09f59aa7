// result: a value or an error, never both, with std::expected's names.
#include <boost/test/unit_test.hpp>
#include <concepts>
#include <ice/result.hpp>
#include <memory>
#include <string>
#include <type_traits>

namespace {

using ice::errc;
using text = ice::result<std::string>;

text half(int n) {
    if (n % 2 != 0) return errc::bad_message;
    return std::to_string(n / 2);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(result)

BOOST_AUTO_TEST_CASE(a_value_is_a_value_and_no_error) {
    // An error that stayed in the result would be reported for a success.
    text r = half(8);
    BOOST_TEST(r.has_value());
    BOOST_TEST(bool(r));
    BOOST_TEST(*r == "4");
    BOOST_TEST(r->size() == 1U);
    BOOST_TEST(r.value() == "4");
    BOOST_TEST(r.value_or("none") == "4");
    BOOST_TEST(!r.error());
    const text& same = r;
    BOOST_TEST(*same == "4");
    BOOST_TEST(same.value() == "4");
    BOOST_TEST(same->size() == 1U);
}

BOOST_AUTO_TEST_CASE(an_error_is_an_error_and_no_value) {
    // A caller that asks for the value must not get an empty one.
    text r = half(7);
    BOOST_TEST(!r.has_value());
    BOOST_TEST(!r);
    BOOST_TEST(r.error() == make_error_code(errc::bad_message));
    BOOST_TEST(r.value_or("none") == "none");
}

// Asio makes one before there is a result; taken for a success, it would be read without a value.
BOOST_AUTO_TEST_CASE(an_empty_result_is_an_error) {
    const text r;
    BOOST_TEST(!r);
    BOOST_TEST(r.error() == errc::stopped);
}

BOOST_AUTO_TEST_CASE(value_throws_the_error) {
    // A caller that does not check the result sees only the exception.
    const auto is_ours = [](const std::system_error& e) {
        return e.code() == make_error_code(errc::closed);
    };
    text r = errc::closed;
    const text same = errc::closed;
    BOOST_CHECK_EXCEPTION(same.value(), std::system_error, is_ours);
    BOOST_CHECK_EXCEPTION(r.value(), std::system_error, is_ours);
    BOOST_CHECK_EXCEPTION(text(errc::closed).value(), std::system_error, is_ours);
}

BOOST_AUTO_TEST_CASE(a_system_error_keeps_its_category) {
    // With another category, ECONNRESET could not be told from other errors.
    const auto ec = std::make_error_code(std::errc::connection_reset);
    const text r = ec;
    BOOST_TEST(!r);
    BOOST_TEST(r.error() == ec);
}

BOOST_AUTO_TEST_CASE(a_false_or_empty_value_is_still_a_value) {
    // `if (r)` asks whether there is a value, not what it is.
    BOOST_TEST(bool(ice::result<bool>(false)));
    BOOST_TEST(!*ice::result<bool>(false));
    BOOST_TEST(bool(ice::result<int>(0)));
    BOOST_TEST(bool(text(std::string())));
}

BOOST_AUTO_TEST_CASE(the_number_of_an_error_is_no_value) {
    // errc must not turn into the int of a result<int>.
    const ice::result<int> r = errc::closed;
    BOOST_TEST(!r);
    BOOST_TEST(r.error() == make_error_code(errc::closed));
}

BOOST_AUTO_TEST_CASE(a_move_only_value_can_be_moved_out) {
    // Channels and connections are move-only.
    ice::result<std::unique_ptr<int>> r = std::make_unique<int>(5);
    std::unique_ptr<int> out = *std::move(r);
    BOOST_TEST(*out == 5);
    ice::result<std::unique_ptr<int>> other = std::move(out);
    BOOST_TEST(*std::move(other).value() == 5);
}

BOOST_AUTO_TEST_CASE(a_result_does_not_convert_to_a_number) {
    // With an implicit bool, `result + 1` and a comparison of two results would compile.
    static_assert(!std::is_convertible_v<text, bool>);
    static_assert(std::is_constructible_v<bool, text>);
    static_assert(std::same_as<text::value_type, std::string>);
}

BOOST_AUTO_TEST_SUITE_END()
