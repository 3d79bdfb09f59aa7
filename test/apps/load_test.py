"""Many connections: thousands, thousands at the moment of SIGTERM, and more than there are
descriptors."""
import contextlib
import resource
import signal
import threading
import time

import pytest
from app import SANITIZED, SLOWER, until
from client import TIME, Client

CROWD, HALF = 2000, 200
DRAIN = 30 * SLOWER  # server.drain_timeout


@pytest.fixture
def descriptors():
    """Enough of them, here and in the servers that are started here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CROWD + 500
    if hard not in (resource.RLIM_INFINITY,) and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, and only {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_connections_are_served_and_a_drain_under_them_loses_no_request(
        descriptors, start, connect):
    # Danger: some of many are forgotten; those with half a line block others or the drain; the
    # drain drops what has arrived and was not yet read, or cuts an answer in two.
    front = start("telnet", "--upstream", start("time").address)
    crowd = [connect(front) for _ in range(CROWD)]
    halves, wholes = crowd[:HALF], crowd[HALF:]
    for client in halves:
        client.send(b"gett")
    for client in wholes:
        client.send(b"gettime\r\n")
    for client in wholes:
        assert TIME.fullmatch(client.line())
    assert front.descriptors() > CROWD

    began = time.monotonic()
    with front.frozen():  # so that the requests and the signal meet it together
        for client in wholes:
            client.send(b"gettime\r\n")
        front.signal(signal.SIGTERM)
    for client in wholes:
        assert TIME.fullmatch(client.line()), "a request that had arrived was not answered"
        assert client.rest() == b""
        client.close()
    for client in halves:  # what has begun is waited for
        client.send(b"ime\r\n")
        assert TIME.fullmatch(client.line()), "the rest of a request was not answered"
        assert client.rest() == b""
        client.close()
    assert front.wait(DRAIN) == 0
    assert time.monotonic() - began < DRAIN


def test_a_drain_ends_streams_behind_a_whole_answer(start, connect):
    # Danger: clients that never stop sending keep the server alive, or are cut off in a line.
    app = start("echo", "--protocol", "line")
    wrong, served = [], []

    def stream(number, client):
        line, received = b"%d" % number * 10 + b"\r\n", b""
        with contextlib.suppress(OSError):  # the end, as the sender sees it
            for _ in range(10_000_000):
                client.send(line * 50)
                received += client.socket.recv(65536)
                served.append(number)
        with contextlib.suppress(OSError):
            received += client.rest()
        if received != line * (len(received) // len(line)):
            wrong.append((number, received[-50:]))

    crowd = [threading.Thread(target=stream, args=(n, connect(app))) for n in range(20)]
    for each in crowd:
        each.start()
    until(lambda: len(set(served)) == len(crowd), "all streams flow")
    app.signal(signal.SIGTERM)
    assert app.wait(DRAIN) == 0
    for each in crowd:
        each.join()
    assert not wrong


def served_of(clients):
    """How many of them are served now, without waiting; each must have sent its request."""
    return sum(client.is_served(0.001) for client in clients)


@pytest.mark.parametrize("name", ["telnet", "echo"])
@pytest.mark.parametrize("when", ["from the start", pytest.param(
    "lowered later", marks=pytest.mark.skipif(
        SANITIZED, reason="without a descriptor, UBSan cannot look at memory: a false report"))])
def test_with_64_descriptors_and_200_clients_a_server_pauses_and_serves_its_connections(
        start, connect, name, when):
    # Danger: accept fails, the listening socket stays readable, and the loop spins; or the
    # listener gives up, and never accepts again.
    upstream = start("time").address
    options = {"telnet": ["--upstream", upstream], "echo": []}[name]
    app = start(name, *options, files=64 if when == "from the start" else 1024)
    if when == "lowered later":  # its own count of what is allowed is wrong now: accept fails
        resource.prlimit(app.pid, resource.RLIMIT_NOFILE, (64, 64))
    clients = [connect(app) for _ in range(200)]
    for client in clients:
        client.send(b"gettime\r\n")
    until(lambda: served_of(clients) >= 32, "as many as can be are served")
    why = "connections are open" if when == "from the start" else "Too many open files"
    until(lambda: why in app.stderr(), "the log says why others wait")
    served = [client for client in clients if client.unread]
    assert len(served) < 64

    cpu, began = app.cpu(), time.monotonic()
    for client in served[:20]:
        client.unread = b""
        client.send(b"gettime\r\n")
        assert client.is_served(2 * SLOWER), "a connected client is not served"
        time.sleep(0.1)  # this is what is measured: two seconds in which little happens
    used = (app.cpu() - cpu) / (time.monotonic() - began)
    assert used < 0.05 or SANITIZED, f"{used:.0%} of a processor"

    for client in served:
        client.close()
    waiting = [client for client in clients if client not in served]
    until(lambda: served_of(waiting[:32]) == 32, "those who waited are served", 2 * SLOWER)
    assert app.stderr().count("warning") < 50 * SLOWER, "it floods the log"


def test_many_short_connections_leak_nothing(start):
    # Danger: a descriptor or a session leaks with each connection.
    app = start("time")
    before = app.descriptors()
    for _ in range(5):
        crowd = [Client(app.address) for _ in range(100)]
        for client in crowd[:50]:
            client.send(b"gettime\r\n")
            assert TIME.fullmatch(client.line())
        for client in crowd[25:75]:
            client.reset()
        for client in crowd:
            client.close()
    until(lambda: app.descriptors() == before, "all connections are gone")
