// blocking: answers each line as the example postgres does, by calls of libpq that block.
#include <algorithm>

#include "../app.hpp"
#include "blocking_pg.hpp"

namespace {

struct lookup {
    ice::resource_pool<blocking_pg>& db;
    std::string sql;

    ice::task<std::string> operator()(std::string_view line) {
        auto leased = co_await db.acquire();
        if (!leased) co_return leased.failure().text();
        auto call = (**leased).first(sql, std::string(line));
        const auto found = co_await std::move(call);
        if (found) co_return *found;
        leased->discard(found.error());
        co_return "lost the database";
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999", database = "127.0.0.1:5432";
    std::string conninfo = "dbname=postgres options=-cstatement_timeout=2000 connect_timeout=2";
    std::string sql = "select upper($1)";
    std::size_t connections = 4;

    command_line cli{"Answers each line by calls of libpq that block.", "blocking"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--database", database, "where PostgreSQL listens");
    cli.add_text("--conninfo", conninfo, "what libpq is told besides");
    cli.add_text("--query", sql, "$1 is the line");
    cli.add_count("--connections", connections, 1, 1000, "at most");

    return cli.run(argc, argv, [&] {
        // [add]
        ice::server srv;
        // A thread for each connection, those that the pool replaces included: no call queues.
        asio::thread_pool threads(connections + std::max<std::size_t>(connections / 4, 1));
        auto& db = srv.add(
            ice::resource_action<blocking_pg>{ice::address(database), "database", connections}
                .connect([&](const ice::address& to) {
                    return blocking_pg::connect(threads, conninfo, to);
                })
                .is_clean(&blocking_pg::is_clean)
                .reset(&blocking_pg::reset));
        // [add]
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .logic(lookup{db, sql})));
        srv.run();
    });
}
