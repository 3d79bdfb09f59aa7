"""ice-bench must be right about latencies, wrong replies, and load that it could not make."""
import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from yardsticks_test import BUILT, ROOT, Server

sys.path.insert(0, str(ROOT / "test/apps"))
import memcached  # noqa: E402  the real one, for tests
import redis  # noqa: E402  the real one, for tests

GENERATOR = BUILT / "ice-bench"
APPS = BUILT.parent / "apps"


def bench(*arguments, program=GENERATOR, timeout=60):
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout)


def measured(*arguments):
    """The JSON of a run that must succeed."""
    done = bench(*arguments, "--json", "-", "-q")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Fake:
    """An echo server of one thread that may misbehave: `answer(data)` is what it sends, cut by
    `pieces`; `stall` is called before each read."""

    def __init__(self, answer=lambda data: data, stall=lambda: None, pieces=lambda data: [data]):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listening.getsockname()[1]
        self.answer, self.stall, self.pieces, self.over = answer, stall, pieces, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        poll = select.epoll()
        poll.register(self.listening, select.EPOLLIN)
        peers = {}
        while not self.over:
            for fd, _ in poll.poll(0.05):
                self.stall()
                if fd == self.listening.fileno():
                    peer, _ = self.listening.accept()
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peers[peer.fileno()] = peer
                    poll.register(peer, select.EPOLLIN)
                    continue
                try:
                    data = peers[fd].recv(65536)
                    if data:
                        for piece in self.pieces(self.answer(data)):
                            peers[fd].sendall(piece)
                        continue
                except ConnectionError:
                    pass
                poll.unregister(fd)
                peers.pop(fd).close()
        for peer in peers.values():
            peer.close()
        self.listening.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join(30)


@pytest.fixture
def raw_line():
    server = Server([BUILT / "raw_line"])
    yield server
    server.close()


@pytest.fixture
def raw_echo():
    server = Server([BUILT / "raw_echo"])
    yield server
    server.close()


@pytest.fixture
def redis_server(tmp_path):
    if not redis.installed():
        pytest.skip("there is no redis-server here")
    with contextlib.closing(redis.Redis(tmp_path)) as server:
        yield server


def at(server):
    return f"127.0.0.1:{server.port}"


# --- What it measures


@pytest.mark.parametrize("depth", [1, 16])
@pytest.mark.parametrize("mode", ["echo", "line"])
def test_counts_each_request_once(raw_echo, raw_line, mode, depth):
    server = raw_echo if mode == "echo" else raw_line
    run = measured(mode, at(server), "-n", 20_001, "-c", 7, "-P", depth, "-t", 2)["runs"][0]
    assert run["requests"] == {"sent": 20_001, "completed": 20_001, "unfinished": 0}
    assert run["bytes_out"] == run["bytes_in"] == 20_001 * 32
    assert sum(times for _, times in run["latency_us"]["counts"]) == 20_001


def test_large_messages(raw_echo):
    run = measured("echo", at(raw_echo), "-n", 200, "-s", "1m", "-c", 3, "-P", 2)["runs"][0]
    assert run["bytes_in"] == 200_000_000 and run["requests"]["completed"] == 200


@pytest.mark.parametrize("mode", ["echo", "line", "connect"])
def test_replies_that_arrive_in_pieces(mode):
    def bytewise(data):
        for i in range(len(data)):
            time.sleep(0.0002)  # so that the generator reads them one by one
            yield data[i:i + 1]

    with Fake(pieces=bytewise) as server:
        depth = [] if mode == "connect" else ["-P", 4]
        run = measured(mode, at(server), "-n", 12, "-c", 1, *depth)["runs"][0]
    assert run["requests"]["completed"] == 12


def test_a_connection_for_each_request(raw_line):
    run = measured("connect", at(raw_line), "-n", 500, "-c", 10)["runs"][0]
    assert run["requests"]["completed"] == 500


def test_time_and_telnet():
    with_time = subprocess.Popen([APPS / "time", "--listen", "127.0.0.1:0"],
                                 stdout=subprocess.PIPE, text=True)
    try:
        time_at = with_time.stdout.readline().split()[-1]
        with_telnet = subprocess.Popen(
            [APPS / "telnet", "--listen", "127.0.0.1:0", "--upstream", time_at],
            stdout=subprocess.PIPE, text=True)
        try:
            telnet_at = with_telnet.stdout.readline().split()[-1]
            assert measured("time", time_at, "-n", 1000)["runs"][0]["requests"]["completed"] == 1000
            run = measured("telnet", telnet_at, "-n", 1000, "-c", 10)["runs"][0]
            assert run["requests"]["completed"] == 1000
            # DO SGA and WILL TTYPE went out on each connection, and were both refused.
            assert run["bytes_out"] == 1000 * len("gettime\r\n") + 10 * 6
        finally:
            with_telnet.terminate()
            assert with_telnet.wait(30) == 0
    finally:
        with_time.terminate()
        assert with_time.wait(30) == 0


@pytest.mark.parametrize("size, depth", [(32, 1), (32, 64), (100_000, 3)])
def test_resp_is_what_redis_speaks(redis_server, size, depth):
    run = measured("resp", redis_server.address, "-n", 1000, "-c", 10, "-P", depth, "-s",
                   size)["runs"][0]
    assert run["requests"]["completed"] == 1000
    argument = len(f"${size}\r\n") + size + 2
    assert run["bytes_in"] == 1000 * argument
    assert run["bytes_out"] == 1000 * (argument + len("*2\r\n$4\r\nECHO\r\n"))
    assert b"cmdstat_echo:calls=1000," in redis_server.ask("INFO", "commandstats")


@pytest.fixture
def memcached_server(tmp_path):
    if not memcached.installed():
        pytest.skip("there is no memcached here")
    with contextlib.closing(memcached.Memcached(tmp_path)) as server:
        yield server


@pytest.mark.parametrize("size, depth", [(32, 1), (16, 64), (100_000, 3)])
def test_memcached_is_what_memcached_speaks(memcached_server, size, depth):
    run = measured("memcached", memcached_server.address, "-n", 1000, "-c", 10, "-P", depth, "-s",
                   size)["runs"][0]
    assert run["requests"]["completed"] == 1000
    stats = dict(re.findall(rb"STAT (\w+) (\d+)\r\n", memcached_server.ask("stats")))
    assert int(stats[b"get_misses"]) == 0
    # A connection may end with a set.
    assert 490 <= int(stats[b"get_hits"]) <= 500
    assert int(stats[b"get_hits"]) + int(stats[b"cmd_set"]) == 1000


def test_an_error_of_memcached_is_reported(memcached_server):
    done = bench("memcached", memcached_server.address, "-n", 2, "-c", 1, "-s", "2m", "--json", "-",
                 "-q")
    run = json.loads(done.stdout)["runs"][0]
    assert done.returncode == 1 and run["errors"] == {"mismatch": 2}


def test_an_error_of_redis_is_reported(redis_server):
    redis_server.ask("ACL", "SETUSER", "default", "-echo")
    done = bench("resp", redis_server.address, "-n", 3, "-c", 3, "--json", "-", "-q")
    run = json.loads(done.stdout)["runs"][0]
    assert done.returncode == 1 and run["errors"] == {"mismatch": 3}
    assert "NOPERM" in run["first_error"]


@pytest.mark.parametrize("arrival", ["uniform", "poisson"])
def test_an_open_loop_sends_what_is_due(raw_line, arrival):
    done = measured("line", at(raw_line), "-R", "2k", "-d", "2s", "-w", 0, "--arrival", arrival)
    run = done["runs"][0]
    assert done["loop"] == "open"
    requests = run["requests"]
    assert requests["due"] == requests["sent"] + requests["dropped"]
    assert abs(requests["due"] - 4000) <= (1 if arrival == "uniform" else 400)  # 6 sigma
    assert requests["completed"] == requests["sent"]


def test_the_warm_up_is_not_counted():
    answered = []

    def counted(data):
        answered.append(data.count(b"\n"))
        return data

    with Fake(answer=counted) as server:
        run = measured("line", at(server), "-d", "0.3s", "-w", "0.3s", "-c", 3)["runs"][0]
    requests = run["requests"]
    assert requests["sent"] == requests["completed"] + requests["unfinished"]
    assert 0 < requests["sent"] < sum(answered)
    assert sum(times for _, times in run["latency_us"]["counts"]) == requests["completed"]


def test_the_same_seed_makes_the_same_schedule(raw_line):
    arguments = ["line", at(raw_line), "-R", 500, "-d", "1s", "-w", 0, "--arrival", "poisson"]
    due = [measured(*arguments, "--seed", seed)["runs"][0]["requests"]["due"]
           for seed in (1, 1, 2, 3, 4)]
    assert due[0] == due[1]
    assert len(set(due)) > 1


def test_a_stall_is_seen_from_the_time_that_requests_were_due():
    """The server sleeps 100 ms once a second. A generator that waits for replies sends nothing
    meanwhile, and sees four slow requests a second of a thousand; a tenth of them were due."""
    next_stall = [time.monotonic() + 0.5]

    def stall():
        if time.monotonic() >= next_stall[0]:
            time.sleep(0.1)
            next_stall[0] = time.monotonic() + 0.9

    with Fake(stall=stall) as server:
        run = measured("line", at(server), "-R", 1000, "-c", 4, "-d", "4s")["runs"][0]
    assert run["latency_us"]["percentiles"]["99"] > 50_000
    assert run["uncorrected_us"]["percentiles"]["99"] < 50_000


def test_in_a_closed_loop_no_time_is_left_out(raw_line):
    """Some request is always in flight on each of its places, so latencies fill the time (Little's
    law). They do not if a reply counts as of the wake-up instead of the read: 15 % were missing."""
    run = measured("line", at(raw_line), "-c", 20, "-P", 16, "-d", "1s", "-w", "200ms")["runs"][0]
    in_flight = run["requests"]["completed"] / run["seconds"] * run["latency_us"]["mean"] / 1e6
    assert in_flight == pytest.approx(20 * 16, rel=0.05)


def test_the_achieved_part_of_the_rate_is_reported():
    with Fake(stall=lambda: time.sleep(0.01)) as server:
        done = bench("line", at(server), "-R", 1000, "-c", 1, "-d", "1s", "-w", 0)
    assert done.returncode == 0, done.stderr
    achieved = float(re.search(r"achieved +([0-9.]+) % of the 1.00k/s asked", done.stdout)[1])
    assert achieved < 20
    assert "warning: less than 99 %" in done.stdout
    assert int(re.search(r"dropped (\d+)", done.stdout)[1]) > 500
    assert int(re.search(r"late (\d+)", done.stdout)[1]) > 10  # all that were sent but the first


# --- Errors


def test_a_wrong_byte_is_an_error_and_no_throughput():
    with Fake(answer=lambda data: data.replace(b"z", b"Z")) as server:
        done = bench("line", at(server), "-n", 10, "-c", 2, "--json", "-")
    run = json.loads(done.stdout)["runs"][0]
    assert done.returncode == 1
    assert run["errors"] == {"mismatch": 10} and run["requests"]["completed"] == 0
    assert "Zab" in run["first_error"] and "zab" in run["first_error"]


def test_replies_in_another_order_are_errors():
    def swapped(data):
        lines = data.splitlines(keepends=True)
        return b"".join(reversed(lines))

    with Fake(answer=swapped) as server:
        done = bench("line", at(server), "-n", 40, "-c", 1, "-P", 4)
    assert done.returncode == 1 and "mismatch" in done.stdout


def test_an_old_reply_is_an_error():
    seen = []

    def always_the_first(data):
        seen.append(data)
        return seen[0]

    with Fake(answer=always_the_first) as server:
        done = bench("line", at(server), "-n", 2, "-c", 1, "--json", "-", "-q")
    run = json.loads(done.stdout)["runs"][0]
    assert done.returncode == 1
    assert run["errors"] == {"mismatch": 1} and run["requests"]["completed"] == 1
    assert run["first_error"].startswith("mismatch: expected '00000000001l")


@pytest.mark.parametrize("pieces", [lambda data: [data], lambda data: [data[:5], data[5:]]])
def test_a_wrong_beginning_is_reported_without_waiting_for_the_rest(pieces):
    with Fake(answer=lambda data: b"0000no\r\n", pieces=pieces) as server:
        done = bench("line", at(server), "-n", 1, "-c", 1, "--json", "-", "-q")
    run = json.loads(done.stdout)["runs"][0]
    assert run["errors"] == {"mismatch": 1}
    assert "got '0000n" in run["first_error"]


def test_two_replies_to_one_request_are_an_error():
    with Fake(answer=lambda data: data + data) as server:
        done = bench("line", at(server), "-n", 3, "-c", 1, "--json", "-", "-q")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)["runs"][0]["errors"]) <= {"unexpected", "mismatch"}


def test_no_reply_is_a_timeout():
    with Fake(answer=lambda data: b"") as server:
        done = bench("line", at(server), "-n", 4, "-c", 2, "--timeout", "200ms", "--json", "-",
                     "-q")
    assert done.returncode == 1
    assert json.loads(done.stdout)["runs"][0]["errors"] == {"timeout": 4}


def test_a_server_that_goes_away(raw_line):
    load = subprocess.Popen([GENERATOR, "line", at(raw_line), "-d", "2s", "-w", "0", "--json", "-",
                             "-q"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.7)
    raw_line.process.terminate()
    out, _ = load.communicate(timeout=60)
    errors = json.loads(out)["runs"][0]["errors"]
    assert load.returncode == 1
    assert errors["connect"] > 0 and (errors.get("closed", 0) or errors.get("read", 0))


def test_a_port_without_a_listener_is_an_error():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        done = bench("echo", f"127.0.0.1:{s.getsockname()[1]}")
    assert done.returncode == 3
    assert "Connection refused" in done.stderr and done.stderr.startswith("cannot connect to 127.")


@pytest.fixture
def two_addresses(tmp_path):
    """Runs ice-bench where the name `both` is 127.0.0.1 and ::1: a mount namespace of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 both\n::1 both\n")
    alone = ["unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace is allowed here")
    return lambda *arguments: bench(*alone[1:], GENERATOR, *arguments, program="unshare")


@contextlib.contextmanager
def echo_on_v6():
    """An echo on ::1 whose port nobody has on 127.0.0.1 yet; gives the port."""
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    stop = threading.Event()

    def serve():
        listening.settimeout(0.05)
        peers = []
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                peers.append(listening.accept()[0])
            for peer in peers:
                peer.setblocking(False)
                with contextlib.suppress(OSError):
                    if data := peer.recv(65536):
                        peer.sendall(data)
        for peer in peers:
            peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        thread.join()
        listening.close()


def test_the_next_address_is_tried_when_one_refuses(two_addresses):
    with echo_on_v6() as port:
        done = two_addresses("echo", f"both:{port}", "-c", 1, "-n", 1, "-w", "0s")
    assert "cannot connect" not in done.stderr and done.returncode != 3, done.stderr


def test_the_next_address_is_tried_when_one_does_not_answer(two_addresses):
    with echo_on_v6() as port, socket.socket() as silent:
        silent.bind(("127.0.0.1", port))
        silent.listen(0)
        fill = [socket.socket() for _ in range(4)]  # its backlog is full: Linux drops the SYN
        for s in fill:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        done = two_addresses("echo", f"both:{port}", "-c", 1, "-n", 1, "-w", "0s")
        for s in fill:
            s.close()
    assert "cannot connect" not in done.stderr and done.returncode != 3, done.stderr


def test_of_two_addresses_that_refuse_the_first_error_is_reported(two_addresses):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    done = two_addresses("echo", f"both:{port}")
    assert done.returncode == 3
    assert done.stderr.startswith(f"cannot connect to both:{port}: Connection refused")


@pytest.mark.parametrize("arguments, said", [
    ([], "a mode and an address are needed; there are echo, line, "),
    (["ecko", "127.0.0.1:7"], "there is no mode ecko; there are echo, line, "),
    (["echo"], "address is required"),
    (["echo", "nonsense"], "address: it has no port; write host:port"),
    (["echo", "127.0.0.1:70000"], "its port is not a number from 0 to 65535"),
    (["echo", "192.0.2.1:7"], "needs --allow-remote"),
    (["echo", "127.0.0.1:7", "-c", "0"], "-c,--connections: 0 is not from 1 to 1m"),
    (["echo", "127.0.0.1:7", "-c", "5x"], "5x is not a number (1000, 100k, 1m)"),
    (["echo", "127.0.0.1:7", "-c", "1.5"], "1.5 is not whole"),
    (["echo", "127.0.0.1:7", "-c", "1e3"], "1e3 is not a number"),
    (["echo", "127.0.0.1:7", "-n", "-3"], "-n,--count: -3 is not 1 or more"),
    (["echo", "127.0.0.1:7", "-s", "15"], "15 is not from 16 to 100m bytes"),
    (["echo", "127.0.0.1:7", "-d", "5x"], "5x is not a time (200us, 5ms, 10s, 2m)"),
    (["echo", "127.0.0.1:7", "-d", "nan"], "nan is not a time"),
    (["echo", "127.0.0.1:7", "-w", "-1s"], "-1s is not from 0 to a day"),
    (["echo", "127.0.0.1:7", "--timeout", "2h5"], "2h5 is not a time"),
    (["echo", "127.0.0.1:7", "--fail-if", "p99>5"], "'p99>5': 5 is not a time with a unit"),
    (["echo", "127.0.0.1:7", "--fail-if", "p101>5ms"], "there is no metric p101"),
    (["echo", "127.0.0.1:7", "--fail-if", "nothing"], "a condition looks like p99>5ms"),
    (["echo", "127.0.0.1:7", "--arrival", "poisson"], "needs a rate"),
    (["echo", "127.0.0.1:7", "--arrival", "late"], "late is not uniform or poisson"),
    (["echo", "127.0.0.1:7", "-t", "9", "-c", "3"], "-t must not exceed -c"),
    (["echo", "127.0.0.1:7", "--server-pid", "4194303"], "no such process"),
    (["echo", "127.0.0.1:7", "--json", "-", "--csv", "-"], "only one of --json, --csv and --hdr"),
    (["connect", "127.0.0.1:7", "-P", "2"], "it takes no -P"),
    (["compare", "/nowhere", "/nowhere"], "cannot read /nowhere: No such file")])
def test_wrong_usage(arguments, said):
    done = bench(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and done.stdout == ""


def test_a_file_that_cannot_be_written_is_reported_before_the_run(raw_line, tmp_path):
    """An hour of measuring would be lost."""
    done = bench("line", at(raw_line), "-d", "1h", "--json", tmp_path / "no" / "file", timeout=20)
    assert done.returncode == 2 and "No such file or directory" in done.stderr


def test_a_full_disk_is_an_error(raw_line):
    done = bench("line", at(raw_line), "-n", 10, "--json", "/dev/full", "-q")
    assert done.returncode == 1
    assert done.stderr == "cannot write /dev/full: No space left on device\n"


def redirected(redirections, *arguments):
    """ice-bench as a shell starts it with those redirections."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', str(GENERATOR), *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def test_a_table_that_cannot_be_written_is_an_error(raw_line, tmp_path):
    # Danger: a script takes an empty file for a run that went well.
    for arguments in (["line", at(raw_line), "-n", 10], ["--help"], ["--version"],
                      ["line", at(raw_line), "-n", 10, "-q", "--json", "-"]):
        done = redirected(">/dev/full", *arguments)
        assert done.returncode == 1 and done.stderr.startswith("cannot write to stdout")
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        assert redirected("", "line", at(raw_line), "-n", 10, "--json", file).returncode == 0
    assert redirected(">/dev/full", "compare", *files).returncode == 1


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full"])
def test_exit_codes_are_the_same_where_nothing_can_be_printed(raw_line, redirections):
    # Danger: an exception of printing ends it by abort, with 134.
    line = ["line", at(raw_line), "-n", 10]
    assert redirected(redirections, "line", "127.0.0.1:1").returncode == 3
    assert redirected(redirections, "line").returncode == 2
    assert redirected(redirections, *line, "--fail-if", "rate>0").returncode == 99
    assert redirected(redirections, *line, "--progress").returncode == 0
    done = redirected(redirections, *line, "--json", "-")  # its table would go to stderr
    assert done.returncode == 0 and json.loads(done.stdout)


def test_output_never_goes_into_a_connection(raw_line):
    # Danger: with 0 to 2 closed a connection is one of them, and gets the progress as a request.
    done = redirected("<&- >&- 2>&-", "line", at(raw_line), "-c", 4, "-d", "1.5s", "-w", 0,
                      "--progress")
    assert done.returncode == 0


@pytest.mark.parametrize("bound", [["-n", "2k"], ["-n", "0.002m", "-d", "1m"], ["-d", "500ms"],
                                   ["-d", "0.5"], ["-n", "40", "-R", "80"]])
def test_numbers_and_times_have_units(raw_line, bound):
    """And a run lasts as long as its requests, when these are done before its time is over."""
    run = measured("line", at(raw_line), "-w", "0us", *bound)["runs"][0]
    if bound[0] == "-d" or "-R" in bound:
        assert run["seconds"] == pytest.approx(0.5, abs=0.01)
    else:
        assert run["requests"]["completed"] == 2000
        assert 0 < run["seconds"] < 30
        assert run["rate"] == pytest.approx(2000 / run["seconds"], rel=0.01)


def test_warns_if_the_generator_may_have_been_the_limit(raw_line):
    out = bench("line", at(raw_line), "-d", "300ms", "-w", 0, "-P", 64).stdout
    share = int(re.search(r"generator +(\d+) % of a core per thread", out)[1])
    if share != 80:  # rounded
        assert ("warning: the generator used more than 80 % of a core" in out) == (share > 80)


def test_a_server_that_ends_keeps_its_result(raw_line):
    load = subprocess.Popen([GENERATOR, "line", at(raw_line), "-d", "2s", "-w", "0", "--server-pid",
                             str(raw_line.process.pid), "--json", "-"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    load.stderr.readline()
    time.sleep(0.5)
    raw_line.process.kill()
    raw_line.process.wait()
    out, _ = load.communicate(timeout=60)
    run = json.loads(out)["runs"][0]
    assert load.returncode == 1 and run["requests"]["completed"] > 0 and "server" not in run


def test_fail_if(raw_line):
    arguments = ["line", at(raw_line), "-n", 100, "-q"]
    assert bench(*arguments, "--fail-if", "p99>100s", "--fail-if", "rate<1").returncode == 0
    done = bench(*arguments, "--fail-if", "p99>100s", "--fail-if", "p50 > 0us")
    assert done.returncode == 99
    assert done.stderr.startswith("failed: p50 > 0us: p50 is ")


def test_an_interrupt_prints_the_results_so_far(raw_line):
    load = subprocess.Popen([GENERATOR, "line", at(raw_line), "-d", "60s", "-w", "0", "--progress"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "/s" in load.stderr.readline()
    load.send_signal(signal.SIGINT)
    out, _ = load.communicate(timeout=60)
    assert load.returncode == 130
    assert "interrupted" in out and re.search(r"rate +[0-9.]+k?/s", out)


# --- Results


def test_json_is_as_its_schema_says(raw_line):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "bench/schema.json").read_text())
    pid = raw_line.process.pid
    closed = measured("line", at(raw_line), "-d", "1s", "-w", 0, "--server-pid", pid, "--runs", 2)
    jsonschema.validate(closed, schema)
    jsonschema.validate(measured("line", at(raw_line), "-R", 100, "-d", "1s", "-w", 0), schema)
    assert len(closed["runs"]) == 2
    assert closed["runs"][0]["server"]["cpu_seconds"] > 0
    assert closed["runs"][0]["server"]["resident_bytes"] > 100_000


def test_hdr_and_csv(raw_line, tmp_path):
    done = bench("line", at(raw_line), "-n", 5000, "--hdr", tmp_path / "h", "--csv", tmp_path / "c",
                 "-q")
    assert done.returncode == 0 and done.stdout == ""
    lines = (tmp_path / "h").read_text().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines[2:] if not line.startswith("#")]
    assert float(rows[0][1]) == 0 and float(rows[-1][1]) == 1 and int(rows[-1][2]) == 5000
    assert [float(r[0]) for r in rows] == sorted(float(r[0]) for r in rows)
    assert "Total count    =         5000" in lines[-2]
    names, values = [line.split(",") for line in (tmp_path / "c").read_text().splitlines()]
    row = dict(zip(names, values, strict=True))
    assert row["completed"] == "5000" and row["errors"] == "0" and row["mode"] == "line"


def test_compare(tmp_path):
    def result(name, rates):
        run = lambda rate: {"rate": rate, "latency_us": {"percentiles": {"50": 1e6 / rate, "99": 5},
                                                         "max": 9}}
        content = {"schema": "ice-bench/1", "mode": "line", "loop": "closed", "options": {},
                   "runs": [run(r) for r in rates]}
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    base = result("a", [100e3, 101e3, 99e3, 100.5e3, 99.5e3])
    faster = result("b", [110e3, 111e3, 109e3, 110.5e3, 109.5e3])
    noisy = result("c", [100.2e3, 95e3, 105e3, 99.7e3, 100.1e3])
    few = result("d", [200e3, 210e3])

    def verdicts(a, b):
        done = bench("compare", a, b)
        assert done.returncode == 0, done.stderr
        return {line.split()[0]: line for line in done.stdout.splitlines()}

    better = verdicts(base, faster)
    assert "B is better (p = 0.008)" in better["rate"] and " 1.100 " in better["rate"]
    assert "B is better" in better["p50"] and "no difference" in better["p99"]
    assert "B is worse" in verdicts(faster, base)["rate"]
    assert "no difference beyond the noise" in verdicts(base, noisy)["rate"]
    assert "too few samples" in verdicts(base, few)["rate"]
    (tmp_path / "e").write_text("{}")
    assert bench("compare", base, tmp_path / "e").returncode == 2


def test_the_histogram_agrees_with_hdrhistogram():
    for found in (ROOT / "build/venv/lib").glob("python3*/site-packages"):
        sys.path.append(str(found))
    hdrh = pytest.importorskip("hdrh.histogram", reason="test/requirements.txt is not installed")
    chance = random.Random(7)
    samples = [int(chance.lognormvariate(11, 2)) for _ in range(50_000)] + list(range(3000))
    theirs = hdrh.HdrHistogram(1, 2**42 - 1, 3)
    for s in samples:
        theirs.record_value(s)
    done = subprocess.run([BUILT / "percentiles"], input="\n".join(map(str, samples)), text=True,
                          capture_output=True, check=True)
    rows = dict(line.split() for line in done.stdout.splitlines())
    for percent in ("0", "1", "50", "75", "90", "99", "99.9", "99.99"):
        assert int(rows[percent]) == theirs.get_value_at_percentile(float(percent)), percent
    assert int(rows["100"]) == max(samples)  # the largest is kept exactly
    assert float(rows["mean"]) == pytest.approx(sum(samples) / len(samples), rel=1e-3)


def test_a_percentile_is_the_end_of_its_cell():
    """What HdrHistogram's layout says, by arithmetic: 2048 cells, then 1024 for each power of 2."""
    chance = random.Random(8)
    samples = sorted([int(chance.lognormvariate(12, 3)) for _ in range(9_999)] + [0, 2047, 2048])

    def end_of_cell(value):
        shift = max(value.bit_length() - 11, 0)
        return (((value >> shift) + 1) << shift) - 1

    done = subprocess.run([BUILT / "percentiles"], input="\n".join(map(str, samples)), text=True,
                          capture_output=True, check=True)
    rows = dict(line.split() for line in done.stdout.splitlines())
    for percent in ("1", "50", "75", "90", "99", "99.9", "99.99"):
        rank = int(float(percent) / 100 * len(samples) + 0.5)
        expected = min(end_of_cell(samples[rank - 1]), samples[-1])
        assert int(rows[percent]) == expected, percent


def test_a_wrong_reply_in_a_users_protocol_is_an_error():
    with Fake(answer=lambda data: data.replace(b":1,", b":9,")) as server:
        run = bench(at(server), "-n", 3, "-c", 1, "--json", "-", "-q",
                    program=BUILT / "examples/netstring")
    found = json.loads(run.stdout)["runs"][0]
    assert run.returncode == 1
    assert found["errors"] == {"mismatch": 1} and found["requests"]["completed"] == 2
    assert found["first_error"] == "mismatch: asked '1', got '9'"


def test_a_generator_for_a_users_protocol(raw_echo):
    source = (ROOT / "bench/examples/netstring.cpp").read_text()
    assert len(source.splitlines()) <= 20
    run = bench(at(raw_echo), "-n", 5000, "-P", 8, "--json", "-", "-q",
                program=BUILT / "examples/netstring")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["runs"][0]["requests"]["completed"] == 5000


def test_a_handshake_comes_before_the_first_request_of_each_connection(redis_server):
    assert len((ROOT / "bench/examples/redis_set.cpp").read_text().splitlines()) <= 20
    run = bench(redis_server.address, "-n", 3000, "-c", 10, "-P", 4, "--json", "-", "-q",
                program=BUILT / "examples/redis_set")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["runs"][0]["requests"]["completed"] == 3000
    assert b"cmdstat_select:calls=10," in redis_server.ask("INFO", "commandstats")
    assert re.search(rb"db1:keys=\d{3,},", redis_server.ask("INFO", "keyspace"))
    assert b"db0" not in redis_server.ask("INFO", "keyspace")


def test_a_handshake_that_is_refused_is_an_error_of_its_own(redis_server):
    redis_server.ask("ACL", "SETUSER", "default", "-select")
    run = bench(redis_server.address, "-d", "0.3s", "-w", 0, "-c", 2, "--json", "-", "-q",
                program=BUILT / "examples/redis_set")
    assert run.returncode == 1
    found = json.loads(run.stdout)["runs"][0]
    assert set(found["errors"]) == {"handshake"} and found["requests"]["sent"] == 0
    assert found["first_error"] == "handshake: handshake refused"


def test_a_handshake_without_an_answer_ends():
    for answer in (lambda data: b"", lambda data: b"+O"):
        with Fake(answer=answer) as server:
            run = bench(at(server), "-d", "0.5s", "-w", 0, "-c", 3, "--timeout", "100ms", "--json",
                        "-", "-q", program=BUILT / "examples/redis_set")
        assert run.returncode == 1, run.stderr
        found = json.loads(run.stdout)["runs"][0]
        assert found["first_error"] == "connect: no answer in time"


# --- Its own yardstick


def test_the_epoll_generator_counts_right_replies(raw_line):
    done = bench(at(raw_line), "-c", 5, "-P", 16, "-d", 0.2, program=BUILT / "epoll_generator")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["replies"] > 0 and result["seconds"] >= 0.2 and result["cpu_seconds"] > 0


@pytest.mark.parametrize("answer, said", [
    (lambda data: data.replace(b"s\r", b"x\r", 1), "wrong reply"),
    (lambda data: data + data, "wrong reply"),
    (lambda data: b"", "nothing came")])
def test_the_epoll_generator_ends_at_a_wrong_reply(answer, said):
    with Fake(answer=answer) as server:
        done = bench(at(server), "-c", 2, "-P", 4, "-d", 9, program=BUILT / "epoll_generator")
    assert done.returncode == 1 and said in done.stderr
