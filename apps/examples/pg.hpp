// pg: a connection of libpq whose waits are coroutines, for an ice::resource_pool. libpq speaks the
// protocol, and Asio says when its socket is ready.
#pragma once

#include <array>
#include <asio/any_io_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/address.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "libpq.hpp"
#include "on_thread.hpp"

using asio::posix::stream_descriptor;

// libpq closes its socket, so Asio only borrows it. At most one coroutine at a time.
class pg {
public:
    pg(const asio::any_io_executor& loop, PGconn* c) : conn_(c), socket_(loop) {}
    pg(pg&&) = default;
    ~pg() { give_back(); }

    ice::task<> ready(stream_descriptor::wait_type what) {
        if (!socket_.is_open()) socket_.assign(PQsocket(conn()));
        co_await socket_.async_wait(what, asio::use_awaitable);
    }
    // Call it before libpq may close the socket, or right after: another connection may get its
    // number, and Asio would take the one for the other.
    void give_back() {
        if (socket_.is_open()) socket_.release();
    }

    // The first column of the first row; `key` is $1. An error says that the connection is lost.
    ice::task<ice::result<std::string>> first(const std::string& sql, const std::string& key) {
        is_used_ = true;
        if (query_by(PQsendQueryParams, conn(), sql, key) == 0) co_return ice::errc::closed;
        co_return co_await answer();
    }

    // [reset]
    // Ends what a lease has left: a query that still runs, and a transaction. `discards` ends also
    // what else a session has, such as settings and temporary tables.
    ice::task<ice::error_code> reset(asio::thread_pool& threads, bool discards) {
        ice::error_code ec;
        if (PQtransactionStatus(conn()) == PQTRANS_ACTIVE) ec = co_await cancel(threads);
        if (!ec && PQtransactionStatus(conn()) != PQTRANS_IDLE) ec = co_await run("rollback");
        if (!ec && discards) ec = co_await run("discard all");
        is_used_ = false;
        co_return ec;
    }

    // Ends the query that runs. PQcancel() blocks, as it makes a connection of its own, and before
    // it returns it might cancel the next query in place of this one.
    ice::task<ice::error_code> cancel(asio::thread_pool& threads) {
        const std::shared_ptr<PGcancel> query(PQgetCancel(conn()), of_libpq());
        auto sends = on_thread(threads, [query] {
            std::array<char, 256> why{};  // as libpq recommends
            return PQcancel(query.get(), why.data(), static_cast<int>(why.size())) == 1;
        });
        const bool is_sent = co_await std::move(sends);
        if (!is_sent) co_return ice::errc::closed;
        const auto ended = co_await answer();  // it may have succeeded all the same
        co_return ended.error();
    }
    // [reset]

    // With `discards` only a reset() makes it clean after a query.
    bool is_clean(bool discards) {
        if (is_idle(conn())) return !(discards && is_used_);
        give_back();
        return false;
    }
    PGconn* conn() const { return conn_.get(); }

private:
    // Sends the rest of a query, and waits until nothing of its answer is left.
    ice::task<ice::result<std::string>> answer() {
        while (PQflush(conn()) == 1) co_await ready(stream_descriptor::wait_write);
        for (std::string text = "nothing";;) {
            while (PQisBusy(conn()) == 1) {
                co_await ready(stream_descriptor::wait_read);
                if (PQconsumeInput(conn()) == 0) co_return lost();
            }
            const std::unique_ptr<PGresult, of_libpq> rows(PQgetResult(conn()));
            if (PQstatus(conn()) != CONNECTION_OK) co_return lost();
            if (!rows) co_return text;
            auto one = first_of(rows.get());
            if (!one) co_return lost();
            text = *std::move(one);
        }
    }
    ice::task<ice::error_code> run(const char* sql) {
        if (PQsendQuery(conn(), sql) == 0) co_return ice::errc::closed;
        const auto ended = co_await answer();
        co_return ended.error();
    }
    ice::errc lost() {
        give_back();
        return ice::errc::closed;
    }

    std::unique_ptr<PGconn, of_libpq> conn_;
    stream_descriptor socket_;
    bool is_used_ = false;
};

// Throws what libpq says if it cannot connect.
inline ice::task<ice::result<pg>> connect_to_postgres(asio::any_io_executor loop,
                                                      std::string conninfo, ice::address to) {
    pg made(loop, connect_by(PQconnectStartParams, conninfo, to));
    auto next = PGRES_POLLING_WRITING;
    while (PQstatus(made.conn()) != CONNECTION_BAD && next != PGRES_POLLING_OK) {
        const bool reads = next == PGRES_POLLING_READING;
        const auto what = reads ? stream_descriptor::wait_read : stream_descriptor::wait_write;
        co_await made.ready(what);
        made.give_back();  // libpq may go on with another socket
        next = PQconnectPoll(made.conn());
    }
    if (next != PGRES_POLLING_OK) throw std::runtime_error(PQerrorMessage(made.conn()));
    PQsetnonblocking(made.conn(), 1);
    co_return made;
}

// What .connect() of a resource_action gets.
struct postgres_connector {
    asio::any_io_executor loop;
    std::string conninfo;

    ice::task<ice::result<pg>> operator()(const ice::address& to) const {
        return connect_to_postgres(loop, conninfo, to);
    }
};
