"""The three descriptors that a program finds: closed, full, or at their ends. Exit codes stay what
they are, and nothing that is printed goes into a connection."""
import itertools
import os
import socket
import subprocess

import pytest
from app import ENOUGH, program, until

APPS = ["echo", "time", "telnet", "cached_time", "keyvalue", "login", "redis_proxy", "chat"]


def run(name, redirections, *options):
    """To its end, as a shell starts it with those redirections."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', program(name), *map(str, options)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENOUGH, check=False)


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("name", APPS)
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(name, redirections):
    # Danger: an exception of printing ends the program by abort: 134 instead of 1 or 2.
    assert run(name, redirections, "--listen", "unix:/no/such/folder/socket").returncode == 1
    assert run(name, redirections, "--no-such-option").returncode == 2


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("name", APPS)
def test_output_that_cannot_be_written_is_an_error(name, option):
    # Danger: a script takes an empty file for the answer.
    done = run(name, ">/dev/full", option)
    assert done.returncode == 1 and done.stderr.startswith("cannot write to stdout")
    assert run(name, ">/dev/full 2>/dev/full", option).returncode == 1
    assert run(name, ">&-", option).returncode == 0


CLOSED = [numbers for n in (1, 2, 3) for numbers in itertools.combinations((0, 1, 2), n)]


def connected_to(path):
    """None between bind(2) and listen(2), when the socket is there but refuses."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(ENOUGH)
    try:
        client.connect(str(path))
    except ConnectionRefusedError:
        client.close()
        return None
    return client


@pytest.mark.parametrize("closed", CLOSED)
def test_a_server_without_standard_streams_prints_nothing_to_its_peers(tmp_path, closed):
    # Danger: a connection gets number 1 or 2, and the log is sent to a peer.
    path = tmp_path / "echo"
    shut = " ".join(f"{number}>&-" for number in closed)
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$0" "$@" {shut}', program("echo"), "--protocol", "line",
         "--listen", f"unix:{path}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or path.is_socket(), "it listens, or has ended")
        assert process.poll() is None, f"it ended with {process.returncode}"
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
        clients = []
        for _ in range(3):
            clients.append(client := until(lambda: connected_to(path), "it listens"))
            client.sendall(b"here\r\n")
            assert client.recv(100) == b"here\r\n"
        clients[0].sendall(b"x" * 20_000)  # worth a line in the log
        assert clients[0].recv(100) == b""
        process.terminate()
        assert process.wait(ENOUGH) == 0
        for client in clients:
            with client:
                assert client.recv(100) == b""
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("redirections", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_server_whose_output_is_full_serves(tmp_path, redirections):
    # Danger: a full disk keeps a service from starting.
    path = tmp_path / "echo"
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', program("echo"), "--listen",
         f"unix:{path}"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or path.is_socket(), "it listens, or has ended")
        with until(lambda: connected_to(path), "it listens") as client:
            client.sendall(b"here")
            assert client.recv(100) == b"here"
        process.terminate()
        assert process.wait(ENOUGH) == 0
    finally:
        process.kill()
        process.wait()
