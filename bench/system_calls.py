#!/usr/bin/env python3
"""System calls per message of ice's echo servers beside Asio's textbook servers, counted by strace.

Each figure is the difference between a run of 2n messages and one of n, divided by n, so that what
a server does once (start, accept, stop) is not in it. Counts do not depend on the machine's speed;
the number of reads that find nothing (EAGAIN) does a little, as strace slows the server down."""
import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MESSAGE = b"x" * 30 + b"\r\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    end = time.monotonic() + 10
    while True:
        try:
            s = socket.create_connection(("127.0.0.1", port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return s
        except ConnectionRefusedError:
            if time.monotonic() > end:
                sys.exit("the server does not answer")
            time.sleep(0.02)


def stop(process):
    """While it waits: at any other time strace stops it for a moment, too; it looks the same."""
    def wait_for(states):
        stat = Path(f"/proc/{process}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] not in states:
            time.sleep(0.001)

    wait_for("S")
    os.kill(process, signal.SIGSTOP)
    wait_for("tT")


def calls(table):
    """All that strace has counted, but for the waits that stop() has interrupted."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d+)? *(\w+)$", table, re.M)
    return sum(int(n) - (int(failed or 0) if name == "epoll_wait" else 0)
               for n, failed, name in rows if name != "total")


def count(command, burst, rounds, peers=1):
    """System calls of the server for so many rounds of `burst` messages from each peer. Several
    peers send while the server is stopped: so it finds all of them ready at once."""
    port = free_port()
    with tempfile.NamedTemporaryFile("r") as table, contextlib.ExitStack() as sockets:
        server = subprocess.Popen(
            ["strace", "-c", "-f", "-o", table.name, *[a.format(port=port) for a in command]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        all_peers = [sockets.enter_context(connect(port)) for _ in range(peers)]
        child = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        for _ in range(rounds):
            if peers > 1:
                stop(child)
            for s in all_peers:
                s.sendall(MESSAGE * burst)
            if peers > 1:
                os.kill(child, signal.SIGCONT)
            for s in all_peers:
                left = len(MESSAGE) * burst
                while left:
                    left -= len(s.recv(left))
        sockets.close()
        os.kill(child, signal.SIGTERM)
        server.wait(10)
        return calls(table.read())


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--build", default="build/release", help="where the servers were built")
    arguments.add_argument("--rounds", type=int, default=500)
    chosen = arguments.parse_args()
    apps, bench = f"{chosen.build}/apps", f"{chosen.build}/bench"
    echo = ["--protocol", "line", "--listen", "127.0.0.1:{port}"]
    servers = [("ice", [f"{apps}/echo", *echo]),
               ("textbook Asio", [f"{bench}/asio_line", "{port}"])]
    servers = [each for each in servers if Path(each[1][0]).exists()]
    print(f"{'system calls, lines of 32 bytes':34}" + "".join(f"{name:>15}" for name, _ in servers))
    for title, burst, peers in (("one line at a time", 1, 1), ("a burst of 64 lines", 64, 1),
                                ("50 peers at once: each line", 1, 50)):
        n = max(20, chosen.rounds // burst // peers)
        row = [(count(c, burst, 2 * n, peers) - count(c, burst, n, peers)) / n / peers
               for _, c in servers]
        print(f"{title:34}" + "".join(f"{made:15.2f}" for made in row))


if __name__ == "__main__":
    main()
