"""16 callers, 200 requests a second each, on one pool; its upstream is killed, stopped, and behind
a proxy that harms what it carries. Real programs, real sockets, the real clock."""
import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import conftest
import pytest
from app import ENOUGH, SANITIZED, App, program, target
from network import Network
from redis import Redis, installed

pytestmark = pytest.mark.skipif(not installed(), reason="redis-server is not installed")

# A debug build runs a quarter, as the release build of CI runs all of it.
SHORT = 0.25 if os.environ.get("ICE_SOAK_SHORT") else 1
TIMES = float(os.environ.get("ICE_SOAK_TIMES", SHORT))
KILLS, STOPS, ROUNDS = (math.ceil(TIMES * n) for n in (20, 5, 1))
FAULT = 1 if TIMES < 1 else 2  # seconds that a fault of the proxy lasts
CONNECTIONS, CALLERS, RATE, TIMEOUT = 4, 16, 200, 250  # TIMEOUT in ms
RECOVERY = 1.0  # seconds after which an upstream that is back must be in use
FAULTS = "delay", "slice", "reset", "half_close", "silence", "corrupt"

Row = namedtuple("Row", "began right failed wrong overrun stall descriptors memory")


class Callers:
    """The program under test, and what it has said so far."""

    def __init__(self, kind, address, prefix=()):
        self.kind, self.rows, self.said = kind, [], []
        callers = Path(os.environ["ICE_SOAK"], "callers").resolve(strict=True)
        self.process = subprocess.Popen(
            [*prefix, callers, "--upstream", address, "--kind", kind,
             "--connections", str(CONNECTIONS), "--callers", str(CALLERS), "--rate", str(RATE),
             "--timeout", str(TIMEOUT)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TZ": "UTC0"})
        self.reading = threading.Thread(target=self.read)
        self.reading.start()

    def read(self):
        for line in self.process.stdout:
            if line[0].isdigit():
                self.rows.append(Row(*map(float, line.split())))
            else:
                self.said.append(line.strip())

    def close(self):
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(ENOUGH)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reading.join()
        self.process.stdout.close()
        return code


class Trial:
    """What callers made of one upstream. `calm` are the spans in which it had to serve."""

    def __init__(self, name, callers):
        self.name, self.callers, self.calm = name, callers, []

    def between(self, begin, end):
        return [row for row in self.callers.rows if begin <= row.began and row.began + 0.1 <= end]

    @staticmethod
    def share(rows):
        """How much of what was asked was answered."""
        right = sum(row.right for row in rows)
        return right / (right + sum(row.failed + row.wrong for row in rows))

    def finish(self, harms=True):
        """Adds a line to the table, then judges. `harms`: requests must have failed, too."""
        assert self.callers.close() == 0
        rows = self.callers.rows
        calm = [self.between(*span) for span in self.calm]
        assert all(sum(row.right + row.failed for row in span) for span in calm), \
            f"{self.name}: no requests at all in one of the calm spans"
        shares = [self.share(span) for span in calm]
        share = self.share(sum(calm, []))
        wrong = sum(row.wrong for row in rows)
        right, failed = (int(sum(getattr(row, kind) for row in rows)) for kind in Row._fields[1:3])
        overrun = max(row.overrun for row in rows)
        stall = max(row.stall for row in rows)
        # From the first calm span to the last, as while an upstream is down nothing is open.
        files, memory = ((max(getattr(row, field) for row in calm[0]),
                          max(getattr(row, field) for row in calm[-1]))
                         for field in ("descriptors", "memory"))
        conftest.TABLE.append(
            f"{self.name}: {right} replies, {failed} failures, {int(wrong)} of another request; "
            f"calm {100 * share:.2f} % (worst span {100 * min(shares):.2f} %); beyond the timeout "
            f"{overrun:.1f} ms at most (the process stalled {stall:.1f} ms); descriptors "
            f"{files[0]:.0f} -> {files[1]:.0f}, KiB {memory[0]:.0f} -> {memory[1]:.0f}")
        conftest.TABLE += [f"    {line}" for line in self.callers.said]

        assert wrong == 0, "a reply reached another than its requester"
        assert right > 0 and (failed > 0 or not harms), "nothing happened"
        assert share >= 0.99
        # A second for a machine that is busy elsewhere; the table has the true figure.
        assert overrun < 50 + stall + 1000
        assert files[1] <= files[0]
        if not SANITIZED:  # it keeps what was freed
            assert memory[1] <= memory[0] + 1024


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def upstreams(cleanup, tmp_path):
    """A time server and a redis-server, each with callers."""
    servers = Time(tmp_path), Redis(tmp_path)
    trials = []
    for kind, server in zip(("time", "redis"), servers):
        cleanup.callback(server.close)
        callers = Callers(kind, server.address)
        cleanup.callback(callers.close)
        trials.append(Trial(kind, callers))
    return servers, trials


class Time:
    """The app `time`, as Redis is one: on the same address after each start."""

    def __init__(self, folder, address="127.0.0.1:0", prefix=()):
        self.errors, self.address, self.prefix = folder / "time.log", address, prefix
        self.start()

    def start(self):
        self.app = App(self.errors, "time", listen=self.address, prefix=self.prefix)
        self.address = self.app.address

    def stop(self):
        self.app.signal(signal.SIGSTOP)

    def go_on(self):
        self.app.signal(signal.SIGCONT)

    def kill(self):
        self.app.kill()
        self.app.close()

    def close(self):
        if self.app.running():
            self.kill()


def calm_for(trials, seconds):
    """From now on all goes well; who needs longer than RECOVERY to notice is too slow."""
    begin = time.monotonic()
    time.sleep(RECOVERY + seconds)
    for trial in trials:
        trial.calm.append((begin + RECOVERY, time.monotonic() - 0.05))


def test_an_upstream_that_is_killed_and_restarted(upstreams):
    servers, trials = upstreams
    calm_for(trials, 0.7)
    for _ in range(KILLS):
        for server in servers:
            server.kill()
        time.sleep(0.2)
        for server in servers:
            server.start()
        calm_for(trials, 0.7)
    for trial in trials:
        trial.name += f", killed {KILLS} times"
        trial.finish()


def test_an_upstream_that_is_stopped_and_continued(upstreams):
    servers, trials = upstreams
    calm_for(trials, 0.5)
    for _ in range(STOPS):
        for server in servers:
            server.stop()
        time.sleep(0.6)
        for server in servers:
            server.go_on()
        calm_for(trials, 0.5)
    for trial in trials:
        trial.name += f", stopped {STOPS} times"
        trial.finish()


def test_a_name_whose_three_addresses_are_killed_in_turn(cleanup, tmp_path):
    """It serves all the time: two of its addresses are well."""
    hosts = [f"127.0.0.{i}" for i in (1, 2, 3)]
    names = tmp_path / "hosts"
    names.write_text("".join(f"{host} upstream.example\n" for host in hosts), "ascii")
    network = Network(f"mount --bind {names} /etc/hosts")
    cleanup.callback(network.close)
    servers = [Time(tmp_path, f"{host}:10000", network.prefix) for host in hosts]
    for server in servers:
        cleanup.callback(server.close)
    trial = Trial("time, a name of three addresses",
                  Callers("time", "upstream.example:10000", network.prefix))
    cleanup.callback(trial.callers.close)
    calm_for([trial], 0.7)
    for number in range(KILLS):
        server = servers[number % len(servers)]
        server.kill()
        calm_for([trial], 0.4)
        server.start()
        calm_for([trial], 0.4)
    trial.name += f", one of them killed {KILLS} times"
    trial.finish(harms=False)
    assert all(f"({host})" in trial.callers.said[-1] for host in hosts), "each is an upstream"


def test_an_upstream_behind_a_faulty_proxy(cleanup, tmp_path):
    redis = Redis(tmp_path)
    cleanup.callback(redis.close)
    proxy = cleanup.enter_context(subprocess.Popen(
        [sys.executable, Path(__file__).with_name("proxy.py"), redis.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    cleanup.callback(proxy.stdin.close)  # it ends then
    trial = Trial("redis behind a proxy", Callers("redis", proxy.stdout.readline().split()[-1]))
    cleanup.callback(trial.callers.close)

    def behave(fault):
        print(fault, file=proxy.stdin, flush=True)

    calm_for([trial], 0.5)
    spans = []
    for _ in range(ROUNDS):
        for fault in FAULTS:
            behave(fault)
            begin = time.monotonic()
            time.sleep(FAULT)
            spans.append((fault, begin, time.monotonic()))
            behave("none")
            calm_for([trial], 0.5)
    outcome = {}
    try:
        trial.finish()
    finally:
        for fault in FAULTS:
            rows = [row for name, *span in spans if name == fault for row in trial.between(*span)]
            right, failed = sum(row.right for row in rows), sum(row.failed for row in rows)
            outcome[fault] = right, failed
            conftest.TABLE.append(f"    {fault}: {right:.0f} replies, {failed:.0f} failures")
    for fault, (right, failed) in outcome.items():  # each did its harm, and no more
        assert right > 0, fault
        assert failed > 0 or fault == "slice", fault
