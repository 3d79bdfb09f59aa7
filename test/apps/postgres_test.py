"""The examples `postgres` and `blocking`: a resource_pool of libpq's connections to a real
PostgreSQL."""
import contextlib
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import postgres
import pytest
from app import until
from client import Client

APPS = ["examples/postgres", "examples/blocking"]
pytestmark = pytest.mark.skipif(
    not postgres.programs() or not Path(os.environ.get("ICE_APPS", ""), APPS[0]).exists(),
    reason="PostgreSQL or libpq is not installed")
ASYNC, BLOCKING = (pytest.mark.parametrize("app_name", [name]) for name in APPS)
UNLIMITED = "dbname=postgres user=ice"
OF_APP = ("from pg_stat_activity where usename = 'ice' and backend_type = 'client backend' and "
          "pid <> pg_backend_pid()")
SLEEP = "select pg_sleep($1::float8)::text"
LIMITED = f"{UNLIMITED} options=-cstatement_timeout=500"


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
    until(lambda: not pids(started), "the connections of the test before have ended")
    yield started
    if started.process.poll() is None:  # what a test that has failed leaves would hold its app
        started.ask(f"select pg_terminate_backend(pid) {OF_APP} and state = 'active'")


@pytest.fixture(params=APPS)
def app_name(request):
    return request.param


@pytest.fixture
def front(start, database, app_name):
    def begin(query="select price from prices where name = $1", *options, conninfo=UNLIMITED):
        return start(app_name, "--database", database.address, "--conninfo", conninfo, "--query",
                     query, *options)
    return begin


@pytest.fixture
def slow(front):
    """Takes as many seconds as the line says, and nothing limits them."""
    def begin(connections=1, timeout="3600s"):
        return front(SLEEP, "--connections", str(connections), "--timeout", timeout)
    return begin


def ask(client, line):
    client.send(line.encode() + b"\r\n")
    return client.line()


def pids(database):
    return set(database.ask(f"select pid {OF_APP}").split())


def states(database):
    """What its backends do: active, idle, idle in transaction .."""
    return set(database.ask(f"select state {OF_APP}").split("\n"))


def test_a_hundred_clients_share_four_connections(front, connect, database):
    app = front()

    def one(number):
        with contextlib.closing(Client(app.address)) as client:
            return [ask(client, f"thing{number * 5 + i}") for i in range(1, 6)]

    with ThreadPoolExecutor(100) as pool:
        for number, answers in enumerate(pool.map(one, range(100))):
            assert answers == [str((number * 5 + i) * 10) for i in range(1, 6)]
    assert len(pids(database)) == 4
    assert ask(connect(app), "nosuchthing") == "nothing"


def test_an_error_of_a_query_is_its_callers_alone(front, connect, database):
    app = front("select 10 / $1::int")
    client = connect(app)
    until(lambda: len(pids(database)) == 4, "the last connection of the pool")
    before = pids(database)
    assert ask(client, "0") == "error 22012"
    assert ask(client, "x'; drop table prices; --") == "error 22P02"
    assert ask(client, "5") == "2"
    assert pids(database) == before


def test_a_statement_that_takes_too_long_is_ended_by_the_server(front, connect):
    app = front(SLEEP, conninfo=LIMITED)
    assert ask(connect(app), "60") == "error 57014"
    assert ask(connect(app), "0") == ""


def test_a_transaction_that_a_caller_leaves_open_reaches_no_other(front, connect, database):
    # Danger: the next caller's statements belong to a transaction that is never committed.
    app = front("begin", "--connections", "1")
    client = connect(app)
    pid = until(lambda: pids(database), "a connection")
    for _ in range(3):
        assert ask(client, "x") == "nothing"
        until(lambda: states(database) == {"idle"}, "it is rolled back")
    assert pids(database) == pid


@ASYNC
def test_settings_of_a_caller_reach_others_unless_they_are_discarded(front, connect, database):
    query = "select coalesce(current_setting('ice.last', true), '') || set_config('ice.last', $1, "
    for options, answer in ((), "ab"), (("--discard",), "b"):
        app = front(query + "false)", "--connections", "1", *options)
        assert ask(connect(app), "a") == "a"
        assert ask(connect(app), "b") == answer
        app.terminate()


@ASYNC
def test_a_query_ends_when_its_client_has_left(slow, connect, database):
    # Danger: the server works for nobody, and the connection is lost to the others.
    app = slow(2)
    client = connect(app)
    connections = until(lambda: len(pids(database)) == 2 and pids(database), "both connections")
    for _ in range(3):
        client.send(b"60\r\n")
        until(lambda: "active" in states(database), "the query runs")
        client.close()
        until(lambda: states(database) == {"idle"}, "the query has ended")
        client = connect(app)
        assert ask(client, "0") == ""
    assert pids(database) == connections


@ASYNC
def test_a_query_ends_when_its_caller_has_no_time_left(slow, connect, database):
    app = slow(timeout="300ms")
    client = connect(app)
    connections = until(lambda: pids(database), "the connection")
    for _ in range(2):
        assert ask(client, "60") == "too late"
        until(lambda: ask(client, "0") == "", "the query has ended")
    assert pids(database) == connections


@ASYNC
def test_the_loop_does_not_wait_for_a_cancel(slow, connect, database):
    # Danger: PQcancel() needs the postmaster; while that is busy, nobody is served.
    app = slow(2)
    leaves, stays = connect(app), connect(app)
    until(lambda: len(pids(database)) == 2, "both connections")
    leaves.send(b"60\r\n")
    until(lambda: "active" in states(database), "the query runs")
    database.process.send_signal(signal.SIGSTOP)
    try:
        leaves.close()
        for _ in range(100):
            assert ask(stays, "0") == ""
    finally:
        database.process.send_signal(signal.SIGCONT)
    until(lambda: states(database) == {"idle"}, "the query has ended")


@ASYNC
def test_a_cancel_reaches_no_query_of_another_client(front, connect, database):
    # Danger: a cancel that comes late ends the query of the next caller. Nothing else cancels here.
    app = front("select $1 from pg_sleep(0.003)", "--timeout", "3600s")
    over = threading.Event()

    def leave(number):
        count = 0
        while not over.is_set():
            with contextlib.closing(Client(app.address)) as client:
                client.send(b"left\r\n")
                time.sleep(0.001 * (number + count % 7))
            count += 1
        return count

    def stay(number):
        with contextlib.closing(Client(app.address)) as client:
            for i in range(100):
                assert ask(client, f"{number}.{i}") == f"{number}.{i}"

    with ThreadPoolExecutor(16) as pool:
        leavers = [pool.submit(leave, number) for number in range(8)]
        try:
            list(pool.map(stay, range(8)))
        finally:
            over.set()
        assert sum(leaver.result() for leaver in leavers) > 50
    assert len(pids(database)) == 4


@pytest.mark.parametrize("how", ["restart", "kill -9 of a backend"])
def test_each_client_gets_its_own_answer_while_the_server_goes_away(front, database, how):
    # Danger: an answer of before reaches a later caller, or a client waits for ever.
    app = front("select $1 from pg_sleep(0.001)")
    over = threading.Event()
    own, errors = [0] * 100, set()

    def one(number):
        with contextlib.closing(Client(app.address)) as client:
            i = 0
            while not over.is_set():
                answer = ask(client, f"{number}.{i}")
                if answer == f"{number}.{i}":
                    own[number] += 1
                else:
                    errors.add(answer)
                    time.sleep(0.05)  # a refusal comes at once
                i += 1

    with ThreadPoolExecutor(100) as pool:
        clients = [pool.submit(one, number) for number in range(100)]
        try:
            until(lambda: min(own) > 0, "all are served")
            if how == "restart":
                database.stop()
                database.start()
            else:
                os.kill(int(min(pids(database))), signal.SIGKILL)
            before = until(lambda: errors and list(own), "somebody notices")
            until(lambda: all(now > then for now, then in zip(own, before)), "all are served again")
        finally:
            over.set()
        for client in clients:
            client.result()
    known = re.compile(r"lost the database|pool 'database' of unix:.*|error 57P0[123]|too late")
    assert [error for error in errors if not known.fullmatch(error)] == []


def test_a_query_without_an_end_loses_its_connection(front, connect, database):
    # Danger: libpq gives the same result again and again, and the loop spins.
    app = front("copy (select 1) to stdout")
    client = connect(app)
    assert [ask(client, "x") for _ in range(3)] == ["lost the database"] * 3


def test_backends_that_are_ended_are_replaced(front, connect, database):
    app = front()
    client = connect(app)
    assert ask(client, "thing1") == "10"
    database.ask(f"select pg_terminate_backend(pid) {OF_APP}")
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


def test_what_libpq_says_is_in_the_log(start, connect, database, app_name):
    app = start(app_name, "--database", database.address, "--conninfo",
                "dbname=nowhere user=ice")
    answer = ask(connect(app), "x")
    assert "the handshake failed" in answer or "handshake" in answer
    assert 'database "nowhere" does not exist' in app.stderr()


def test_no_server_at_all(start, connect, tmp_path, app_name):
    app = start(app_name, "--database", f"unix:{tmp_path}/.s.PGSQL.5432")
    assert ask(connect(app), "x").startswith("pool 'database' of unix:")


@BLOCKING
def test_the_loop_does_not_wait_for_a_call(front, connect, database):
    # Danger: one call that takes long, and nobody is served.
    app = front(SLEEP, "--connections", "2")
    waits, goes_on = connect(app), connect(app)
    waits.send(b"60\r\n")
    until(lambda: "active" in states(database), "the query runs")
    for _ in range(100):
        assert ask(goes_on, "0") == ""
    database.ask(f"select pg_cancel_backend(pid) {OF_APP} and state = 'active'")
    assert waits.line() == "error 57014"


@BLOCKING
def test_callers_wait_for_a_connection_and_not_for_a_thread(front, connect, database):
    # Danger: calls queue for threads, where nothing ends their wait.
    app = front(SLEEP, "--connections", "1")
    calls, waits = connect(app), [connect(app) for _ in range(20)]
    calls.send(b"60\r\n")
    until(lambda: "active" in states(database), "the query runs")
    assert app.status("Threads") == 1 + 2  # of the loop; of calls: one for a replaced connection
    for client in waits:
        client.send(b"0\r\n")
    assert all("no connection of the pool came free in time" in client.line() for client in waits)
    database.ask(f"select pg_cancel_backend(pid) {OF_APP}")
    assert calls.line() == "error 57014"


@BLOCKING
def test_a_call_outlives_its_client_and_the_connection_is_used_again(front, connect, database):
    app = front(SLEEP, "--connections", "1")
    client = connect(app)
    client.send(b"0.3\r\n")
    before = until(lambda: "active" in states(database) and pids(database), "the query runs")
    client.reset()
    assert ask(connect(app), "0") == ""
    assert pids(database) == before


def test_it_ends_when_it_is_stopped_while_a_query_runs(front, connect, database):
    # Danger: a thread that still runs a call uses what the server has destroyed.
    app = front(SLEEP, "--connections", "1", conninfo=LIMITED)
    connect(app).send(b"60\r\n")
    until(lambda: "active" in states(database), "the query runs")
    app.signal(signal.SIGTERM)
    until(lambda: "draining" in app.stderr(), "it drains")
    assert app.terminate() == 0
