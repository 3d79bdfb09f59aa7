// protocol: what parse() may return, which types are protocols, and packing.
#include <boost/test/unit_test.hpp>
#include <concepts>
#include <ice/protocol.hpp>
#include <ice/task.hpp>
#include <memory>
#include <string>
#include <vector>

namespace ice {
template <class P>
class session;
}

namespace {

using ice::errc;
using ice::parsed;

struct plain {
    parsed<int> parse(std::string_view);
    static void packet(int n, std::string& out) { out += std::to_string(n); }
};
struct answering {
    parsed<std::string_view> parse(std::string_view, std::string&);
    // Writes half of it before it finds out that it cannot.
    static ice::error_code packet(std::string_view text, std::string& out) {
        for (const char c : text) {
            if (c == '!') return errc::unencodable;
            out += c;
        }
        return {};
    }
};
struct handling {
    using message_type = std::vector<int>;
    ice::task<parsed<message_type>> handle(std::string_view, ice::session<handling>&);
    static errc packet(const message_type&, std::string&) { return errc::message_too_large; }
};
struct no_parse {};
struct parse_of_a_string {
    std::string parse(std::string_view);
};
struct not_copyable {
    parsed<int> parse(std::string_view);
    std::unique_ptr<int> state;
};

// Not of ice, and not std's either.
class other_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "other"; }
    std::string message(int) const override { return "theirs"; }
};
const other_category other;

}  // namespace

BOOST_AUTO_TEST_SUITE(protocol)

BOOST_AUTO_TEST_CASE(a_message_comes_with_the_number_of_its_bytes) {
    // Taken for a skip, the message would be lost; taken for an error, the connection.
    const std::string_view input = "abc\r\nrest";
    parsed<std::string_view> p{input.substr(0, 3), 5};
    BOOST_TEST(p.has_message());
    BOOST_TEST(p.message() == "abc");
    BOOST_TEST(p.message().data() == input.data());
    BOOST_TEST(p.size() == 5U);
    BOOST_TEST(!p.failed());
    BOOST_TEST(!p.error());
}

BOOST_AUTO_TEST_CASE(need_more_consumes_nothing) {
    // The next call gets the same bytes, with more behind them.
    const parsed<std::string> p = ice::need_more;
    BOOST_TEST(!p.has_message());
    BOOST_TEST(p.size() == 0U);
    BOOST_TEST(!p.failed());
    BOOST_TEST(!p.error());
}

BOOST_AUTO_TEST_CASE(skip_consumes_bytes_and_is_no_message) {
    // Options of telnet: the logic must not be called for them.
    const parsed<std::string> p = ice::skip{3};
    BOOST_TEST(!p.has_message());
    BOOST_TEST(p.size() == 3U);
    BOOST_TEST(!p.failed());
}

BOOST_AUTO_TEST_CASE(an_error_keeps_its_value_and_its_category) {
    // A log needs both for its text, and a condition for its comparison.
    const parsed<int> ours = errc::bad_message;
    BOOST_TEST(ours.failed());
    BOOST_TEST(!ours.has_message());
    BOOST_TEST(ours.size() == 0U);
    BOOST_TEST(ours.error() == make_error_code(errc::bad_message));
    const parsed<int> theirs = ice::error_code(42, other);
    BOOST_TEST(theirs.failed());
    BOOST_TEST(theirs.error().value() == 42);
    BOOST_TEST(theirs.error().message() == "theirs");
}

BOOST_AUTO_TEST_CASE(a_message_may_be_a_number_or_move_only) {
    // A number could be mistaken for a size or an error's value.
    parsed<int> zero{0, 1};
    BOOST_TEST(zero.has_message());
    BOOST_TEST(zero.message() == 0);
    BOOST_TEST(zero.size() == 1U);
    parsed<std::unique_ptr<int>> owner{std::make_unique<int>(7), 1};
    const auto taken = std::move(owner.message());
    BOOST_TEST(*taken == 7);
}

BOOST_AUTO_TEST_CASE(three_shapes_are_protocols_and_others_are_not) {
    // A shape that is refused too late ends in pages of template errors.
    static_assert(ice::protocol<plain>);
    static_assert(ice::protocol<answering>);
    static_assert(ice::protocol<handling>);
    static_assert(!ice::protocol<no_parse>);
    static_assert(!ice::protocol<parse_of_a_string>);
    static_assert(!ice::protocol<not_copyable>);
    static_assert(std::same_as<ice::message_t<plain>, int>);
    static_assert(std::same_as<ice::message_t<answering>, std::string_view>);
    static_assert(std::same_as<ice::message_t<handling>, std::vector<int>>);
    static_assert(ice::can_packet<plain, int>);
    static_assert(!ice::can_packet<plain, std::string>);
    static_assert(ice::can_packet<answering, std::string>);
}

BOOST_AUTO_TEST_CASE(an_owned_message_is_a_copy) {
    // A reply of a pool: the buffer belongs to the connection, which returns to the pool.
    static_assert(std::same_as<ice::owned_t<std::string_view>, std::string>);
    static_assert(std::same_as<ice::owned_t<int>, int>);
    static_assert(std::same_as<ice::owned_t<std::vector<std::string>>, std::vector<std::string>>);
    struct said {
        using owns = std::true_type;
    };
    struct unsaid {
        std::string_view text;
    };
    static_assert(std::same_as<ice::owned_t<std::optional<said>>, std::optional<said>>);
    static_assert(!ice::detail::says_what_it_owns<unsaid>);
    static_assert(!ice::detail::says_what_it_owns<std::vector<std::string_view>>);
    static_assert(!ice::detail::says_what_it_owns<const char*>);
}

BOOST_AUTO_TEST_CASE(packing_appends) {
    // The answers of one burst stand behind each other.
    plain p;
    std::string out = "before ";
    BOOST_TEST(!ice::packet(p, 42, out));
    BOOST_TEST(out == "before 42");
    answering a;
    BOOST_TEST(!ice::packet(a, std::string_view(" text"), out));
    BOOST_TEST(out == "before 42 text");
}

BOOST_AUTO_TEST_CASE(an_exception_of_packet_leaves_no_bytes) {
    // The danger: on a shared connection the next message follows half a message.
    struct thrower {
        ice::parsed<std::string_view> parse(std::string_view) { return ice::need_more; }
        void packet(std::string_view text, std::string& out) {
            out.append(text);
            throw std::runtime_error("no");
        }
    } p;
    std::string out = "before";
    BOOST_CHECK_THROW(static_cast<void>(ice::packet(p, std::string_view("half"), out)),
                      std::runtime_error);
    BOOST_TEST(out == "before");
}

BOOST_AUTO_TEST_CASE(an_error_of_packet_leaves_no_bytes) {
    // Half a message and the next one together would be a message that nobody sent.
    answering a;
    std::string out = "before";
    BOOST_TEST(ice::packet(a, std::string_view("half!half"), out) ==
               make_error_code(errc::unencodable));
    BOOST_TEST(out == "before");
    handling h;
    BOOST_TEST(ice::packet(h, std::vector<int>{}, out) == make_error_code(errc::message_too_large));
    BOOST_TEST(out == "before");
}

BOOST_AUTO_TEST_SUITE_END()
