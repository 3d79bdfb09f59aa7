// blocking_pg: a connection of libpq whose calls block, for an ice::resource_pool. Each call runs
// on another thread than the loop's.
#pragma once

#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "libpq.hpp"
#include "on_thread.hpp"

// At most one coroutine at a time. Give libpq timeouts: connect_timeout, statement_timeout, and
// tcp_user_timeout and keepalives_idle for a server that has gone without a word.
class blocking_pg {
public:
    // Throws what libpq says if it cannot connect.
    static ice::task<ice::result<blocking_pg>> connect(asio::thread_pool& threads,
                                                       std::string conninfo, ice::address to) {
        auto call = on_thread(threads, [conninfo, to] {
            return std::shared_ptr<PGconn>(connect_by(PQconnectdbParams, conninfo, to), of_libpq());
        });
        auto conn = co_await std::move(call);
        blocking_pg made(threads, std::move(conn));
        if (PQstatus(made.conn()) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(made.conn()));
        co_return made;
    }

    // [first]
    // The first column of the first row; `key` is $1. An error says that the connection is lost.
    ice::task<ice::result<std::string>> first(std::string sql, std::string key) {
        auto call = on_thread(*threads_, [conn = conn_, sql, key] {
            const std::unique_ptr<PGresult, of_libpq> rows(
                query_by(PQexecParams, conn.get(), sql, key));
            return first_of(rows.get());
        });
        auto found = co_await std::move(call);
        if (PQstatus(conn()) != CONNECTION_OK) co_return ice::errc::closed;
        co_return found;
    }
    // [first]

    // Ends a transaction that a lease has left.
    ice::task<ice::error_code> reset() {
        auto call = first("rollback", "");
        const auto ended = co_await std::move(call);
        co_return ended.error();
    }
    bool is_clean() { return is_idle(conn()); }

private:
    blocking_pg(asio::thread_pool& threads, std::shared_ptr<PGconn> c)
        : threads_(&threads), conn_(std::move(c)) {}
    PGconn* conn() const { return conn_.get(); }

    asio::thread_pool* threads_;
    std::shared_ptr<PGconn> conn_;  // a call that runs has a share of it
};
