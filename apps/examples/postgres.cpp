// postgres: answers each line with what a query of PostgreSQL gives for it.
#include "../app.hpp"
#include "pg.hpp"

namespace {

// [lookup]
struct lookup {
    ice::resource_pool<pg>& db;
    std::string sql;
    ice::duration timeout;

    ice::task<std::string> operator()(std::string_view line, ice::session<ice::telnet>& peer) {
        const ice::time_limit limit = peer.within(timeout);
        auto leased = co_await db.acquire(limit.left());
        if (!leased) co_return leased.failure().text();
        const std::string key(line);
        const auto got = co_await ice::all(limit, (**leased).first(sql, key));
        const auto& found = std::get<0>(got);
        if (found) co_return *found;
        if (found.error() == ice::errc::request_timeout) co_return "too late";  // reset() cancels
        leased->discard(found.error());
        co_return "lost the database";
    }
};
// [lookup]

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999", database = "127.0.0.1:5432";
    std::string conninfo = "dbname=postgres options=-cstatement_timeout=2000 tcp_user_timeout=2000";
    std::string sql = "select upper($1)";
    std::size_t connections = 4;
    int timeout = 5000;
    bool discards = false;

    command_line cli{"Answers each line with what a query of PostgreSQL gives for it.", "postgres"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--database", database, "where PostgreSQL listens");
    cli.add_text("--conninfo", conninfo, "what libpq is told besides");
    cli.add_text("--query", sql, "$1 is the line");
    cli.add_count("--connections", connections, 1, 1000, "at most");
    cli.add_time("--timeout", timeout, "5s", "for the answer to a line");
    cli.add_flag("--discard", discards, "DISCARD ALL after each line");
    return cli.run(argc, argv, [&] {
        ice::server srv;
        asio::thread_pool threads(1);  // for PQcancel()
        auto& db = srv.add(ice::resource_action<pg>{ice::address(database), "database", connections}
                               .timeouts({.handshake = std::chrono::seconds(2)})  // for reset()
                               .connect(postgres_connector{srv.executor(), conninfo})
                               .is_clean([&](pg& c) { return c.is_clean(discards); })
                               .reset([&](pg& c) { return c.reset(threads, discards); }));
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .limits({.allow_half_open = false})
                                .logic(lookup{db, sql, std::chrono::milliseconds(timeout)})));
        srv.run();
    });
}
