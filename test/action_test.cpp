// action: a value that says what to do. The listener or pool must get all that was set.
// test/compile_fail has what must not compile.
#include <ice/action.hpp>
#include <type_traits>

#include "world.hpp"

using namespace test;

namespace {

std::string greet(std::string_view name) { return "hello " + std::string(name); }

// Numbers its messages: it has state, so it shows whose copy it is.
struct numbered : ice::line {
    int parsed_so_far = 0;
    std::string text;

    ice::parsed<std::string_view> parse(std::string_view input) {
        auto found = ice::line::parse(input);
        if (!found.has_message()) return found;
        text = std::to_string(++parsed_so_far);
        return {text, found.size()};
    }
};

// An upstream of lines, and what a front gets from a pool of it by `action`.
template <class Action>
auto request(world& w, Action action, std::string line) {
    auto& pool = w.srv.add(std::move(action));
    return w.run(pool.request(std::move(line)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(action)

// -- of a server

// The shortest server of all must be an echo server.
BOOST_AUTO_TEST_CASE(an_action_without_options_echoes_bytes) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port});
    auto p = w.connect(l.endpoint());
    p.send(std::string("any\0bytes", 9));
    BOOST_TEST(p.read(9) == std::string("any\0bytes", 9));
}

// A protocol alone echoes messages, a logic alone gets bytes.
BOOST_AUTO_TEST_CASE(a_protocol_or_a_logic_may_be_given_alone) {
    world w;
    auto& lines = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    auto p = w.connect(lines.endpoint());
    p.send("ha");
    w.settle();
    BOOST_TEST(!p.poll());
    BOOST_TEST(p.got == "");
    p.send("lf\r\n");
    BOOST_TEST(p.read_line() == "half");

    auto& bytes = w.srv.add(ice::tcp_server_action{any_port}.logic(greet));
    auto q = w.connect(bytes.endpoint());
    q.send("ann");
    BOOST_TEST(q.read(9) == "hello ann");
}

// One parser for all connections would mix their bytes.
BOOST_AUTO_TEST_CASE(each_connection_has_a_copy_of_the_protocol) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(numbered{}));
    auto a = w.connect(l.endpoint());
    auto b = w.connect(l.endpoint());
    for (const char* number : {"1", "2", "3"}) {
        a.send("x\r\n");
        BOOST_TEST(a.read_line() == number);
    }
    b.send("x\r\n");
    BOOST_TEST(b.read_line() == "1");
}

// Each copy has the configuration of the protocol that was given.
BOOST_AUTO_TEST_CASE(the_copy_is_of_the_protocol_that_was_given) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line(";", 3)));
    auto p = w.connect(l.endpoint());
    p.send("abc;abcd;");
    BOOST_TEST(p.read_to_end() == "abc;");
    BOOST_TEST(l.counters().bad_messages == 1u);
}

// All connections share one logic, and so its state.
BOOST_AUTO_TEST_CASE(one_logic_serves_all_connections) {
    struct counting {
        int n = 0;
        std::string operator()(std::string_view) { return std::to_string(++n); }
    };
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(counting{}));
    auto a = w.connect(l.endpoint());
    auto b = w.connect(l.endpoint());
    a.send("x\r\n");
    BOOST_TEST(a.read_line() == "1");
    b.send("x\r\n");
    BOOST_TEST(b.read_line() == "2");
}

// Limits and timeouts may be set before or after other setters.
BOOST_AUTO_TEST_CASE(limits_and_timeouts_survive_later_setters) {
    world w;
    ice::limits l;
    l.connections = 7;
    l.message = 10;
    ice::timeouts t;
    t.idle = 50ms;
    auto& first = w.srv.add(
        ice::tcp_server_action{any_port}.limits(l).timeouts(t).protocol(ice::line{}).logic(greet));
    auto& last = w.srv.add(
        ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(greet).timeouts(t).limits(l));
    for (auto* listener : {&first, &last}) {
        BOOST_TEST(listener->allowed() == 7u);
        auto large = w.connect(listener->endpoint());
        large.send("12345678901");
        BOOST_TEST(large.read_to_end() == "");
        BOOST_TEST(listener->counters().bad_messages == 1u);
        auto silent = w.connect(listener->endpoint());
        BOOST_TEST(silent.read_to_end() == "");
        BOOST_TEST(listener->counters().timeouts == 1u);
    }
}

// An action that a function returns is moved: it must not refer to itself or to the function.
BOOST_AUTO_TEST_CASE(an_action_is_a_value) {
    const auto make = [] {
        const std::string greeting = "hello";
        return ice::tcp_server_action{any_port}
            .protocol(ice::line{})
            .logic([greeting](std::string_view) { return greeting; });
    };
    static_assert(std::is_nothrow_move_constructible_v<decltype(make())> ||
                  std::is_move_constructible_v<decltype(make())>);
    world w;
    auto action = make();
    auto copy = action;
    auto& l = w.srv.add(std::move(action));
    auto& m = w.srv.add(std::move(copy));
    for (const auto* where : {&l.endpoint(), &m.endpoint()}) {
        auto p = w.connect(*where);
        p.send("x\r\n");
        BOOST_TEST(p.read_line() == "hello");
    }
}

// -- of a client

// A reply owns its bytes, as its connection returns to the pool.
BOOST_AUTO_TEST_CASE(a_client_action_returns_replies_unchanged) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(greet));
    const ice::pool_name<ice::line> name{"greeter"};
    const auto reply = request(w, ice::tcp_client_action{l.endpoint(), name, 1}, "ann");
    static_assert(std::same_as<decltype(reply), const ice::pool_result<std::string>>);
    BOOST_TEST_REQUIRE(reply.has_value());
    BOOST_TEST(*reply == "hello ann");
}

// A name from configuration is a string: then the protocol is a template argument.
BOOST_AUTO_TEST_CASE(a_client_action_may_be_named_at_run_time) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line(";")));
    const std::string name = "from configuration";
    w.srv.add(ice::tcp_client_action<ice::line>{l.endpoint(), name, 1, ice::line(";")});
    const auto reply = w.run(w.srv.get<ice::line>(name).request("a\r\nb"));
    BOOST_TEST(reply.value_or("none") == "a\r\nb");
}

// The pool uses the protocol of the constructor, or of a later setter.
BOOST_AUTO_TEST_CASE(a_client_action_uses_the_configured_protocol) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line(";")));
    const ice::pool_name<ice::line> given{"given"}, set{"set"};
    const auto first =
        request(w, ice::tcp_client_action{l.endpoint(), given, 1, ice::line(";")}, "a\r\nb");
    BOOST_TEST(first.value_or("none") == "a\r\nb");
    const auto second =
        request(w, ice::tcp_client_action{l.endpoint(), set, 1}.protocol(ice::line(";")), "c\r\nd");
    BOOST_TEST(second.value_or("none") == "c\r\nd");
}

// The logic of a pool converts a reply to the type of the name; its error is that of the request.
BOOST_AUTO_TEST_CASE(the_logic_of_a_client_action_converts_replies) {
    const auto number = [](std::string_view reply) -> ice::result<int> {
        if (reply.empty()) return ice::errc::bad_message;
        return static_cast<int>(reply.size());
    };
    const auto later = [number](std::string_view reply) -> ice::task<ice::result<int>> {
        co_return number(reply);
    };
    const auto plain = [](std::string_view reply) { return static_cast<int>(reply.size()); };
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    const ice::pool_name<ice::line, int> a{"a"}, b{"b"}, c{"c"}, d{"d"};
    BOOST_TEST(
        request(w, ice::tcp_client_action{l.endpoint(), a, 1}.logic(plain), "xyz").value_or(-1) ==
        3);
    BOOST_TEST(
        request(w, ice::tcp_client_action{l.endpoint(), b, 1}.logic(number), "xyz").value_or(-1) ==
        3);
    BOOST_TEST(
        request(w, ice::tcp_client_action{l.endpoint(), c, 1}.logic(later), "xyz").value_or(-1) ==
        3);
    const auto bad = request(w, ice::tcp_client_action{l.endpoint(), d, 1}.logic(number), "");
    BOOST_TEST(bad.error() == ice::errc::bad_message);
}

// A pool without connections could only make its callers wait.
BOOST_AUTO_TEST_CASE(a_client_action_of_size_zero_is_refused) {
    world w;
    const ice::pool_name<ice::line> name{"nobody"};
    BOOST_CHECK_THROW(w.srv.add(ice::tcp_client_action{any_port, name, 0}), std::invalid_argument);
}

// A name with another reply type needs a logic: add() finds that it is missing, not the first
// reply.
BOOST_AUTO_TEST_CASE(a_reply_type_of_the_name_needs_a_logic_that_makes_it) {
    world w;
    const ice::pool_name<ice::line, int> name{"numbers"};
    BOOST_CHECK_THROW(w.srv.add(ice::tcp_client_action{any_port, name, 1}), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
