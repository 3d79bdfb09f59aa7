// The code of docs/how-to.md is cut from here: it compiles, and does what the page says.
#include <fmt/format.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <cstdlib>
#include <ice/ice.hpp>
#include <ice/testing/captured_log.hpp>
#include <ice/testing/script.hpp>
#include <ice/testing/sim.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;

const ice::address SERVER{"127.0.0.1", 9999};
const ice::address REDIS{"127.0.0.1", 6379}, REPLICA{"127.0.0.2", 6379};

// A store that a line sets or gets.
struct set_or_get {
    std::string operator()(std::string_view line) {
        const std::size_t end = line.find(' ', 4);
        const std::string key(line.substr(4, end == line.npos ? end : end - 4));
        if (line.starts_with("get ")) return values[key];
        values[key] = line.substr(end + 1);
        return "done";
    }
    std::map<std::string, std::string> values{};
};

// [protocol]
// A request to a store. On the wire: 16 bits of length, and in so many bytes the operation, the
// size of the key in one byte, the key, and the value.
struct store_request {
    using owns = std::true_type;  // it has copies of its bytes
    bool operator==(const store_request&) const = default;

    char operation = 'g';
    std::string key, value;
};

class store_protocol {
public:
    ice::parsed<store_request> parse(std::string_view input) {
        auto found = frames_.parse(input);
        if (found.failed()) return found.error();
        if (!found.has_message()) return ice::need_more;
        const std::string_view body = found.message();
        if (body.size() < 2) return ice::errc::bad_message;
        const std::size_t key = static_cast<unsigned char>(body[1]);
        if (body.size() - 2 < key) return ice::errc::bad_message;
        store_request request;
        request.operation = body[0];
        request.key = body.substr(2, key);
        request.value = body.substr(2 + key);
        return {std::move(request), found.size()};
    }

    ice::error_code packet(const store_request& request, std::string& out) {
        if (request.key.size() > 255) return ice::errc::unencodable;
        const auto key_size = static_cast<char>(request.key.size());
        return frames_.packet(
            fmt::format("{}{}{}{}", request.operation, key_size, request.key, request.value), out);
    }

private:
    ice::length_prefixed frames_{ice::length_prefix::u16_be, 16 * 1024};
};
// [protocol]

// [mode]
class smtp {
public:
    // A line or, behind the answer 354, a whole mail without its last line, which is a dot.
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (!in_data_) return lines_.parse(input);
        if (input.starts_with(".\r\n")) return {std::string_view(), 3};  // an empty mail
        return mails_.parse(input);
    }

    ice::error_code packet(std::string_view answer, std::string& out) {
        const ice::error_code ec = lines_.packet(answer, out);
        if (!ec) in_data_ = answer.starts_with("354");
        return ec;
    }

private:
    ice::line lines_{"\r\n", 512}, mails_{"\r\n.\r\n", 1'000'000};
    bool in_data_ = false;
};
// [mode]

// [mailbox]
struct mailbox {
    bool expects_mail = false;

    std::string operator()(std::string_view text) {
        if (std::exchange(expects_mail, false)) return fmt::format("250 {} bytes", text.size());
        if (text != "DATA") return "250 OK";
        expects_mail = true;
        return "354 end the mail with a dot on a line of its own";
    }
};
// [mailbox]

// [pieces]
// A file is 64 bits of length and the bytes. Each part that arrives is a message.
struct piece {
    std::string_view bytes;
    bool is_last = false;
};

class upload {
public:
    ice::parsed<piece> parse(std::string_view input) {
        if (left_ == 0) {
            if (input.size() < 8) return ice::need_more;
            for (const char c : input.substr(0, 8))
                left_ = left_ << 8 | static_cast<std::uint8_t>(c);
            if (left_ == 0) return {piece{"", true}, 8};
            return ice::skip{8, true};
        }
        if (input.empty()) return ice::need_more;
        const auto part = input.substr(0, std::min<std::uint64_t>(left_, input.size()));
        left_ -= part.size();
        return {piece{part, left_ == 0}, part.size()};
    }
    ice::error_code packet(std::string_view text, std::string& out) {
        return ice::line().packet(text, out);
    }

private:
    std::uint64_t left_ = 0;
};
// [pieces]

// [store]
struct receiver {
    ice::task<> write(std::string_view bytes);  // to a disk or to an upstream
    std::uint64_t size = 0;

    ice::task<std::optional<std::string>> operator()(piece part) {
        co_await write(part.bytes);
        size += part.bytes.size();
        if (!part.is_last) co_return std::nullopt;
        co_return fmt::format("stored {} bytes", std::exchange(size, 0));
    }
};
// [store]
std::size_t longest_part = 0;
ice::transport* disk = nullptr;
ice::task<> receiver::write(std::string_view bytes) {
    longest_part = std::max(longest_part, bytes.size());
    co_await disk->sleep(1ms);
}

// [shards]
class shards {
public:
    shards(ice::server& srv, const std::vector<ice::address>& where) {
        for (const ice::address& one : where) {
            const auto name = fmt::format("shard {}", pools_.size());
            pools_.push_back(&srv.add(ice::tcp_client_action{one, name, 4, ice::resp{}}));
        }
    }

    // By FNV-1a. std::hash may differ between two programs, which then disagree on the shard.
    ice::pool<ice::resp>& of(std::string_view key) {
        std::uint32_t hash = 2'166'136'261;
        for (const char c : key) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16'777'619;
        return *pools_[hash % pools_.size()];
    }

private:
    std::vector<ice::pool<ice::resp>*> pools_;
};

ice::task<std::string> get_from(shards& all, std::string_view key) {
    auto reply = co_await all.of(key).request(ice::resp_command("GET", key), 200ms);
    if (reply) co_return std::string(reply->text());
    co_return reply.failure().text();
}
// [shards]

// [fuzz]
// libFuzzer calls it with random bytes. abort() is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(bytes), size);
    store_protocol p;
    if (ice::testing::split_difference(p, input) != "") std::abort();
    std::string_view rest = input;
    for (const store_request& request : ice::testing::play(p, input).messages) {
        std::string sent;
        if (ice::packet(p, request, sent) || !rest.starts_with(sent)) std::abort();
        rest.remove_prefix(sent.size());
    }
    return 0;
}
// [fuzz]

// [ask]
constexpr ice::pool_name<ice::resp> redis{"redis"};

ice::task<std::string> get(ice::server& srv, std::string_view key) {
    auto reply = co_await srv.get(redis).request(ice::resp_command("GET", key), 200ms);
    if (reply) co_return std::string(reply->text());
    co_return fmt::format("{}", reply.failure());
}
// [ask]

const ice::address DNS{"10.0.0.53", 53};

// [prefixed]
constexpr ice::pool_name<ice::length_prefixed> dns{"dns"};

void add_dns(ice::server& srv) {
    // DNS over TCP: 16 bits before each message (RFC 1035, 4.2.2).
    srv.add(ice::tcp_client_action{DNS, dns, 2, ice::length_prefixed(ice::length_prefix::u16_be)});
}
// [prefixed]

// [login]
ice::pool<ice::resp>& add_redis(ice::server& srv, std::string password) {
    ice::resp_login login{.user = "app", .password = std::move(password), .database = 3};
    login.version = 3;
    return srv.add(ice::tcp_client_action{REDIS, redis, 4, ice::resp(std::move(login))});
}
// [login]

// [fields]
ice::task<std::string> fields(ice::pool<ice::resp>& from, std::string_view key) {
    auto reply = co_await from.request(ice::resp_command("HGETALL", key), 200ms);
    if (!reply) co_return reply.failure().text();
    std::string text;
    for (const auto& [field, value] : reply->pairs())
        text += fmt::format("{} is {}. ", field.text(), value.text());
    co_return text;
}
// [fields]

// [subscribe]
ice::task<> listen_to(ice::pool<ice::resp>& from, std::vector<std::string>& news) {
    const auto lease = co_await from.acquire(1h);
    if (!lease) co_return;
    (*lease)->protocol().take_pushes();
    if (co_await (*lease)->send(ice::resp_command("SUBSCRIBE", "news"))) co_return;
    while (const auto push = co_await (*lease)->receive()) {
        std::string_view last;  // of "message", the channel and the text
        for (const ice::resp_view one : *push) last = one.text();
        if ((*push->begin()).text() == "message") news.emplace_back(last);
    }
}
// [subscribe]

// [cluster]
struct cluster {
    std::map<std::string, ice::pool<ice::resp>*, std::less<>> nodes;  // by "host:port"

    ice::task<std::string> get(std::string first, std::string_view key) {
        std::string where = std::move(first);
        for (int hops = 0; hops < 3 && nodes.contains(where); ++hops) {
            auto reply = co_await nodes[where]->request(ice::resp_command("GET", key), 200ms);
            if (!reply) co_return reply.failure().text();
            const auto to = ice::redirect_of(*reply);
            if (!to || to->kind != ice::resp_redirect::kinds::moved)
                co_return std::string(reply->text());
            where = fmt::format("{}:{}", to->host, to->port);
        }
        co_return "no node has it";
    }
};
// [cluster]

// [reset]
struct second_database : ice::resp {
    second_database() : ice::resp({.database = 1}) {}

    ice::task<ice::error_code> reset(ice::session<second_database>& server) {
        const ice::error_code ec = co_await ok(server, ice::resp_command("RESET"), "RESET");
        if (ec) co_return ec;
        const ice::error_code again = co_await ok(server, ice::resp_command("SELECT", 1), "OK");
        co_return again;
    }

    // Sends a request, whose reply must be `expected`.
    static ice::task<ice::error_code> ok(ice::session<second_database>& server,
                                         ice::resp_value request, std::string_view expected) {
        const ice::error_code unsent = co_await server.send(std::move(request));
        if (unsent) co_return unsent;
        const auto reply = co_await server.receive();
        if (!reply) co_return reply.error();
        if (reply->text() != expected) co_return ice::errc::handshake_failed;
        co_return ice::error_code();
    }
};
// [reset]

// [greeting]
struct mail_client : ice::line {
    ice::task<ice::error_code> handshake(ice::session<mail_client>& server) {
        const auto greeting = co_await server.receive();
        if (!greeting) co_return greeting.error();
        if (!greeting->starts_with("220 ")) co_return ice::errc::handshake_failed;
        co_return ice::error_code();
    }
};
// [greeting]

// What a driver offers; that of apps/examples/pg.hpp is libpq.
struct driver {
    // Connected, and neither a query nor a transaction is open.
    bool is_idle() const { return connected && !busy; }
    ice::task<ice::result<std::string>> query(std::string_view, std::string_view name) {
        if (name == "gone") {
            connected = false;
            co_return ice::errc::closed;
        }
        busy = name == "slow";
        if (busy) co_await net->sleep(1h);
        co_return "12";
    }
    ice::task<ice::error_code> cancel_and_roll_back() {
        co_await net->sleep(1ms);
        busy = false;
        co_return ice::error_code();
    }
    ice::transport* net = nullptr;
    bool connected = true, busy = false;
};

ice::transport* driver_net = nullptr;
ice::task<ice::result<driver>> connect_driver(ice::address) {
    driver made;
    made.net = driver_net;
    co_return made;
}

// [resource]
constexpr ice::resource_name<driver> database{"database"};

void add_database(ice::server& srv) {
    srv.add(ice::resource_action{ice::address("10.0.0.7:5432"), database, 4}
                .connect(connect_driver)
                .is_clean(&driver::is_idle)
                .reset(&driver::cancel_and_roll_back));
}

ice::task<std::string> price(ice::server& srv, std::string_view name) {
    auto leased = co_await srv.get(database).acquire(500ms);
    if (!leased) co_return leased.failure().text();
    driver& d = **leased;
    auto found = co_await d.query("select price from prices where name = $1", name);
    if (found) co_return *found;
    leased->discard(found.error());  // the connection is lost, and the breaker counts it
    co_return "try again";
}
// [resource]

// [driver_limit]
ice::task<std::string> price_in_time(ice::server& srv, std::string_view name) {
    const ice::time_limit limit = srv.within(500ms);
    auto leased = co_await srv.get(database).acquire(limit.left());
    if (!leased) co_return leased.failure().text();
    driver& d = **leased;
    auto got = co_await ice::all(limit, d.query("select price from prices where name = $1", name));
    auto& found = std::get<0>(got);
    if (found) co_return *found;
    if (found.error() == ice::errc::request_timeout) co_return "too late";  // reset() cancels it
    leased->discard(found.error());
    co_return "try again";
}
// [driver_limit]

// [fan_out]
constexpr ice::pool_name<ice::line> users{"users"}, prices{"prices"}, stock{"stock"};

struct gateway {
    ice::server& srv;

    ice::task<std::string> operator()(std::string_view item, ice::session<ice::line>& peer) {
        const ice::time_limit limit = peer.within(200ms);
        const auto got =
            co_await ice::all(limit, srv.get(users).request(item), srv.get(prices).request(item),
                              srv.get(stock).request(item));
        const auto& [user, price, in_stock] = got;
        if (!price) co_return price.failure().text();  // no answer without it
        co_return fmt::format("{}: {}, {}", user.value_or("guest"), *price,
                              in_stock.value_or("ask us"));
    }
};
// [fan_out]

// [first_of]
constexpr ice::pool_name<ice::line> near{"near"}, far{"far"};

ice::task<std::string> fastest(ice::server& srv, std::string_view question) {
    auto reply = co_await ice::first_of(srv.within(200ms), srv.get(near).request(question),
                                        srv.get(far).request(question));
    if (reply) co_return *reply;
    co_return reply.failure().text();
}
// [first_of]

// [background]
ice::task<> refresh(ice::server& srv, std::string& motto) {
    for (;;) {
        auto reply = co_await srv.get(redis).request(ice::resp_command("GET", "motto"), 1s);
        if (reply) motto = reply->text();
        co_await srv.sleep(1min);
    }
}
// [background]

std::string_view greet(std::string_view) { return "hello"; }

// [ping]
ice::task<> ping(ice::session<ice::line>& peer) {
    for (;;) {
        co_await peer.sleep(30s);
        if (peer.push("ping")) co_return;
    }
}

struct greeter {
    void opened(ice::session<ice::line>& peer) { peer.spawn(ping(peer)); }
    std::string_view operator()(std::string_view) { return "hello"; }
};
// [ping]

// [state]
struct tally {
    int sum = 0;

    std::string operator()(std::string_view number) {
        int n = 0;
        std::from_chars(number.begin(), number.end(), n);
        return fmt::format("sum {}", sum += n);
    }
};
// [state]

// [converse]
struct signup {
    std::vector<std::string>& names;

    ice::task<> converse(ice::session<ice::line>& peer) {
        const auto unsent = co_await peer.send("your name?");
        if (unsent) co_return;
        const auto name = co_await peer.receive();
        if (!name) co_return;  // the peer has left, or said nothing in time
        names.emplace_back(*name);
        if (peer.push("welcome")) names.pop_back();
    }
};
// [converse]

// [password]
struct login {
    ice::task<> converse(ice::session<ice::telnet>& user) {
        auto lost = co_await user.send(ice::telnet_prompt("name: "));
        const auto name = co_await user.receive();
        if (lost || !name) co_return;
        const std::string who(*name);  // the view ends with the next receive()

        lost = co_await user.send(ice::telnet_prompt("password: ", ice::telnet_echo::off));
        const auto password = co_await user.receive();
        if (lost || !password) co_return;
        if (who != "ada" || *password != "lovelace") {
            lost = co_await user.send("wrong name or password");
            co_return;
        }
        const ice::telnet& client = user.protocol();
        lost = co_await user.send(fmt::format("welcome, {}: {} columns, terminal {}", who,
                                              client.window().columns, client.terminal_type()));
    }
};
// [password]

// [farewell]
struct mail {
    std::string_view operator()(std::string_view) { return "250 OK"; }

    void closed(ice::session<ice::line>& peer, ice::error_code why) {
        if (why == ice::errc::closed) return;  // the peer has closed: nobody reads it
        const auto unsent = peer.push(fmt::format("421 {}", why.message()));
        if (unsent) ++lost;
    }
    int lost = 0;
};
// [farewell]

// [unencodable]
struct read_aloud {
    std::string text;  // from a file, say: it may have more lines than one
    std::string operator()(std::string_view) { return text; }

    std::string unencodable(ice::error_code why, ice::session<ice::line>&) {
        return fmt::format("error: {}", why.message());
    }
};
// [unencodable]

}  // namespace

BOOST_AUTO_TEST_SUITE(how_to)

BOOST_AUTO_TEST_CASE(a_listener_has_its_own_limits) {
    simulation sim;
    quiet_server srv(sim.net());
    // [limits]
    srv.add(ice::tcp_server_action{SERVER}
                .protocol(ice::line{})
                .logic(greet)
                .limits({.connections = 100, .message = 4096})
                .timeouts({.message = 5s, .idle = 60s}));
    // [limits]
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "hi")).value() == "hello");
    const auto silent = sim.run(sim.open<ice::line>(SERVER));
    const auto since = sim.now();
    auto listens = [&]() -> ice::task<bool> {
        const auto heard = co_await (*silent)->receive();
        co_return heard.has_value();
    };
    BOOST_TEST(!sim.run(listens()));
    BOOST_TEST((sim.now() - since > 59s));
    BOOST_TEST((sim.now() - since < 62s));
}

BOOST_AUTO_TEST_CASE(a_pool_returns_a_reply_or_a_failure) {
    simulation sim;
    quiet_server srv(sim.net()), upstream(sim.net());
    // [pool]
    srv.add(ice::tcp_client_action{REDIS, redis, 4}
                .timeouts({.connect = 1s, .request = 500ms})
                .limits({.min_connections = 1, .pipeline = 16}));
    // [pool]
    BOOST_TEST(sim.run(get(srv, "key")) ==
               "pool 'redis' of 127.0.0.1:6379: cannot connect: Connection refused (not executed)");

    auto answer = [](ice::resp_view request,
                     ice::session<ice::resp>& peer) -> ice::task<ice::resp_value> {
        const bool slow = request == ice::resp_command("GET", "slow");
        if (slow) co_await peer.sleep(1s);
        co_return ice::resp_bulk_string("value");
    };
    upstream.add(ice::tcp_server_action{REDIS}.protocol(ice::resp{}).logic(answer));
    sim.run_for(1min);
    BOOST_TEST(sim.run(get(srv, "key")) == "value");
    BOOST_TEST(sim.run(get(srv, "slow")) ==
               "pool 'redis' of 127.0.0.1:6379: no reply in time (may have been executed)");
}

BOOST_AUTO_TEST_CASE(a_pool_reads_the_greeting_of_its_upstream) {
    struct mail_server {
        void opened(ice::session<ice::line>& peer) { BOOST_TEST(!peer.push("220 ready")); }
        std::string operator()(std::string_view) { return "250 ok"; }
    };
    simulation sim;
    quiet_server up{sim.host("127.0.0.1")}, srv{sim.net()};
    up.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(mail_server{}));
    auto& p = srv.add(ice::tcp_client_action{SERVER, ice::pool_name<mail_client>{"mail"}, 1});
    const auto reply = sim.run(p.request("NOOP"));
    BOOST_TEST_REQUIRE(reply.has_value());
    BOOST_TEST(*reply == "250 ok");
}

BOOST_AUTO_TEST_CASE(a_pool_logs_in_and_reads_maps_and_pushes_of_resp3) {
    simulation sim;
    quiet_server up{sim.host("127.0.0.1")}, srv{sim.net()};
    std::vector<std::string> seen, news;
    const auto value = [](std::string_view text) { return ice::resp_bulk_string(text); };
    up.add(ice::tcp_server_action{REDIS}
               .protocol(ice::resp_requests{})
               .logic([&](ice::resp_view request, ice::session<ice::resp_requests>& peer) {
                   seen.emplace_back((*request.begin()).text());
                   if (seen.back() == "HGETALL")
                       return ice::resp_map({{value("a"), value("1")}, {value("b"), value("2")}});
                   if (seen.back() != "SUBSCRIBE") return ice::resp_simple_string("OK");
                   BOOST_TEST(!peer.push(
                       ice::resp_push({value("subscribe"), value("news"), ice::resp_integer(1)})));
                   return ice::resp_push({value("message"), value("news"), value("hello")});
               }));
    auto& p = add_redis(srv, "secret");
    BOOST_TEST(sim.run(fields(p, "key")) == "a is 1. b is 2. ");
    sim.spawn(listen_to(p, news));
    sim.run_for(1s);
    BOOST_TEST(news == std::vector<std::string>{"hello"}, boost::test_tools::per_element());
    BOOST_TEST((seen[0] == "AUTH" && seen[1] == "HELLO" && seen[2] == "SELECT"));
}

BOOST_AUTO_TEST_CASE(a_caller_follows_the_redirection_of_a_cluster) {
    const ice::address other{"127.0.0.1", 6380};
    simulation sim;
    quiet_server one{sim.net()}, two{sim.net()}, srv{sim.net()};
    one.add(ice::tcp_server_action{REDIS}
                .protocol(ice::resp_requests{})
                .logic([](ice::resp_view request) {
                    if ((*++request.begin()).text() == "lost")
                        return ice::resp_error("MOVED 1 127.0.0.3:6379");
                    return ice::resp_error("MOVED 2 127.0.0.1:6380");
                }));
    two.add(ice::tcp_server_action{other}.protocol(ice::resp_requests{}).logic([](ice::resp_view) {
        return ice::resp_bulk_string("value");
    }));
    cluster all;
    all.nodes["127.0.0.1:6379"] = &srv.add(ice::tcp_client_action{REDIS, "one", 1, ice::resp{}});
    all.nodes["127.0.0.1:6380"] = &srv.add(ice::tcp_client_action{other, "two", 1, ice::resp{}});
    BOOST_TEST(sim.run(all.get("127.0.0.1:6379", "key")) == "value");
    BOOST_TEST(sim.run(all.get("127.0.0.1:6379", "lost")) == "no node has it");
}

BOOST_AUTO_TEST_CASE(a_pool_resets_the_session_after_a_lease) {
    simulation sim;
    quiet_server up{sim.host("127.0.0.1")}, srv{sim.net()};
    std::vector<std::string> seen;
    up.add(ice::tcp_server_action{REDIS}
               .protocol(ice::resp_requests{})
               .logic([&](ice::resp_view request) {
                   seen.emplace_back((*request.begin()).text());
                   return ice::resp_simple_string(seen.back() == "RESET" ? "RESET" : "OK");
               }));
    auto& p = srv.add(ice::tcp_client_action{REDIS, ice::pool_name<second_database>{"second"}, 1});
    const auto use = [](ice::pool<second_database>& from) -> ice::task<> {
        const auto lease = co_await from.acquire();
        co_await (*lease)->send(ice::resp_command("MULTI"));
        const auto reply = co_await (*lease)->receive();
        BOOST_TEST(reply.has_value());
    };
    for (int i = 0; i < 2; ++i) sim.run(use(p));
    sim.run_for(1s);
    const std::vector<std::string> each{"SELECT", "MULTI", "RESET", "SELECT",
                                        "MULTI",  "RESET", "SELECT"};
    BOOST_TEST(seen == each, boost::test_tools::per_element());
    BOOST_TEST(p.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_pool_of_several_addresses_does_not_use_one_that_fails) {
    simulation sim;
    quiet_server srv(sim.net()), replica(sim.net());
    auto value = [](ice::resp_view) { return ice::resp_bulk_string("value"); };
    replica.add(ice::tcp_server_action{REPLICA}.protocol(ice::resp{}).logic(value));
    // [several]
    srv.add(ice::tcp_client_action{{REDIS, REPLICA}, redis, 4}
                .breaker({.failures = 3})
                .health_check(ice::resp_command("PING"), 5s));
    // [several]
    sim.run_for(20s);
    for (int i = 0; i < 10; ++i) BOOST_TEST(sim.run(get(srv, "key")) == "value");
    BOOST_TEST(srv.get(redis).counters().checks != 0u);
}

BOOST_AUTO_TEST_CASE(a_peer_gets_a_push_at_intervals) {
    simulation sim;
    quiet_server srv(sim.net());
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(greeter{}));
    auto peer = sim.run(sim.open<ice::line>(SERVER)).value();
    const auto since = sim.now();
    BOOST_TEST(sim.run(peer->receive()).value() == "ping");
    BOOST_TEST((sim.now() - since > 29s));
}

BOOST_AUTO_TEST_CASE(a_peer_gets_the_reason_why_its_connection_ends) {
    simulation sim;
    quiet_server srv(sim.net());
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(mail{}));
    auto peer = sim.run(sim.open<ice::line>(SERVER)).value();
    BOOST_TEST(sim.run(peer->receive()).value() == "421 idle for too long");
    BOOST_TEST((sim.run(peer->receive()).error() == ice::errc::closed));
}

BOOST_AUTO_TEST_CASE(a_coroutine_runs_in_the_background) {
    simulation sim;
    quiet_server srv(sim.net()), upstream(sim.net());
    int asked = 0;
    auto value = [&](ice::resp_view) {
        return ice::resp_bulk_string(fmt::format("motto {}", ++asked));
    };
    upstream.add(ice::tcp_server_action{REDIS}.protocol(ice::resp{}).logic(value));
    srv.add(ice::tcp_client_action{REDIS, redis, 1});
    std::string motto;
    srv.spawn(refresh(srv, motto), "refresh");
    sim.run_for(150s);
    BOOST_TEST(motto == "motto 3");
    srv.drain();
    sim.run_for(150s);
    BOOST_TEST(asked == 3);
}

BOOST_AUTO_TEST_CASE(each_connection_has_its_own_state) {
    simulation sim;
    quiet_server srv(sim.net());
    // [per_session]
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(ice::per_session(tally{})));
    // [per_session]
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "5")).value() == "sum 5");
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "7")).value() == "sum 7");
}

BOOST_AUTO_TEST_CASE(a_conversation_is_one_coroutine) {
    simulation sim;
    quiet_server srv(sim.net());
    std::vector<std::string> names;
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(signup{names}));
    auto peer = sim.run(sim.open<ice::line>(SERVER)).value();
    BOOST_TEST(sim.run(peer->receive()).value() == "your name?");
    BOOST_TEST(!sim.run(peer->send("Ada")));
    BOOST_TEST(sim.run(peer->receive()).value() == "welcome");
    BOOST_TEST(sim.run(peer->receive()).error() == ice::errc::closed);
    BOOST_TEST(names == std::vector<std::string>{"Ada"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_client_does_not_show_the_password) {
    using namespace std::string_literals;
    simulation sim;
    quiet_server srv(sim.net());
    // [ask_telnet]
    srv.add(ice::tcp_server_action{SERVER}
                .protocol(ice::telnet({.terminal_type = true, .window = true}))
                .logic(login{}));
    // [ask_telnet]
    auto client = sim.run(sim.open<ice::raw>(SERVER)).value();
    const auto hears = [&](std::string_view said, const std::string& expected) {
        BOOST_TEST(!sim.run(client->send(said)));
        std::string heard;
        while (heard.size() < expected.size()) {
            const auto more = sim.run(client->receive());
            BOOST_TEST_REQUIRE(more.has_value());
            heard += *more;
        }
        BOOST_TEST(heard == expected);
    };
    // IAC is 255; WILL, WONT, DO, DONT are 251 to 254; SB and SE are 250 and 240.
    hears("", "name: \xff\xfd\x18\xff\xfd\x1f");
    hears("\xff\xfb\x18", "\xff\xfa\x18\x01\xff\xf0");
    const auto terminal = "\xff\xfa\x18\x00VT100\xff\xf0"s;
    const auto window = "\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0"s;
    hears(terminal + window + "ada\r\n", "\xff\xfb\x01password: ");
    hears("\xff\xfd\x01lovelace\r\n", "\r\nwelcome, ada: 80 columns, terminal VT100\r\n");
    BOOST_TEST(sim.run(client->receive()).error() == ice::errc::closed);
}

BOOST_AUTO_TEST_CASE(a_client_of_telnet_tells_its_terminal) {
    simulation sim;
    quiet_server srv(sim.net()), device(sim.host(DNS.host()));
    ice::telnet_window seen;
    device.add(ice::tcp_server_action{DNS}
                   .protocol(ice::telnet({.window = true}))
                   .logic([&](std::string_view, ice::session<ice::telnet>& client) {
                       seen = client.protocol().window();
                   }));
    const auto device_address = DNS;
    // [terminal]
    auto& link = srv.add(ice::tcp_link_action<ice::telnet>{device_address, "device"}.protocol(
        ice::telnet({.terminal = {"XTERM-256COLOR", {.columns = 80, .rows = 24}}})));
    // [terminal]
    for (const ice::telnet_window size : {ice::telnet_window{80, 24}, {132, 50}}) {
        if (size.rows == 50) BOOST_TEST(!link.push(size));
        sim.run_for(1s);
        BOOST_TEST(!link.push("look"));
        sim.run_for(1s);
        BOOST_TEST((seen == size));
    }
}

BOOST_AUTO_TEST_CASE(an_answer_of_two_lines_is_an_error_that_the_peer_can_read) {
    simulation sim;
    quiet_server srv(sim.net());
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(read_aloud{"one\r\ntwo"}));
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "read")).value() ==
               "error: the protocol cannot express this message");
}

BOOST_AUTO_TEST_CASE(a_pool_sends_each_message_behind_its_length) {
    simulation sim;
    quiet_server srv(sim.net()), upstream(sim.host(DNS.host()));
    std::string seen;
    upstream.add(ice::tcp_server_action{DNS}.logic([&](std::string_view bytes) {
        seen += bytes;
        return std::string("\0\2ok", 4);
    }));
    add_dns(srv);
    BOOST_TEST(sim.run(srv.get(dns).request("query\r\n")).value() == "ok");
    BOOST_TEST(seen == std::string("\0\7query\r\n", 9));
}

BOOST_AUTO_TEST_CASE(messages_end_with_a_delimiter_of_ones_choice) {
    simulation sim;
    quiet_server srv(sim.net());
    // [delimited]
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line(std::string(1, '\0'))));
    // [delimited]
    const auto reply = sim.run(sim.ask<ice::raw>(SERVER, std::string("one\r\n\0", 6)));
    BOOST_TEST(reply.value() == std::string("one\r\n\0", 6));
}

// [test]
BOOST_AUTO_TEST_CASE(requests_are_the_same_at_every_split) {
    store_protocol p;
    std::string sent;
    BOOST_TEST(!p.packet({'s', "key", "value"}, sent));
    BOOST_TEST(!p.packet({'g', "key", ""}, sent));
    BOOST_TEST(ice::testing::play(p, sent).messages.size() == 2u);
    BOOST_TEST(ice::testing::split_difference(p, sent + std::string("\0\1s", 3)) == "");
}
// [test]

BOOST_AUTO_TEST_CASE(what_is_no_request_is_refused) {
    for (const auto& bad : {std::string("\0\0", 2), std::string("\0\1g", 3),
                            std::string("\0\3g\2k", 5), std::string("\x40\1", 2)}) {
        BOOST_TEST(ice::testing::play(store_protocol(), bad).error);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bad.data()), bad.size());
    }
    std::string out;
    BOOST_TEST(
        (store_protocol().packet({'g', std::string(256, 'k'), ""}, out) == ice::errc::unencodable));
    BOOST_TEST((store_protocol().packet({'g', "k", std::string(16 * 1024, 'v')}, out) ==
                ice::errc::message_too_large));
    BOOST_TEST(out == "");
}

BOOST_AUTO_TEST_CASE(the_protocol_works_in_a_server) {
    simulation sim;
    quiet_server srv(sim.net());
    srv.add(ice::tcp_server_action{SERVER}.protocol(store_protocol{}));
    const store_request request{'s', "key", std::string(10'000, '\0')};
    BOOST_TEST((sim.run(sim.ask<store_protocol>(SERVER, request)).value() == request));
}

BOOST_AUTO_TEST_CASE(an_answer_changes_how_the_next_bytes_are_parsed) {
    simulation sim;
    quiet_server srv(sim.net());
    // [per_session_mode]
    srv.add(ice::tcp_server_action{SERVER}.protocol(smtp{}).logic(ice::per_session(mailbox{})));
    // [per_session_mode]
    auto peer = sim.run(sim.open<ice::line>(SERVER)).value();
    const auto said = [&] { return std::string(sim.run(peer->receive()).value()); };
    for (int i = 0; i < 2; ++i) {
        BOOST_TEST(!sim.run(peer->send("HELO me")));
        BOOST_TEST(said() == "250 OK");
        // Pipelined: the mail is here before the answer that changes the mode.
        for (const auto* one : {"DATA", "HELO", "", "..", ".", "NOOP", "DATA", ".", "NOOP"})
            BOOST_TEST(!peer->push(one));
        BOOST_TEST(said().substr(0, 3) == "354");
        BOOST_TEST(said() == "250 10 bytes");
        BOOST_TEST(said() == "250 OK");
        BOOST_TEST(said().substr(0, 3) == "354");
        BOOST_TEST(said() == "250 0 bytes");
        BOOST_TEST(said() == "250 OK");
    }
    auto slow = sim.run(sim.open<ice::raw>(SERVER)).value();
    const auto answer = [&](const std::string& bytes) {
        for (const char c : bytes) {
            BOOST_TEST(!sim.run(slow->send(std::string(1, c))));
            sim.run_for(1ms);
        }
        return std::string(sim.run(slow->receive()).value());
    };
    for (int i = 0; i < 2; ++i) {
        BOOST_TEST(answer("DATA\r\n").starts_with("354"));
        BOOST_TEST(answer("a\r\n.b\r\n.\r\n") == "250 5 bytes\r\n");
        BOOST_TEST(answer("DATA\r\n").starts_with("354"));
        BOOST_TEST(answer(".\r\n") == "250 0 bytes\r\n");
        BOOST_TEST(answer("DATA\r\n").starts_with("354"));
        BOOST_TEST(answer("\r\n.\r\n") == "250 0 bytes\r\n");
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_is_larger_than_all_limits_is_stored_in_parts) {
    simulation sim;
    quiet_server srv(sim.net());
    disk = sim.net().get();
    longest_part = 0;
    // [receive]
    srv.add(ice::tcp_server_action{SERVER}.protocol(upload{}).logic(ice::per_session(receiver{})));
    // [receive]
    auto peer = sim.run(sim.open<ice::raw>(SERVER)).value();
    constexpr std::size_t size = 5'000'000;
    const std::string head("\0\0\0\0\0\x4c\x4b\x40", 8);  // 5,000,000
    BOOST_TEST(!sim.run(peer->send(head + std::string(size, 'x'))));
    BOOST_TEST(sim.run(peer->receive()).value() == "stored 5000000 bytes\r\n");
    BOOST_TEST(longest_part > 0u);
    BOOST_TEST(longest_part <= 64u * 1024);
    BOOST_TEST(!sim.run(peer->send(std::string(8, '\0'))));
    BOOST_TEST(sim.run(peer->receive()).value() == "stored 0 bytes\r\n");
}

BOOST_AUTO_TEST_CASE(a_key_belongs_to_a_shard_and_a_lost_shard_fails_alone) {
    simulation sim;
    quiet_server srv(sim.net());
    std::vector<ice::address> where;
    std::vector<std::unique_ptr<quiet_server>> upstreams;
    std::vector<int> asked(3);
    for (std::size_t i = 0; i < 3; ++i) {
        where.emplace_back(fmt::format("10.0.0.{}", i + 1), 6379);
        upstreams.push_back(std::make_unique<quiet_server>(sim.host(where[i].host())));
        const auto value = [&asked, i](ice::resp_view request) {
            ++asked[i];
            return ice::resp_bulk_string((*std::next(request.begin())).text());
        };
        upstreams[i]->add(ice::tcp_server_action{where[i]}.protocol(ice::resp{}).logic(value));
    }
    shards all(srv, where);
    // FNV-1a as published: the hash of "foobar" is bf9cf968.
    BOOST_TEST((&all.of("foobar") == &srv.get(ice::pool_name<ice::resp>{
                                         fmt::format("shard {}", 0xbf9cf968 % 3).c_str()})));
    const auto key = [](int n) { return fmt::format("key {}", n); };
    for (int n = 0; n < 300; ++n) BOOST_TEST(sim.run(get_from(all, key(n))) == key(n));
    for (const int times : asked) BOOST_TEST(times > 60);
    upstreams[1]->stop();
    sim.run_for(1s);
    int lost = 0;
    for (int n = 0; n < 300; ++n) lost += sim.run(get_from(all, key(n))) != key(n) ? 1 : 0;
    BOOST_TEST(lost == asked[1]);
}

BOOST_AUTO_TEST_CASE(a_server_runs_on_the_event_loop_of_the_user) {
    const ice::address SERVER{"127.0.0.1", 0};
    // [loop]
    asio::io_context io;
    ice::server srv{io};
    srv.add(ice::tcp_server_action{SERVER});
    // .. whatever else runs on it; then
    auto serve = [&] { io.run(); };
    // [loop]
    srv.stop();
    serve();
    BOOST_TEST(io.stopped());
}

BOOST_AUTO_TEST_CASE(connections_of_a_driver_are_pooled) {
    ice::testing::simulation sim;
    quiet_server srv(sim.net());
    driver_net = sim.net().get();
    add_database(srv);
    BOOST_TEST(sim.run(price(srv, "bread")) == "12");
    BOOST_TEST(sim.run(price(srv, "gone")) == "try again");
    BOOST_TEST(sim.run(price(srv, "bread")) == "12");
    BOOST_TEST(srv.get(database).counters().discarded == 1u);
    BOOST_TEST(sim.run(price_in_time(srv, "bread")) == "12");
    const auto since = sim.now();
    BOOST_TEST(sim.run(price_in_time(srv, "slow")) == "too late");
    BOOST_TEST((sim.now() - since == 500ms));
    BOOST_TEST(sim.run(price(srv, "bread")) == "12");
    BOOST_TEST(sim.run(price_in_time(srv, "gone")) == "try again");
    BOOST_TEST(srv.get(database).counters().discarded == 2u);
}

BOOST_AUTO_TEST_CASE(a_gateway_asks_three_upstreams_within_one_limit) {
    simulation sim;
    quiet_server srv(sim.net()), up(sim.host("10.0.0.1"));
    const auto says = [](std::string text, ice::duration after) {
        return [text, after](std::string_view,
                             ice::session<ice::line>& peer) -> ice::task<std::string> {
            co_await peer.sleep(after);
            co_return text;
        };
    };
    const auto add = [&](std::uint16_t port, ice::pool_name<ice::line> name, auto logic) {
        const ice::address where("10.0.0.1", port);
        up.add(ice::tcp_server_action{where}.protocol(ice::line{}).logic(logic));
        srv.add(ice::tcp_client_action{where, name, 2});
    };
    add(1, users, says("Ada", 10ms));
    add(2, prices, says("12", 150ms));
    add(3, stock, says("5", 1h));
    add(4, near, says("from near", 1h));
    add(5, far, says("from far", 20ms));
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(gateway{srv}));
    sim.run_for(1s);
    auto since = sim.now();
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "bread")).value() == "Ada: 12, ask us");
    BOOST_TEST((sim.now() - since >= 200ms));
    BOOST_TEST((sim.now() - since < 210ms));
    since = sim.now();
    BOOST_TEST(sim.run(fastest(srv, "where?")) == "from far");
    BOOST_TEST((sim.now() - since < 30ms));
    up.stop();
    sim.run_for(1s);
    BOOST_TEST(sim.run(fastest(srv, "where?")).starts_with("pool 'far' of 10.0.0.1:5: "));
}

// [own_peer]
BOOST_AUTO_TEST_CASE(a_client_sets_a_key_and_gets_it) {
    ice::testing::simulation sim;
    ice::server srv{sim.net()};
    const ice::testing::captured_log lines(srv.log());
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{"\n", 80}).logic(set_or_get{}));

    auto opened = sim.run(sim.open(SERVER, ice::line{"\n", 1000}, {.idle = 2s}));
    auto& client = *opened.value();
    BOOST_TEST(!sim.run(client.send("set colour red")));
    BOOST_TEST(sim.run(client.receive()).value() == "done");
    BOOST_TEST(!sim.run(client.send("get colour")));
    BOOST_TEST(sim.run(client.receive()).value() == "red");
    BOOST_TEST(!sim.run(client.send(std::string(100, 'x'))));  // longer than the server takes
    BOOST_TEST(!sim.run(client.receive()));
    BOOST_TEST(lines.contains("too large"), lines.text());
}
// [own_peer]

BOOST_AUTO_TEST_SUITE_END()
