"""What a message costs: counted system calls, which no noise of the machine changes."""
import re
import shutil
import signal
import subprocess
import time

import pytest
from app import ENOUGH, SANITIZED, until

ALONE = 4  # of a wake-up, for reading from one socket and for being told of the next

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="sanitizers make system calls of their own"),
    pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace here")]

READS = {"read", "readv", "recvfrom", "recvmsg"}
WRITES = {"write", "writev", "sendto", "sendmsg"}
ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(\d+)?\s*(\w+)$", re.M)


class Counting:
    """strace on a running app, from the `with` to its end: `calls` and, of those, `errors`."""

    def __init__(self, app, folder):
        self.app, self.output = app, folder / "calls"

    def __enter__(self):
        self.strace = subprocess.Popen(
            ["strace", "-c", "-f", "-o", str(self.output), "-p", str(self.app.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: self.strace.poll() is not None or self.app.status("TracerPid"), "it attaches")
        if self.strace.poll() is not None:
            pytest.skip("strace may not attach here: " + self.strace.stderr.read().decode())
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)  # it detaches, then writes
        try:
            self.strace.communicate(timeout=ENOUGH)
        finally:
            self.strace.kill()
            self.strace.wait()
        rows = ROW.findall(self.output.read_text("ascii"))
        rows = [row for row in rows if row[2] != "total"]
        self.calls = {name: int(calls) for calls, _, name in rows}
        self.errors = {name: int(errors or 0) for _, errors, name in rows}

    def successes(self, names):
        return sum(self.calls.get(name, 0) - self.errors.get(name, 0) for name in names)


def exchange(client, data, times):
    for _ in range(times):
        client.send(data)
        missing = len(data)
        while missing:
            missing -= len(client.socket.recv(65536))


@pytest.mark.parametrize("protocol", ["raw", "line"])
def test_a_ping_pong_of_32_bytes_costs_at_most_four_system_calls(start, connect, tmp_path,
                                                                 protocol):
    # Danger: a timer, a poll or a registration per message, each an unnoticed system call.
    app = start("echo", "--protocol", protocol)
    client = connect(app)
    line = b"x" * 30 + b"\r\n"
    exchange(client, line, 100)
    begin = time.monotonic()
    with Counting(app, tmp_path) as cost:
        exchange(client, line, 1000)
        looks = (time.monotonic() - begin) / 0.004  # every 4 ms the kernel is asked for others
    waits = cost.calls.pop("epoll_wait")
    assert sum(cost.calls.values()) <= (ALONE - 1) * 1000 + 50, cost.calls
    assert waits <= 1000 + looks + 50, f"{waits} of epoll_wait, {looks:.0f} for the other sockets"
    assert cost.successes(READS) >= 1000, "strace has seen nothing"


def test_a_burst_of_64_lines_costs_one_read_and_one_write(start, connect, tmp_path):
    # Danger: a write per answer: 64 segments, 64 wake-ups of the peer.
    app = start("echo", "--protocol", "line")
    client = connect(app)
    burst = (b"y" * 30 + b"\r\n") * 64
    exchange(client, burst, 100)  # the read buffer grows to what comes
    with Counting(app, tmp_path) as cost:
        exchange(client, burst, 500)
    # A few bursts may meet a connection that rests: its buffers begin small again.
    assert 500 <= cost.successes(READS) <= 500 + 10, cost.calls
    assert 500 <= cost.successes(WRITES) <= 500 + 10, cost.calls
    assert sum(cost.calls.values()) <= ALONE * 500 + 200, cost.calls


def test_connections_that_are_ready_together_cost_a_read_and_a_write_each(start, connect, tmp_path):
    # Danger: a call for each socket that could have been one for all of them.
    app = start("echo", "--protocol", "line")
    clients, rounds = [connect(app) for _ in range(50)], 20
    line = b"x" * 30 + b"\r\n"
    with Counting(app, tmp_path) as cost:
        for _ in range(rounds):
            until(lambda: app.stat()[0] == "S", "it waits")  # strace makes it "t" for a moment, too
            app.signal(signal.SIGSTOP)
            until(lambda: app.stat()[0] in "tT", "it stops")  # t: below strace
            for client in clients:
                client.send(line)
            app.signal(signal.SIGCONT)
            for client in clients:
                assert client.line() == "x" * 30
    messages = rounds * len(clients)
    assert messages <= cost.successes(READS) <= messages + 10, cost.calls
    assert messages <= cost.successes(WRITES) <= messages + 10, cost.calls
    # Stopping interrupts a wait; and the first message of a round may be alone.
    others = sum(cost.calls.values()) - cost.errors.get("epoll_wait", 0) - 2 * messages
    assert others <= rounds * 3 + 20, cost.calls


def test_an_idle_server_makes_no_system_calls(start, connect, tmp_path):
    # Danger: a periodic timer for each idle connection wakes the process again and again.
    app = start("telnet", "--upstream", start("time").address)
    clients = [connect(app) for _ in range(10)]
    for client in clients:
        client.send(b"gettime\r\n")
        client.line()
    with Counting(app, tmp_path) as cost:
        assert not clients[0].is_served(1)
    assert sum(cost.calls.values()) <= 20, cost.calls
