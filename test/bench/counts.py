#!/usr/bin/env python3
"""What a message and a connection of apps/echo cost, and a message of ice-bench, as counts that no
noise of the machine changes. Each has a bound close to what it is, so that it cannot creep up; when
a count sinks, lower its bound.

Instructions are callgrind's, memory is the kernel's. For an optimised build without sanitizers:
elsewhere the figures mean nothing, and the exit code is 77, "skipped". System calls per message
are counted in test/apps/cost_test.py, allocations in test/allocation_test.cpp."""
import argparse
import contextlib
import ctypes
import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKIPPED = 77
ENOUGH = 60  # seconds for what should come at once, under valgrind
LINE = b"x" * 30 + b"\r\n"
BURST = LINE * 64
CROWD = 9000  # apps/echo takes 10,000
PR_SET_THP_DISABLE = 41

# what, most: today's figure and a little (184 and 413 instructions, and 8 %; 1,521 bytes, and what
# the goal of 1.5 KiB leaves)
INSTRUCTIONS = ("instructions per line, 64 in a burst", 198)
COROUTINE = ("the same with a coroutine as the logic", 446)
# 1,069 and 793: since answers have a bound in bytes, and a logic may replace one
SET = ("instructions per SET of apps/keyvalue, 64 in a burst", 1100)
GET = ("the same of GET", 810)
# 5,081; a fifth of them in malloc(), for the three coroutine frames and the reply of each request
GATEWAY = ("instructions per line of bench/gateway, 64 in flight", 2250)
IDLE = ("bytes of memory per idle connection", 1536)
AFTER_BURST = ("bytes of memory per connection after a burst on each", 1600)
# 40 and 117 instructions, a few more where bursts come in pieces; the kernel below them, which is
# nine tenths of what a line costs, is the same for both
GENERATOR = ("instructions per line of ice-bench, 64 in flight", 48)
YARDSTICK = ("the same, for each of epoll_generator", 0.42)


@contextlib.contextmanager
def serving(*command):
    """Yields the process and the address of a server."""
    def small_pages():  # huge ones come and go as the machine's memory allows
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               preexec_fn=small_pages, text=True)
    try:
        address = process.stdout.readline().rpartition(" ")[2].strip()
        if not address:
            sys.exit(f"{' '.join(command)} did not start")
        host, _, port = address.rpartition(":")
        yield process, (host, int(port))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(ENOUGH)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


ECHO = "apps/echo", "--protocol", "line", "--listen", "127.0.0.1:0"


def echo(build, *prefix, program=ECHO):
    """Runs an echo of lines below `prefix`."""
    return serving(*prefix, f"{build}/{program[0]}", *program[1:])


KEYVALUE = "apps/keyvalue", "--listen", "127.0.0.1:0"
SETS = b"*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$3\r\nVXK\r\n", b"+OK\r\n"
GETS = b"*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n", b"$3\r\nVXK\r\n"


def exchange(peer, data, answer=None):
    peer.sendall(data)
    missing = len(answer or data)
    while missing:
        got = len(peer.recv(missing))
        if not got:
            sys.exit("the server has closed the connection")
        missing -= got


@contextlib.contextmanager
def counted(folder):
    """Yields the beginning of a command, and a function for the instructions that it has made."""
    log = Path(folder, "valgrind")

    def collected():
        found = re.search(r"Collected : (\d+)", log.read_text())
        if not found:
            sys.exit(f"valgrind has counted nothing:\n{log.read_text()}")
        return int(found[1])

    yield ["valgrind", "--tool=callgrind", f"--log-file={log}",
           "--callgrind-out-file=/dev/null"], collected


def instructions(build, bursts, folder, program, request, answer):
    with counted(folder) as (valgrind, collected):
        with echo(build, *valgrind, program=program) as (_, address):
            with socket.create_connection(address, timeout=ENOUGH) as peer:
                if answer == GETS[1]:
                    exchange(peer, *SETS)
                for _ in range(bursts):
                    exchange(peer, request * 64, answer * 64)
        return collected()


def per_message(build, folder, program, request=LINE, answer=LINE, tries=1):
    n = 200
    once, twice = (min(instructions(build, k, folder, program, request, answer)
                       for _ in range(tries)) for k in (n, 2 * n))
    return (twice - once) / n / 64


def of_gateway(build, folder):
    """How many lines it passes on in one turn of its loop depends on what else the machine does:
    the fewest instructions count."""
    with serving(f"{build}/bench/raw_line", "0") as (_, (_, port)):
        return per_message(build, folder, ("bench/gateway", str(port), "1000", "64", "0"), tries=3)


def load(address, folder, program, *arguments):
    """The instructions of a generator, and what it printed."""
    with counted(folder) as (valgrind, collected):
        done = subprocess.run([*valgrind, *program, "{}:{}".format(*address), "-P", "64",
                               *map(str, arguments)], capture_output=True, text=True, check=False,
                              timeout=ENOUGH)
        if done.returncode:
            sys.exit(f"{program[0]} has failed: {done.stderr}")
        return collected(), done.stdout


def of_generators(build, folder):
    """Instructions per line of ice-bench and of its yardstick."""
    with serving(f"{build}/bench/raw_line", "0") as (_, address):
        n = 1_000_000
        few, many = (load(address, folder, [f"{build}/bench/ice-bench", "line"], "-q", "-n", count)
                     for count in (n, 2 * n))
        ours = (many[0] - few[0]) / n
        few, many = (load(address, folder, [f"{build}/bench/epoll_generator"], "-c", 50, "-d", time)
                     for time in (0.5, 1.5))
        replies = json.loads(many[1])["replies"] - json.loads(few[1])["replies"]
        return ours, (many[0] - few[0]) / replies


def memory(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def per_connection(build):
    """Memory per idle connection, and again after a burst on each; None if too few may be open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < CROWD + 100:
        return None
    resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 100, hard))
    with contextlib.ExitStack() as crowd, echo(build) as (process, address):
        def connect():
            return crowd.enter_context(socket.create_connection(address, timeout=ENOUGH))

        witness = connect()
        exchange(witness, BURST)
        before = memory(process)
        peers = [connect() for _ in range(CROWD)]
        exchange(witness, BURST)  # its answer comes after all have been accepted
        idle = (memory(process) - before) / CROWD
        for peer in peers:
            exchange(peer, BURST)
        end = time.monotonic() + 10  # buffers are given back a little later
        while (after := (memory(process) - before) / CROWD) > AFTER_BURST[1]:
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        return idle, after


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build/release", help="where all was built")
    parser.add_argument("--built-with", default="", metavar="CONFIG FLAGS",
                        help="skips all if that is no optimised build")
    chosen = parser.parse_args()
    if re.search("Debug|-fsanitize|-O0", chosen.built_with.replace("RelWithDebInfo", "")):
        print(f"skipped: counts of a build with {chosen.built_with!r} mean nothing")
        return SKIPPED
    if not shutil.which("valgrind"):
        print("skipped: there is no valgrind here")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        ours, yardstick = of_generators(chosen.build, folder)
        found = [(*INSTRUCTIONS, per_message(chosen.build, folder, ECHO)),
                 (*COROUTINE, per_message(chosen.build, folder, ("bench/coroutine_line", "0"))),
                 (*SET, per_message(chosen.build, folder, KEYVALUE, *SETS)),
                 (*GET, per_message(chosen.build, folder, KEYVALUE, *GETS)),
                 (*GATEWAY, of_gateway(chosen.build, folder)),
                 (*GENERATOR, ours), (*YARDSTICK, ours / yardstick)]
    sizes = per_connection(chosen.build)
    if sizes:
        found += [(*IDLE, sizes[0]), (*AFTER_BURST, sizes[1])]
    else:
        print(f"not counted: {CROWD} descriptors are needed (ulimit -n)")
    for what, most, count in found:
        print(f"{what:55} {count:8.4g}, at most {most}{'' if count <= most else ': TOO MANY'}")
    return any(count > most for _, most, count in found)


if __name__ == "__main__":
    sys.exit(main())
