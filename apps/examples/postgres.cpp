// postgres: answers each line with what a query of PostgreSQL gives for it.
#include "../app.hpp"
#include "pg.hpp"

namespace {

struct lookup {
    ice::resource_pool<pg>& db;
    std::string sql;

    ice::task<std::string> operator()(std::string_view line) {
        auto leased = co_await db.acquire();
        if (!leased) co_return leased.failure().text();
        auto& connection = **leased;
        const std::string key(line);
        const auto found = co_await connection.first(sql, key);
        if (found) co_return *found;
        leased->discard(found.error());
        co_return "lost the database";
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999", database = "127.0.0.1:5432";
    std::string conninfo = "dbname=postgres options=-cstatement_timeout=2000";
    std::string sql = "select upper($1)";
    std::size_t connections = 4;

    command_line cli{"Answers each line with what a query of PostgreSQL gives for it.", "postgres"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--database", database, "where PostgreSQL listens");
    cli.add_text("--conninfo", conninfo, "what libpq is told besides");
    cli.add_text("--query", sql, "$1 is the line");
    cli.add_count("--connections", connections, 1, 1000, "at most");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        auto& db =
            srv.add(ice::resource_action<pg>{ice::address(database), "database", connections}
                        .connect([&](ice::address to) {
                            return connect_to_postgres(srv.executor(), conninfo, std::move(to));
                        })
                        .is_clean(&pg::is_clean));
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .logic(lookup{db, sql})));
        srv.run();
    });
}
