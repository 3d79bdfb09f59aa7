// pg: a connection of libpq whose waits are coroutines, for an ice::resource_pool. libpq speaks the
// protocol, and Asio says when its socket is ready.
#pragma once

#include <libpq-fe.h>
#include <poll.h>

#include <asio/any_io_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/use_awaitable.hpp>
#include <filesystem>
#include <ice/address.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <memory>
#include <stdexcept>
#include <string>

using asio::posix::stream_descriptor;

struct of_libpq {
    void operator()(PGconn* c) const { PQfinish(c); }
    void operator()(PGresult* r) const { PQclear(r); }
};

// libpq closes its socket, so Asio only borrows it. At most one coroutine at a time.
class pg {
public:
    pg(const asio::any_io_executor& loop, PGconn* c) : conn_(c), socket_(loop) {}
    pg(pg&&) = default;
    ~pg() { give_back(); }

    ice::task<> ready(stream_descriptor::wait_type what) {
        if (!socket_.is_open() || socket_.native_handle() != PQsocket(conn())) {
            give_back();  // while it connects, libpq may go on with another socket
            socket_.assign(PQsocket(conn()));
        }
        co_await socket_.async_wait(what, asio::use_awaitable);
    }

    // The first column of the first row; `key` is $1. An error says that the connection is lost.
    ice::task<ice::result<std::string>> first(const std::string& sql, const std::string& key) {
        const char* const keys[] = {key.c_str()};
        const int used = sql.find("$1") != std::string::npos ? 1 : 0;
        if (PQsendQueryParams(conn(), sql.c_str(), used, nullptr, keys, nullptr, nullptr, 0) == 0)
            co_return ice::errc::closed;
        while (PQflush(conn()) == 1) co_await ready(stream_descriptor::wait_write);
        for (std::string text = "nothing";;) {
            while (PQisBusy(conn()) == 1) {
                co_await ready(stream_descriptor::wait_read);
                if (PQconsumeInput(conn()) == 0) co_return ice::errc::closed;
            }
            const std::unique_ptr<PGresult, of_libpq> rows(PQgetResult(conn()));
            if (PQstatus(conn()) != CONNECTION_OK) co_return ice::errc::closed;
            if (!rows) co_return text;
            const char* const error = PQresultErrorField(rows.get(), PG_DIAG_SQLSTATE);
            if (error != nullptr) text = std::string("error ") + error;
            else if (PQntuples(rows.get()) != 0) text = PQgetvalue(rows.get(), 0, 0);
        }
    }

    // Reads what has arrived, as that may be the end. A caller may have left a transaction open.
    bool is_clean() {
        for (pollfd p{PQsocket(conn()), POLLIN, 0}; poll(&p, 1, 0) == 1;) {
            if (PQconsumeInput(conn()) == 0) return false;
        }
        return PQtransactionStatus(conn()) == PQTRANS_IDLE;
    }
    PGconn* conn() const { return conn_.get(); }

private:
    void give_back() {
        if (socket_.is_open()) socket_.release();
    }

    std::unique_ptr<PGconn, of_libpq> conn_;
    stream_descriptor socket_;
};

// Connects to an IP address, or to /var/run/postgresql/.s.PGSQL.5432: libpq would block for a name.
// Throws what libpq says if it cannot connect.
inline ice::task<ice::result<pg>> connect_to_postgres(asio::any_io_executor loop,
                                                      std::string conninfo, ice::address to) {
    const std::filesystem::path path = to.path();
    const std::string folder = path.parent_path(), port = std::to_string(to.port());
    const char* const names[] = {"dbname", to.is_unix() ? "host" : "hostaddr", "port", nullptr};
    const char* const values[] = {
        conninfo.c_str(), to.is_unix() ? folder.c_str() : to.host().c_str(),
        to.is_unix() ? path.extension().c_str() + 1 : port.c_str(), nullptr};
    pg made(loop, PQconnectStartParams(names, values, 1));
    auto next = PGRES_POLLING_WRITING;
    while (PQstatus(made.conn()) != CONNECTION_BAD && next != PGRES_POLLING_OK) {
        const bool reads = next == PGRES_POLLING_READING;
        const auto what = reads ? stream_descriptor::wait_read : stream_descriptor::wait_write;
        co_await made.ready(what);
        next = PQconnectPoll(made.conn());
    }
    if (next != PGRES_POLLING_OK) throw std::runtime_error(PQerrorMessage(made.conn()));
    PQsetnonblocking(made.conn(), 1);
    co_return made;
}
