// logic: every signature that a logic may have works, and every other is refused.
#include <fmt/format.h>

#include <functional>
#include <ice/logic.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

using line_session = ice::session<ice::line>;
using maybe = std::optional<std::string>;

std::string twice(std::string_view line) { return fmt::format("{0}{0}", line); }

// What the peer hears when it says "ab" and "-", and the logic is `l`.
template <class L>
std::string heard(L l) {
    static_assert(ice::logic_for<L, ice::line>);
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(std::move(l));
    c.arrive("ab\r\n-\r\n");
    return c.heard();
}

// What is to be heard when every line is answered with itself twice, and when "-" has no answer.
const std::string both = "abab\r\n--\r\n";
const std::string one = "abab\r\n";

struct object {
    std::string operator()(std::string_view line) { return twice(line); }
};
struct object_with_session {
    std::string operator()(std::string_view line, line_session&) { return twice(line); }
};
struct dispatching {
    std::string dispatch(std::string_view line) { return twice(line); }
};
struct dispatching_with_session {
    std::string dispatch(std::string_view line, line_session&) { return twice(line); }
};
struct dispatching_later {
    ice::task<std::string> dispatch(std::string_view line) { co_return twice(line); }
};
struct dispatching_later_with_session {
    ice::task<std::string> dispatch(std::string_view line, line_session& peer) {
        co_await peer.bytes().net().yield();
        co_return twice(line);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(logic)

// Otherwise users would find a signature that compiles and does not answer.
BOOST_AUTO_TEST_CASE(every_callable_is_a_logic) {
    BOOST_TEST(heard(twice) == both);
    BOOST_TEST(heard(&twice) == both);
    BOOST_TEST(heard([](std::string_view line) { return twice(line); }) == both);
    BOOST_TEST(heard([](auto line) { return twice(line); }) == both);
    BOOST_TEST(heard([](auto line, auto& peer) {
                   static_assert(std::same_as<decltype(peer), line_session&>);
                   return twice(line);
               }) == both);
    BOOST_TEST(heard([](const std::string_view& line) { return twice(line); }) == both);
    BOOST_TEST(heard(std::function<std::string(std::string_view)>(twice)) == both);
    BOOST_TEST(heard(object{}) == both);
    BOOST_TEST(heard(object_with_session{}) == both);
}

// The form of the seed: an object with dispatch().
BOOST_AUTO_TEST_CASE(an_object_with_dispatch_is_a_logic) {
    BOOST_TEST(heard(dispatching{}) == both);
    BOOST_TEST(heard(dispatching_with_session{}) == both);
    BOOST_TEST(heard(dispatching_later{}) == both);
    BOOST_TEST(heard(dispatching_later_with_session{}) == both);
}

// The same signatures as coroutines: only the type of the answer changes.
BOOST_AUTO_TEST_CASE(every_coroutine_is_a_logic) {
    using text = ice::task<std::string>;
    BOOST_TEST(heard([](std::string_view line) -> text { co_return twice(line); }) == both);
    BOOST_TEST(heard([](auto line) -> text { co_return twice(line); }) == both);
    BOOST_TEST(heard([](std::string_view line, line_session&) -> text { co_return twice(line); }) ==
               both);
    BOOST_TEST(heard([](auto line, auto&) -> text { co_return twice(line); }) == both);
    BOOST_TEST(heard(std::function<text(std::string_view)>(
                   [](std::string_view line) -> text { co_return twice(line); })) == both);
}

// A missing answer must send nothing, not an empty line.
BOOST_AUTO_TEST_CASE(an_empty_optional_sends_nothing) {
    const auto answer = [](std::string_view line) {
        return line == "-" ? maybe() : maybe(twice(line));
    };
    BOOST_TEST(heard(answer) == one);
    BOOST_TEST(heard([&](std::string_view line) -> ice::task<maybe> { co_return answer(line); }) ==
               one);
    BOOST_TEST(heard([&](std::string_view line, line_session&) { return answer(line); }) == one);
}

// An empty answer must send an empty message: a peer may wait for it.
BOOST_AUTO_TEST_CASE(an_empty_answer_is_an_answer) {
    BOOST_TEST(heard([](std::string_view) { return std::string(); }) == "\r\n\r\n");
    BOOST_TEST(heard([](std::string_view) { return maybe(""); }) == "\r\n\r\n");
}

// A logic without answers can push, or stay silent.
BOOST_AUTO_TEST_CASE(a_logic_may_return_void) {
    int called = 0;
    BOOST_TEST(heard([&](std::string_view) { ++called; }) == "");
    BOOST_TEST(heard([&](std::string_view) -> ice::task<> {
                   ++called;
                   co_return;
               }) == "");
    BOOST_TEST(called == 4);
    BOOST_TEST(heard([](std::string_view line, line_session& peer) {
                   BOOST_TEST(!peer.push(twice(line)));
               }) == both);
}

// All that the protocol packs is an answer, views and literals too, so no copy is necessary.
BOOST_AUTO_TEST_CASE(an_answer_may_be_anything_that_the_protocol_packs) {
    const std::string kept = "kept";
    BOOST_TEST(heard([](std::string_view line) { return line; }) == "ab\r\n-\r\n");
    BOOST_TEST(heard([](std::string_view) { return "literal"; }) == "literal\r\nliteral\r\n");
    BOOST_TEST(heard([&](std::string_view) -> const std::string& { return kept; }) ==
               "kept\r\nkept\r\n");
    BOOST_TEST(heard([](std::string_view) -> ice::task<const char*> { co_return "literal"; }) ==
               "literal\r\nliteral\r\n");
    BOOST_TEST(heard(ice::echo{}) == "ab\r\n-\r\n");
}

// One logic serves all connections, so its state is that of all.
BOOST_AUTO_TEST_CASE(a_logic_may_have_state) {
    struct counting {
        int n = 0;
        std::string operator()(std::string_view) { return std::to_string(++n); }
    };
    BOOST_TEST(heard(counting{}) == "1\r\n2\r\n");
    BOOST_TEST(heard([n = 0](std::string_view) mutable { return std::to_string(++n); }) ==
               "1\r\n2\r\n");
    BOOST_TEST(heard([own = std::make_unique<int>(7)](std::string_view) {
                   return std::to_string(*own);
               }) == "7\r\n7\r\n");
}

namespace {

// A message that cannot be copied is handed over, never lent.
struct boxes {
    ice::parsed<std::unique_ptr<char>> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {std::make_unique<char>(input.front()), 1};
    }
    void packet(const std::unique_ptr<char>& c, std::string& out) { out.push_back(*c); }
};

// The one with the session is the one that was meant, if there are two.
struct overloaded {
    std::string dispatch(std::string_view) { return "without"; }
    std::string dispatch(std::string_view, line_session&) { return "with"; }
};

}  // namespace

// Protocols of users have messages of any type.
BOOST_AUTO_TEST_CASE(a_move_only_message_is_moved) {
    memory_world w;
    conversation<boxes> c(w);
    c.serve([](std::unique_ptr<char> box) { return box; });
    c.arrive("xyz");
    BOOST_TEST(c.heard() == "xyz");
}

// Two overloads in one object must not be ambiguous.
BOOST_AUTO_TEST_CASE(the_overload_with_the_session_is_preferred) {
    BOOST_TEST(heard(overloaded{}) == "with\r\nwith\r\n");
}

// What is refused here is refused with a sentence by tcp_server_action: see test/compile_fail.
BOOST_AUTO_TEST_CASE(any_other_signature_is_refused) {
    using ice::line;
    using ice::logic_for;
    static_assert(!logic_for<int, line>);
    static_assert(!logic_for<std::string (*)(), line>);
    static_assert(!logic_for<std::string (*)(int), line>);
    static_assert(!logic_for<std::string (*)(std::string&), line>);
    static_assert(!logic_for<std::string (*)(line_session&), line>);
    static_assert(!logic_for<std::string (*)(line_session&, std::string_view), line>);
    static_assert(!logic_for<std::string (*)(std::string_view, ice::session<ice::telnet>&), line>);
    static_assert(!logic_for<int (*)(std::string_view), line>);
    static_assert(!logic_for<std::optional<int> (*)(std::string_view), line>);
    static_assert(!logic_for<ice::task<int> (*)(std::string_view), line>);
    static_assert(!logic_for<ice::task<std::optional<int>> (*)(std::string_view), line>);
    static_assert(!logic_for<ice::result<std::string> (*)(std::string_view), line>);
    static_assert(!logic_for<ice::task<ice::task<std::string>> (*)(std::string_view), line>);
    static_assert(!logic_for<std::optional<ice::task<std::string>> (*)(std::string_view), line>);
    static_assert(!logic_for<std::optional<maybe> (*)(std::string_view), line>);
    static_assert(!logic_for<ice::echo, int>);
    BOOST_TEST(true);
}

BOOST_AUTO_TEST_SUITE_END()
