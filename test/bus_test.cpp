// bus: several processes on one broker, in virtual time: order, gaps, and handlers that do what
// they should not.
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <ice/bus.hpp>
#include <ice/protocols/line.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "nats_broker.hpp"
#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using strings = std::vector<std::string>;

const ice::address broker_address{"10.0.0.1", 4222};

// One process: a server on a machine of its own, with a bus.
struct process {
    process(ice::testing::simulation& sim, int n, ice::pool_addresses where,
            ice::bus_options o = {})
        : srv(std::make_unique<quiet_server>(sim.host(fmt::format("10.0.1.{}", n)))) {
        srv->log().to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
        bus = std::make_unique<ice::bus>(*srv, std::move(where), std::move(o));
    }
    std::uint64_t note(const std::string& topic) {
        return bus->subscribe(topic, [this](std::string_view m) { seen.emplace_back(m); });
    }
    void note_gaps() {
        bus->on_gap([this](std::string_view topic, std::uint64_t lost) {
            seen.push_back(fmt::format("{} lost of {}", lost, topic));
        });
    }

    strings log{}, seen{};
    std::unique_ptr<ice::server> srv;
    std::unique_ptr<ice::bus> bus;
};

struct fixture {
    explicit fixture() { sim.run_for(10ms); }
    // What the broker sends to the first subscription of each client.
    void forge(const std::string& header, const std::string& payload) {
        const auto headers = "NATS/1.0\r\n" + header + "\r\n\r\n";
        broker.send(fmt::format("HMSG ice.t 2 {} {}\r\n{}{}\r\n", headers.size(),
                                headers.size() + payload.size(), headers, payload));
        sim.run_for(1ms);
    }
    static ice::error_code publish(process& from, const std::string& text) {
        return from.bus->publish("t", text);
    }

    ice::testing::simulation sim;
    test::nats_broker broker{sim, broker_address};
    process a{sim, 1, broker_address}, b{sim, 2, broker_address}, c{sim, 3, broker_address};
};

struct alone {
    ice::testing::simulation sim;
    process p{sim, 1, std::vector<ice::address>()};
};

// Tells the bus when its clients leave.
struct farewell {
    ice::bus& bus;
    void operator()(std::string_view) const {}
    void closed(ice::session<ice::line>&) const { BOOST_TEST(!bus.publish("t", "it has left")); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(bus)

// -- several processes

BOOST_FIXTURE_TEST_CASE(all_processes_get_the_messages_of_each_in_order, fixture) {
    for (auto* p : {&a, &b, &c}) p->note("t");
    a.note("another");
    sim.run_for(1ms);
    const auto before = a.bus->client()->link().counters().messages;
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(!publish(a, fmt::format("a{}", i)));
        BOOST_TEST(!publish(b, fmt::format("b{}", i)));
    }
    BOOST_TEST(a.seen == (strings{"a0", "a1", "a2"}), "its own at once");
    sim.run_for(1ms);
    for (auto* p : {&a, &b, &c}) {
        BOOST_TEST(p->seen.size() == 6U);
        std::ranges::stable_sort(p->seen, {}, [](const auto& s) { return s[0]; });
        BOOST_TEST(p->seen == (strings{"a0", "a1", "a2", "b0", "b1", "b2"}));
    }
    BOOST_TEST(a.bus->is_connected());
    BOOST_TEST(a.bus->counters().published == 3U);
    BOOST_TEST(a.bus->counters().received == 3U);
    BOOST_TEST(a.bus->client()->link().counters().messages == before + 3, "no echo");
    BOOST_TEST(c.bus->counters().received == 6U);
    BOOST_TEST(c.bus->counters().lost == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_message_of_its_own_that_comes_back_is_no_other, fixture) {
    broker.honours_echo = false;  // as servers before NATS 1.3
    broker.close_all();
    sim.run_for(1s);
    a.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "once"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == strings{"once"});
    BOOST_TEST(a.bus->counters().received == 0U);
}

BOOST_FIXTURE_TEST_CASE(subscribers_of_one_topic_share_a_subscription_of_nats, fixture) {
    const auto first = a.note("t"), second = a.note("t");
    sim.run_for(1ms);
    const auto subscribed = [&] {
        const auto all = broker.subscriptions();
        return std::count(all.begin(), all.end(), "ice.t");
    };
    BOOST_TEST(subscribed() == 1);
    BOOST_TEST(!publish(b, "twice"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == (strings{"twice", "twice"}));
    a.bus->unsubscribe(first);
    a.bus->unsubscribe(first);
    sim.run_for(1ms);
    BOOST_TEST(subscribed() == 1);
    BOOST_TEST(!publish(b, "one is left"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen.size() == 3U);
    a.bus->unsubscribe(second);
    sim.run_for(1ms);
    BOOST_TEST(subscribed() == 0);
    BOOST_TEST(!publish(b, "nobody"));
    BOOST_TEST(!publish(a, "nobody"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen.size() == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_topic_may_name_one_process, fixture) {
    a.note(std::string(a.bus->id()));
    b.note(std::string(b.bus->id()));
    sim.run_for(1ms);
    BOOST_TEST(a.bus->id().size() == 16U);
    BOOST_TEST(a.bus->id() != b.bus->id());
    BOOST_TEST(!c.bus->publish(a.bus->id(), "for a"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == strings{"for a"});
    BOOST_TEST(b.seen.empty());
}

BOOST_FIXTURE_TEST_CASE(other_clients_of_nats_take_part, fixture) {
    strings got;
    a.note("t");
    ice::nats_client other(*c.srv, broker_address);
    other.subscribe("ice.t", [&](ice::nats_view m) { got.emplace_back(m.payload()); });
    sim.run_for(10ms);
    BOOST_TEST(!publish(b, "of a bus"));
    BOOST_TEST(!other.push(ice::nats_pub("ice.t", "of another client")));
    sim.run_for(1ms);
    BOOST_TEST(got.size() == 2U);
    BOOST_TEST(a.seen.size() == 2U);
    BOOST_TEST(a.bus->counters().unnumbered == 1U);
}

BOOST_FIXTURE_TEST_CASE(services_with_different_prefixes_do_not_meet, fixture) {
    process d(sim, 4, broker_address, {.prefix = "other."});
    sim.run_for(10ms);
    d.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "not for d"));
    broker.publish("other.t", "for d");
    sim.run_for(1ms);
    BOOST_TEST(d.seen == strings{"for d"});
}

// -- gaps

BOOST_FIXTURE_TEST_CASE(what_is_published_without_a_broker_is_counted_by_the_others, fixture) {
    for (auto* p : {&a, &b}) p->note("t"), p->note_gaps();
    sim.run_for(2s);
    BOOST_TEST(!publish(a, "1"));
    sim.run_for(1ms);
    broker.close_all();
    sim.run_for(1ms);
    BOOST_TEST(!a.bus->is_connected());
    BOOST_TEST(publish(a, "2") == errc::not_connected);
    BOOST_TEST(publish(a, "3") == errc::not_connected);
    BOOST_TEST(a.seen == (strings{"1", "2", "3"}), "it serves its own");
    BOOST_TEST(a.bus->counters().refused == 2U);
    sim.run_for(1s);
    BOOST_TEST(!publish(a, "4"));
    BOOST_TEST(!publish(a, "5"));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == (strings{"1", "2 lost of t", "4", "5"}));
    BOOST_TEST(b.bus->counters().lost == 2U);
    BOOST_TEST(b.bus->counters().gaps == 1U);
    BOOST_TEST(a.bus->counters().lost == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_slow_consumer_learns_what_it_has_lost, fixture) {
    for (auto* p : {&b, &c}) p->note("t"), p->note_gaps();
    sim.run_for(2s);
    BOOST_TEST(!publish(a, "1"));
    sim.run_for(1ms);
    broker.drop(1);
    sim.run_for(1us);
    for (const char* text : {"2", "3", "4"}) BOOST_TEST(!publish(a, text));
    sim.run_for(1s);
    BOOST_TEST(!publish(a, "5"));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == (strings{"1", "3 lost of t", "5"}));
    BOOST_TEST(c.seen == (strings{"1", "2", "3", "4", "5"}));
}

BOOST_FIXTURE_TEST_CASE(without_a_report_the_log_has_the_gaps, fixture) {
    a.note("t");
    sim.run_for(1ms);
    forge("Ice-Bus: 00000000000000ff 0 1", "1");
    forge("Ice-Bus: 00000000000000ff 0 5", "5");
    forge("Ice-Bus: 00000000000000ff 0 7", "7");
    BOOST_TEST_REQUIRE(a.log.size() >= 2U);
    BOOST_TEST(a.log.end()[-2] == "bus: 3 messages of 't' were lost, 3 of all topics");
    BOOST_TEST(a.log.back() == "bus: 1 messages of 't' were lost, 4 of all topics");
    a.note_gaps();
    a.bus->on_gap(nullptr);
    forge("Ice-Bus: 00000000000000ff 0 9", "9");
    BOOST_TEST(a.log.back() == "bus: 1 messages of 't' were lost, 5 of all topics");
}

// The danger: what was lost before it subscribed counts as lost, or what it has missed between two
// subscriptions of its own.
BOOST_FIXTURE_TEST_CASE(a_subscriber_counts_from_the_first_message_it_sees, fixture) {
    for (const char* text : {"1", "2"}) BOOST_TEST(!publish(a, text));
    sim.run_for(1ms);
    const auto n = b.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "3"));
    sim.run_for(1ms);
    b.bus->unsubscribe(n);
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "4"));
    sim.run_for(1ms);
    b.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "5"));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == (strings{"3", "5"}));
    BOOST_TEST(b.bus->counters().lost == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_late_message_is_dropped, fixture) {
    a.note("t");
    a.note_gaps();
    sim.run_for(1ms);
    for (const char* n : {"1", "3", "2", "3", "4"})
        forge(fmt::format("Ice-Bus: 00000000000000ff 0 {}", n), n);
    BOOST_TEST(a.seen == (strings{"1", "1 lost of t", "3", "4"}));
    BOOST_TEST(a.bus->counters().late == 2U);
    BOOST_TEST(a.bus->counters().received == 3U);
}

// Any client of NATS may publish any header.
BOOST_FIXTURE_TEST_CASE(forged_headers_count_nothing, fixture) {
    a.note("t");
    sim.run_for(1ms);
    forge("Ice-Bus: 00000000000000ff 0 1", "1");
    const strings forged{"Ice-Bus: 00000000000000ff 0 18446744073709551615",
                         "Ice-Bus: 00000000000000ff 0 4294967298",
                         "Ice-Bus: 00000000000000ff 4294967296 1",
                         "Ice-Bus: 00000000000000ff 18446744073709551615 1",
                         "Ice-Bus: 00000000000000ff 0 18446744073709551616",
                         "Ice-Bus: 00000000000000ff 0 0",
                         "Ice-Bus: 00000000000000ff 0 -1",
                         "Ice-Bus: 00000000000000ff 0 2 3",
                         "Ice-Bus: 00000000000000ff 0",
                         "Ice-Bus: 00000000000000ff",
                         "Ice-Bus: ",
                         "Ice-Bus: x 0 2",
                         "Ice-Bus: 000000000000000ff00 0 2x",
                         "Ice-Bus: 00000000000000ff  2",
                         "ice-bus: ff 0 9",
                         "Ice-Bus: fffffffffffffffff 0 2",
                         "Another: header"};
    for (const auto& header : forged) forge(header, header);
    BOOST_TEST(a.bus->counters().unnumbered == forged.size());
    BOOST_TEST(a.seen.size() == forged.size() + 1);
    BOOST_TEST(a.bus->counters().lost == 0U);
    forge("Ice-Bus: 00000000000000ff 0 2", "2");
    BOOST_TEST(a.seen.back() == "2");
    BOOST_TEST(a.bus->counters().lost == 0U);
    // The largest gap that is true.
    forge("Ice-Bus: 00000000000000ff 0 1048578", "after it");
    BOOST_TEST(a.bus->counters().lost == 1048575U);
}

// -- bounds

BOOST_FIXTURE_TEST_CASE(processes_that_are_remembered_are_bounded, fixture) {
    process d(sim, 4, broker_address, {.publishers = 2});
    d.note("t");
    sim.run_for(10ms);
    const auto from = [&](char who, int n) {
        forge(fmt::format("Ice-Bus: {} 0 {}", who, n), "text");
    };
    from('1', 1), from('2', 1);
    from('1', 3), from('2', 3);
    BOOST_TEST(d.bus->counters().lost == 2U);
    BOOST_TEST(d.bus->counters().forgotten == 0U);
    from('1', 4), from('3', 1);  // forgets 2, which it has not seen for longest
    BOOST_TEST(d.bus->counters().forgotten == 1U);
    from('1', 6);
    BOOST_TEST(d.bus->counters().lost == 3U);
    from('2', 9);
    BOOST_TEST(d.bus->counters().lost == 3U);
    BOOST_TEST(d.bus->counters().forgotten == 2U);
    BOOST_TEST(d.seen.size() == 8U);
}

BOOST_FIXTURE_TEST_CASE(what_has_no_subscriber_is_not_remembered, fixture) {
    process d(sim, 4, broker_address, {.publishers = 1});
    for (int i = 0; i < 3; ++i) {
        const auto n = d.note("t");
        sim.run_for(10ms);
        BOOST_TEST(!publish(a, "text"));
        sim.run_for(1ms);
        d.bus->unsubscribe(n);
    }
    BOOST_TEST(d.seen.size() == 3U);
    BOOST_TEST(d.bus->counters().forgotten == 0U);
}

BOOST_FIXTURE_TEST_CASE(topics_that_are_numbered_are_bounded, fixture) {
    process d(sim, 4, broker_address, {.topics = 2});
    for (const char* topic : {"t", "u", "v"}) a.note(topic);
    a.note_gaps();
    sim.run_for(10ms);
    const auto say = [&](const char* topic, const char* text) {
        BOOST_TEST(!d.bus->publish(topic, text));
        sim.run_for(1ms);
    };
    say("t", "t1"), say("u", "u1"), say("t", "t2");
    say("v", "v1");  // forgets u
    say("u", "u2");  // another stream, and forgets t
    say("t", "t3"), say("t", "t4");
    BOOST_TEST(a.seen == (strings{"t1", "u1", "t2", "v1", "u2", "t3", "t4"}));
    BOOST_TEST(a.bus->counters().lost == 0U);
    BOOST_TEST(a.bus->counters().late == 0U);
    // Of a new stream the first messages may be lost as well.
    forge("Ice-Bus: 00000000000000ff 0 7", "x");
    forge("Ice-Bus: 00000000000000ff 1 3", "y");
    forge("Ice-Bus: 00000000000000ff 0 8", "of the stream before");
    BOOST_TEST(a.seen.end()[-3] == "x");
    BOOST_TEST(a.seen.end()[-2] == "2 lost of t");
    BOOST_TEST(a.seen.back() == "y");
}

BOOST_FIXTURE_TEST_CASE(a_message_has_a_bound, fixture) {
    process d(sim, 4, broker_address, {.message = 100});
    a.note("t");
    d.note("t");
    sim.run_for(10ms);
    for (const std::size_t size : {0U, 99U, 100U}) BOOST_TEST(!publish(d, std::string(size, 'x')));
    BOOST_TEST(publish(d, std::string(101, 'x')) == errc::message_too_large);
    sim.run_for(1ms);
    BOOST_TEST(a.seen.size() == 3U);
    BOOST_TEST(d.seen.size() == 3U);
    BOOST_TEST(!publish(a, std::string(64 * 1024, 'x')));
    BOOST_TEST(publish(a, std::string(64 * 1024 + 1, 'x')) == errc::message_too_large);
    sim.run_for(1ms);
    BOOST_TEST(a.bus->counters().refused == 0U);
}

// The danger: any client of NATS can end the connections of all processes.
BOOST_FIXTURE_TEST_CASE(what_others_publish_may_be_larger, fixture) {
    a.note("t");
    sim.run_for(1ms);
    broker.publish("ice.t", std::string(500'000, 'x'));
    process d(sim, 4, broker_address, {.message = 100'000, .nats = {.name = "bus", .payload = 9}});
    sim.run_for(10ms);
    BOOST_TEST(!publish(d, std::string(100'000, 'x')));
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(a.seen.size() == 2U);
    BOOST_TEST(a.seen[0].size() == 500'000U);
    BOOST_TEST(a.seen[1].size() == 100'000U);
    BOOST_TEST(a.bus->client()->link().counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(the_link_may_refuse_what_its_process_has_got, fixture) {
    process d(sim, 4, broker_address,
              {.nats = {.name = "bus", .payload = 1000, .outbox = 150'000}});
    a.note("t");
    d.note("t");
    a.note_gaps();
    sim.run_for(10ms);
    BOOST_TEST(!publish(d, "1"));
    sim.run_for(1ms);
    const std::string large(60'000, 'x');
    BOOST_TEST(!publish(d, large));
    BOOST_TEST(!publish(d, large));
    BOOST_TEST(publish(d, large) == errc::outbox_full);
    BOOST_TEST(d.seen.size() == 4U);
    sim.run_for(1s);
    BOOST_TEST(!publish(d, "5"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == (strings{"1", large, large, "1 lost of t", "5"}));
}

// -- the end of a process

BOOST_FIXTURE_TEST_CASE(a_drain_publishes_what_its_sessions_say_last, fixture) {
    const ice::address where{"10.0.1.1", 9999};
    a.srv->add(ice::tcp_server_action{where}.protocol(ice::line{}).logic(farewell{*a.bus}));
    b.note("t");
    sim.run_for(10ms);
    const auto client = sim.run(sim.open<ice::line>(where));
    BOOST_TEST_REQUIRE(client.has_value());
    sim.run_for(10ms);
    BOOST_TEST(!publish(a, "before"));
    a.srv->drain(30s);
    sim.run_for(5s);
    BOOST_TEST(b.seen == (strings{"before", "it has left"}));
    BOOST_TEST(publish(a, "after") == errc::stopped);
}

BOOST_FIXTURE_TEST_CASE(a_process_that_dies_and_comes_back_is_another_one, fixture) {
    b.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "1"));
    sim.run_for(1ms);
    a.bus.reset();
    a.srv->stop();
    process again(sim, 1, broker_address);
    sim.run_for(1s);
    BOOST_TEST(!publish(again, "2"));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == (strings{"1", "2"}));
    BOOST_TEST(b.bus->counters().lost == 0U);
}

// -- within one process

BOOST_FIXTURE_TEST_CASE(alone_it_calls_its_subscribers_at_once, alone) {
    p.note("t");
    BOOST_TEST(!p.bus->publish("t", "text"));
    BOOST_TEST(!p.bus->publish("nobody", "text"));
    BOOST_TEST(p.seen == strings{"text"});
    BOOST_TEST(!p.bus->is_connected());
    BOOST_TEST((p.bus->client() == nullptr));
    BOOST_TEST(p.bus->counters().published == 2U);
    ice::bus other(*p.srv);
    BOOST_TEST(!other.publish("t", "of another bus"));
    BOOST_TEST(p.seen.size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(topics_are_checked_also_alone, alone) {
    for (const char* bad : {"", "a b", "a..b", "*", "a.>", ".a", "a.", "a\r\n"}) {
        BOOST_CHECK_THROW(p.note(bad), std::invalid_argument);
        BOOST_TEST(p.bus->publish(bad, "") == errc::unencodable);
    }
    const std::size_t longest = ice::bus::subject_limit - std::string("ice.").size();
    for (const std::size_t size : {longest - 1, longest}) {
        p.note(std::string(size, 'x'));
        BOOST_TEST(!p.bus->publish(std::string(size, 'x'), "text"));
    }
    BOOST_CHECK_THROW(p.note(std::string(longest + 1, 'x')), std::invalid_argument);
    BOOST_TEST(p.bus->publish(std::string(longest + 1, 'x'), "") == errc::unencodable);
    BOOST_TEST(p.seen.size() == 2U);
    for (const char* bad : {"a b", ".", "a..", ">."})
        BOOST_CHECK_THROW(ice::bus(*p.srv, {.prefix = bad}), std::invalid_argument);
    const ice::bus none(*p.srv, {.prefix = ""});
}

BOOST_FIXTURE_TEST_CASE(the_longest_topic_fits_into_a_line_of_nats, fixture) {
    const std::string longest(ice::bus::subject_limit - std::string("ice.").size(), 'x');
    b.note(longest);
    sim.run_for(1ms);
    BOOST_TEST(!a.bus->publish(longest, "text"));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == strings{"text"});
}

// The danger: the second subscriber gets the answer before the question.
BOOST_FIXTURE_TEST_CASE(what_a_handler_publishes_comes_after_the_current_message, fixture) {
    a.bus->subscribe("t", [&](std::string_view m) {
        if (m != "question") return;
        BOOST_TEST(!publish(a, "answer"));
        BOOST_TEST(!publish(a, "more"));
    });
    a.note("t");
    b.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "question"));
    BOOST_TEST(a.seen == (strings{"question", "answer", "more"}));
    sim.run_for(1ms);
    BOOST_TEST(b.seen == (strings{"question", "answer", "more"}));
    BOOST_TEST(!publish(b, "question"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == (strings{"question", "answer", "more", "question", "answer", "more"}));
    BOOST_TEST(b.seen == (strings{"question", "answer", "more", "question", "answer", "more"}));
}

BOOST_AUTO_TEST_CASE(handlers_that_answer_each_other_for_ever_are_refused) {
    ice::testing::simulation sim;
    process p(sim, 1, std::vector<ice::address>(), {.nested = 10});
    std::vector<ice::error_code> refused;
    p.bus->subscribe("ping", [&](std::string_view) {
        if (const auto ec = p.bus->publish("pong", "")) refused.push_back(ec);
    });
    p.bus->subscribe("pong", [&](std::string_view) {
        if (const auto ec = p.bus->publish("ping", "")) refused.push_back(ec);
    });
    p.note("ping");
    p.note("pong");
    for (std::size_t i = 1; i < 3; ++i) {
        BOOST_TEST(!p.bus->publish("ping", ""));
        BOOST_TEST(p.seen.size() == i * 11);
        BOOST_TEST_REQUIRE(refused.size() == i);
        BOOST_TEST(refused.back() == errc::outbox_full);
    }
    BOOST_TEST(p.bus->counters().published == 22U);
}

BOOST_FIXTURE_TEST_CASE(handlers_may_subscribe_and_unsubscribe, alone) {
    std::uint64_t own = 0, next = 0;
    own = p.bus->subscribe("t", [&](std::string_view) {
        p.seen.emplace_back("first");
        p.bus->unsubscribe(own);
        p.bus->unsubscribe(next);
        p.note("t");
    });
    next = p.bus->subscribe("t", [&](std::string_view) { p.seen.emplace_back("not this"); });
    BOOST_TEST(!p.bus->publish("t", "1"));
    BOOST_TEST(p.seen == strings{"first"});
    BOOST_TEST(!p.bus->publish("t", "2"));
    BOOST_TEST(p.seen == (strings{"first", "2"}));
}

// The danger: the one behind it is left out.
BOOST_FIXTURE_TEST_CASE(a_handler_that_ends_keeps_no_message_from_others, alone) {
    std::uint64_t own = 0;
    own = p.bus->subscribe("t", [&](std::string_view) { p.bus->unsubscribe(own); });
    p.note("t");
    const auto last = p.note("t");
    p.bus->subscribe("u", [&](std::string_view) { p.bus->unsubscribe(last); });
    BOOST_TEST(!p.bus->publish("t", "1"));
    BOOST_TEST(p.seen == (strings{"1", "1"}));
    BOOST_TEST(!p.bus->publish("u", ""));
    BOOST_TEST(!p.bus->publish("t", "2"));
    BOOST_TEST(p.seen == (strings{"1", "1", "2"}));
}

BOOST_FIXTURE_TEST_CASE(a_subscriber_that_comes_in_a_handler_gets_the_next_message, alone) {
    p.bus->subscribe("t", [&](std::string_view m) {
        if (m == "1") p.note("t");
    });
    BOOST_TEST(!p.bus->publish("t", "1"));
    BOOST_TEST(p.seen.empty());
    BOOST_TEST(!p.bus->publish("t", "2"));
    BOOST_TEST(p.seen == strings{"2"});
}

// The danger: the last subscriber leaves in its handler, and comes back in it.
BOOST_FIXTURE_TEST_CASE(a_handler_may_replace_itself, fixture) {
    std::uint64_t own = 0;
    std::function<void(std::string_view)> handle = [&](std::string_view m) {
        a.seen.emplace_back(m);
        a.bus->unsubscribe(own);
        own = a.bus->subscribe("t", handle);
    };
    own = a.bus->subscribe("t", handle);
    sim.run_for(1ms);
    for (const char* text : {"1", "2"}) {
        BOOST_TEST(!publish(a, text));
        sim.run_for(1ms);
        BOOST_TEST(!publish(b, text));
        sim.run_for(1ms);
    }
    BOOST_TEST(a.seen == (strings{"1", "1", "2", "2"}));
    BOOST_TEST(a.bus->counters().lost == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_handler_that_throws_keeps_no_message_from_others, fixture) {
    a.bus->subscribe("t", [](std::string_view) { throw std::runtime_error("of a handler"); });
    a.note("t");
    sim.run_for(1ms);
    BOOST_TEST(!publish(a, "1"));
    BOOST_TEST(!publish(b, "2"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == (strings{"1", "2"}));
    BOOST_TEST(a.bus->counters().handler_threw == 2U);
    BOOST_TEST(a.log.back() == "bus: a handler of 't' threw: of a handler");
    BOOST_TEST(a.bus->client()->link().counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_handler_may_destroy_the_bus, fixture) {
    a.bus->subscribe("t", [this](std::string_view m) {
        BOOST_TEST(!a.bus->publish("t", "nobody gets this"));
        a.bus.reset();
        a.seen.emplace_back(m);
    });
    a.note("t");
    c.bus->subscribe("t", [this](std::string_view m) {
        if (m != "of c") return;
        c.bus.reset();
        c.seen.emplace_back(m);
    });
    sim.run_for(1ms);
    BOOST_TEST(!publish(b, "of b"));
    sim.run_for(1ms);
    BOOST_TEST(a.seen == strings{"of b"});
    BOOST_TEST(!c.bus->publish("t", "of c"));
    BOOST_TEST(c.seen == strings{"of c"});
    sim.run_for(1s);
}

BOOST_FIXTURE_TEST_CASE(the_report_of_a_gap_may_destroy_the_bus, fixture) {
    a.note("t");
    sim.run_for(1ms);
    a.bus->on_gap([this](std::string_view topic, std::uint64_t lost) {
        a.bus.reset();
        a.seen.push_back(fmt::format("{} of {}", lost, topic));
    });
    forge("Ice-Bus: 00000000000000ff 0 1", "1");
    forge("Ice-Bus: 00000000000000ff 0 3", "3");
    BOOST_TEST(a.seen == (strings{"1", "1 of t"}));
}

// -- the end of handlers

// Ends another subscription at its own end, as what a handler captures may do.
struct ends_another {
    ice::bus& bus;
    std::uint64_t number = 0;
    ~ends_another() {
        if (number != 0) bus.unsubscribe(number);
    }
};

// The bus went on with what the nested call had erased.
BOOST_FIXTURE_TEST_CASE(the_end_of_a_handler_may_end_another_subscription, alone) {
    ice::bus& bus = *p.bus;
    int called = 0;
    auto guard = std::make_shared<ends_another>(bus);
    std::weak_ptr<ends_another> weak = guard;
    const auto first = bus.subscribe("t", [own = guard](std::string_view) {});
    guard->number = bus.subscribe("t", [&](std::string_view) { ++called; });
    const auto third = bus.subscribe("t", [&](std::string_view) { called += 10; });
    guard.reset();
    bus.unsubscribe(first);
    BOOST_TEST(weak.expired());
    BOOST_TEST(!bus.publish("t", "x"));
    BOOST_TEST(called == 10, "only the third is left");
    bus.unsubscribe(third);
}

BOOST_FIXTURE_TEST_CASE(a_bus_may_end_with_handlers_that_end_subscriptions, fixture) {
    for (auto* at : {&a, &b}) {
        auto guard = std::make_shared<ends_another>(*at->bus);
        guard->number = at->bus->subscribe("u", [](std::string_view) {});
        at->bus->subscribe("t", [guard](std::string_view) {});
    }
    sim.run_for(1ms);
    a.bus.reset();
    sim.run_for(1ms);
    BOOST_TEST(!publish(b, "x"));
}

// The broker would send it all messages as long as the link lives.
BOOST_FIXTURE_TEST_CASE(a_bus_that_ends_unsubscribes, fixture) {
    a.note("t");
    sim.run_for(1ms);
    auto& link = a.bus->client()->link();
    a.bus.reset();
    sim.run_for(1ms);
    const auto before = link.counters().messages;
    BOOST_TEST(!publish(b, "x"));
    sim.run_for(1ms);
    BOOST_TEST(link.counters().messages == before);
    BOOST_CHECK_EXCEPTION(ice::bus(*a.srv, broker_address), std::invalid_argument,
                          [](const auto& e) { return std::string(e.what()).find("'bus'") != 0; });
    ice::bus again(*a.srv, broker_address, {.nats = {.name = "another"}});
    sim.run_for(1s);
    BOOST_TEST(again.is_connected());
}

BOOST_FIXTURE_TEST_CASE(an_unlimited_message_is_no_small_one, fixture) {
    process d(sim, 4, broker_address, {.message = ice::unlimited});
    d.note("t");
    sim.run_for(1s);
    BOOST_TEST(!publish(d, std::string(2000, 'x')));
    BOOST_TEST(!publish(a, std::string(2000, 'y')));
    sim.run_for(1s);
    BOOST_TEST(d.seen.size() == 2u);
    BOOST_TEST(d.bus->is_connected());
}

BOOST_AUTO_TEST_SUITE_END()
