"""The example `postgres`: a resource_pool of libpq's connections to a real PostgreSQL."""
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import postgres
import pytest
from app import until
from client import Client

APP = Path(os.environ.get("ICE_APPS", ""), "examples/postgres")
pytestmark = pytest.mark.skipif(not postgres.programs() or not APP.exists(),
                                reason="PostgreSQL or libpq is not installed")
CONNINFO = "dbname=postgres user=ice options=-cstatement_timeout=500"


@pytest.fixture(scope="module")
def started():
    server = postgres.Postgres()
    server.ask("create table prices(name text primary key, price int)")
    server.ask("insert into prices select 'thing' || i, i * 10 from generate_series(1, 500) i")
    yield server
    server.close()


@pytest.fixture
def database(started):
    if started.process.poll() is not None:
        started.start()
    yield started


@pytest.fixture
def front(start, database):
    def begin(query="select price from prices where name = $1", *options):
        return start("examples/postgres", "--database", database.address, "--conninfo", CONNINFO,
                     "--query", query, *options)
    return begin


def ask(client, line):
    client.send(line.encode() + b"\r\n")
    return client.line()


def backends(database):
    return int(database.ask("select count(*) from pg_stat_activity where usename = 'ice' and "
                            "backend_type = 'client backend' and pid <> pg_backend_pid()"))


def test_a_hundred_clients_share_four_connections(front, connect, database):
    app = front()

    def one(number):
        with contextlib.closing(Client(app.address)) as client:
            return [ask(client, f"thing{number * 5 + i}") for i in range(1, 6)]

    with ThreadPoolExecutor(100) as pool:
        for number, answers in enumerate(pool.map(one, range(100))):
            assert answers == [str((number * 5 + i) * 10) for i in range(1, 6)]
    assert backends(database) == 4
    assert ask(connect(app), "nosuchthing") == "nothing"


def test_an_error_of_a_query_is_its_callers_alone(front, connect, database):
    app = front("select 10 / $1::int")
    client = connect(app)
    until(lambda: backends(database) == 4, "the last connection of the pool")
    before = database.ask("select max(backend_start) from pg_stat_activity where usename = 'ice' "
                          "and pid <> pg_backend_pid()")
    assert ask(client, "0") == "error 22012"
    assert ask(client, "x'; drop table prices; --") == "error 22P02"
    assert ask(client, "5") == "2"
    assert backends(database) == 4
    assert before == database.ask("select max(backend_start) from pg_stat_activity where usename = "
                                  "'ice' and pid <> pg_backend_pid()")


def test_a_statement_that_takes_too_long_is_ended_by_the_server(front, connect):
    app = front("select pg_sleep($1::float8)::text")
    assert ask(connect(app), "60") == "error 57014"
    assert ask(connect(app), "0") == ""


def test_a_transaction_that_a_caller_leaves_open_reaches_no_other(front, connect, database):
    # Danger: the next caller's statements belong to a transaction that is never committed.
    app = front("begin", "--connections", "1")
    first = connect(app)
    pids = set()
    for _ in range(3):
        ask(first, "x")
        pids.add(until(lambda: database.ask(
            "select pid from pg_stat_activity where usename = 'ice' and state = 'idle' and "
            "backend_type = 'client backend' and pid <> pg_backend_pid()"), "a clean connection"))
    assert len(pids) > 1
    assert database.ask("select count(*) from pg_stat_activity where state like 'idle in%'") == "0"


def test_backends_that_are_ended_are_replaced(front, connect, database):
    app = front()
    client = connect(app)
    assert ask(client, "thing1") == "10"
    database.ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ice' and "
                 "pid <> pg_backend_pid()")
    # One that ends just now fails its caller; nothing else does.
    until(lambda: ask(client, "thing2") == "20", "another connection")
    assert [ask(client, "thing3") for _ in range(8)] == ["30"] * 8


def test_a_restart_of_the_server_is_survived(front, connect, database):
    app = front()
    client = connect(app)
    assert ask(client, "thing1") == "10"
    database.stop()
    refused = ask(client, "thing1")
    assert refused == "lost the database" or refused.startswith("pool 'database' of unix:")
    database.start()
    until(lambda: ask(client, "thing3") == "30", "it is back")


def test_what_libpq_says_is_in_the_log(start, connect, database):
    app = start("examples/postgres", "--database", database.address, "--conninfo",
                "dbname=nowhere user=ice")
    answer = ask(connect(app), "x")
    assert "the handshake failed" in answer or "handshake" in answer
    assert 'database "nowhere" does not exist' in app.stderr()


def test_no_server_at_all(start, connect, tmp_path):
    app = start("examples/postgres", "--database", f"unix:{tmp_path}/.s.PGSQL.5432")
    assert ask(connect(app), "x").startswith("pool 'database' of unix:")
