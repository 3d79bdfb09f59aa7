#!/usr/bin/env python3
"""System calls per message of ice's echo server beside Asio's textbook servers, counted by strace.

Each figure is the difference between a run of 2n messages and one of n, divided by n, so that what
a server does once (start, accept, stop) is not in it. Counts do not depend on the machine's speed;
the number of reads that find nothing (EAGAIN) does a little, as strace slows the server down."""
import argparse
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


def count(command, burst, rounds):
    """All system calls of the server for so many rounds of `burst` messages."""
    port = free_port()
    with tempfile.NamedTemporaryFile("r") as table:
        server = subprocess.Popen(
            ["strace", "-c", "-f", "-o", table.name, *[a.format(port=port) for a in command]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with connect(port) as s:
            for _ in range(rounds):
                s.sendall(MESSAGE * burst)
                left = len(MESSAGE) * burst
                while left:
                    left -= len(s.recv(left))
        child = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0]
        subprocess.run(["kill", "-TERM", child], check=True)
        server.wait(10)
        total = [line.split() for line in table.read().splitlines() if line.endswith(" total")]
        return int(total[0][2 if len(total[0]) < 6 else 3])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--build", default="build/release", help="where the servers were built")
    arguments.add_argument("--rounds", type=int, default=500)
    chosen = arguments.parse_args()
    apps, bench = f"{chosen.build}/apps", f"{chosen.build}/bench"
    servers = [("ice", [f"{apps}/echo", "--protocol", "line", "--listen", "127.0.0.1:{port}"]),
               ("textbook Asio", [f"{bench}/asio_line", "{port}"])]
    print(f"{'system calls, lines of 32 bytes':34}" + "".join(f"{name:>15}" for name, _ in servers))
    for title, burst in (("one line at a time", 1), ("a burst of 64 lines", 64)):
        n = max(20, chosen.rounds // burst)
        row = [(count(c, burst, 2 * n) - count(c, burst, n)) / n for _, c in servers]
        print(f"{title:34}" + "".join(f"{calls:15.1f}" for calls in row))


if __name__ == "__main__":
    main()
