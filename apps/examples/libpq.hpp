// libpq: what the examples of libpq share.
#pragma once

#include <libpq-fe.h>
#include <poll.h>

#include <filesystem>
#include <ice/address.hpp>
#include <ice/result.hpp>
#include <string>

struct of_libpq {
    void operator()(PGconn* c) const { PQfinish(c); }
    void operator()(PGresult* r) const { PQclear(r); }
    void operator()(PGcancel* c) const { PQfreeCancel(c); }
};

// Calls PQconnectStartParams() or PQconnectdbParams() with an IP address, or with
// /var/run/postgresql/.s.PGSQL.5432: libpq would block to look a name up.
template <class F>
PGconn* connect_by(F how, const std::string& conninfo, const ice::address& to) {
    const std::filesystem::path path = to.path();
    const std::string where = to.is_unix() ? path.parent_path().string() : to.host();
    const std::string port =
        to.is_unix() ? path.extension().string().substr(1) : std::to_string(to.port());
    const char* const names[] = {"dbname", to.is_unix() ? "host" : "hostaddr", "port", nullptr};
    const char* const values[] = {conninfo.c_str(), where.c_str(), port.c_str(), nullptr};
    return how(names, values, 1);
}

// Calls PQsendQueryParams() or PQexecParams(). `key` is $1.
template <class F>
auto query_by(F how, PGconn* c, const std::string& sql, const std::string& key) {
    const char* const keys[] = {key.c_str()};
    const int used = sql.find("$1") != std::string::npos ? 1 : 0;
    return how(c, sql.c_str(), used, nullptr, keys, nullptr, nullptr, 0);
}

// The first column of the first row, or the code of an error of the query. An error says that the
// connection is lost, or cannot be used any more: a COPY has no end that a caller reads.
inline ice::result<std::string> first_of(const PGresult* rows) {
    const char* const error = PQresultErrorField(rows, PG_DIAG_SQLSTATE);
    if (error != nullptr) return std::string("error ") + error;
    const auto status = PQresultStatus(rows);
    if (status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) return std::string("nothing");
    if (status != PGRES_TUPLES_OK) return ice::errc::closed;  // libpq's own have no code
    return std::string(PQntuples(rows) != 0 ? PQgetvalue(rows, 0, 0) : "nothing");
}

// Whether the connection is open, and nothing of a caller is left on it: no query and no
// transaction. Reads what has arrived, as that may be the end.
inline bool is_idle(PGconn* c) {
    if (PQtransactionStatus(c) != PQTRANS_IDLE) return false;
    for (pollfd p{PQsocket(c), POLLIN, 0}; poll(&p, 1, 0) == 1;) {
        if (PQconsumeInput(c) == 0) return false;
    }
    return PQstatus(c) == CONNECTION_OK;
}
