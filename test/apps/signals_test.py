"""Signals at awkward moments: during a request, twice, and the ones that pipes send."""
import os
import signal
import socket
import subprocess
import time

import pytest
from app import ENOUGH, program, until
from client import SLACK, hours_ahead
from upstream import REPLY


def refuses(app):
    """Whether it accepts nobody any more: the sign of a drain that has begun."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", app.port)) != 0


@pytest.fixture
def held(start, connect, make_upstream):
    """(front, upstream, client): the client's request is open, and stays so."""
    upstream = make_upstream("is_silent", timeout=60)
    front = start("telnet", "--upstream", upstream.address, "--timeout", "60s")
    client = connect(front)
    client.send(b"gettime\r\n")
    until(lambda: upstream.asked, "the request reaches the upstream")
    return front, upstream, client


def test_a_drain_waits_for_a_request_that_is_open_and_for_one_behind_it(held):
    # Danger: a restart costs a user's answer; what has arrived and was not yet read is dropped.
    front, upstream, client = held
    client.send(b"what\r\n")
    front.signal(signal.SIGTERM)
    until(lambda: refuses(front), "the drain begins")
    assert not client.is_served(0.2) and front.running()
    for connection in upstream.sockets:
        connection.sendall((next(iter(upstream.asked)) + "\r\n").encode())
    assert client.line().startswith(REPLY)
    assert client.line() == "command wrong"
    assert client.rest() == b""
    assert front.wait() == 0


def test_a_second_signal_ends_at_once_although_a_request_is_open(held):
    # Danger: an operator who does not want to wait for the grace period needs SIGKILL.
    front, _, client = held
    front.signal(signal.SIGTERM)
    until(lambda: refuses(front), "the drain begins")
    began = time.monotonic()
    front.signal(signal.SIGTERM)
    assert front.wait() == 0
    assert time.monotonic() - began < 1 + SLACK
    assert client.rest() == b"", "half an answer"


def test_a_silent_connection_does_not_hold_a_drain(start, connect):
    # Danger: clients that keep their connections open keep the old server alive.
    app = start("time")
    idle = [connect(app) for _ in range(10)]
    for client in idle[:5]:
        client.send(b"gettime\r\ngett")
        assert hours_ahead(client.line()) == 0
    began = time.monotonic()
    app.signal(signal.SIGTERM)
    for client in idle[5:]:
        assert client.rest() == b""
        client.close()
    for client in idle[:5]:  # a message that has begun is waited for
        client.send(b"ime\r\n")
        assert hours_ahead(client.line()) == 0
        assert client.rest() == b""
        client.close()
    assert app.wait() == 0
    assert time.monotonic() - began < 2 + SLACK


def test_a_reader_of_the_output_that_exits_does_not_end_the_server(start, connect):
    # Danger: SIGPIPE ends a server when `server | head -1` has seen enough.
    app = start("echo", "--protocol", "line")
    app.process.stdout.close()
    client = connect(app)
    client.send(b"here\r\n")
    assert client.line() == "here"


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_an_output_that_was_never_read_does_not_end_the_server(connect, tmp_path, gone):
    # Danger: the same, before the server has even said that it listens.
    reading, writing = os.pipe()
    os.close(reading)
    other = "stderr" if gone == "stdout" else "stdout"
    path = tmp_path / "echo"
    with open(writing, "wb") as pipe:
        process = subprocess.Popen(
            [program("echo"), "--listen", f"unix:{path}", "--protocol", "line"],
            stdin=subprocess.DEVNULL, **{gone: pipe, other: subprocess.DEVNULL})
    try:
        until(lambda: process.poll() is not None or listens(path), "it listens, or has ended")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ENOUGH)
            assert process.poll() is None, f"it ended with {process.returncode}"
            client.connect(str(path))
            client.sendall(b"here\r\n" + b"x" * 20_000)  # the second is worth a line in the log
            assert client.recv(100) == b"here\r\n"
            while client.recv(100):
                pass
        assert process.poll() is None, f"it ended with {process.returncode}"
        process.terminate()
        assert process.wait(ENOUGH) == 0
    finally:
        process.kill()
        process.wait()


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_bytes_of_a_peer_are_escaped_in_the_log(start, connect):
    # Danger: a peer writes to the operator's terminal, or forges a line of the log. That no raw
    # byte is there is checked for every app of every test, in conftest.py.
    evil = b"\x1b[2J\x07\r \x9b31m\x00\x7f\x80\xc3\xa4 2026-01-01T00:00:00Z error forged"
    app = start("echo", "--protocol", "line")
    client = connect(app)
    client.send(evil + b"x" * 20_000)
    assert client.rest() == b""
    until(lambda: r"\x1b[2J\x07\x0d \x9b31m\x00\x7f\x80\xc3\xa4 2026" in app.stderr(), "its line")
    front = start("telnet", "--upstream", "127.0.0.1:1")
    client = connect(front)
    client.send(evil + b"\xff\xfa" + b"\x1b" * 2000)
    assert client.rest() == b""
    until(lambda: "warning session" in front.stderr(), "its line")


def test_a_server_continues_after_sigstop_and_sigcont(start, connect):
    # Danger: SIGTSTP and SIGCONT (Ctrl-Z, fg) wake system calls with EINTR, taken for an error.
    app = start("time")
    client = connect(app)
    for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG):
        app.signal(number)
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 0
