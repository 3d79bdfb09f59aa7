#!/usr/bin/env python3
"""The README's commands on a fresh machine: a bare Debian 12 (debootstrap) and a clone.

  1. A user who may not become root is told which packages to install, and nothing else happens.
  2. root's `./run` installs them, builds, and the telnet server tells the time.
  3. Its lines for CMake install ice and build the project in consumer/, which serves.
  4. `./run test` passes.

Needs root, and the ports 9999 and 10000. Takes half an hour on two cores, as it builds all tests.
"""

import os
import re
import signal
import socket
import subprocess
import sys

from chroot import Chroot
from user import ROOT, run, serves


def as_user_without_sudo(debian):
    debian("useradd --create-home someone && cp -r /ice /home/someone/ice && "
           "chown -R someone:someone /home/someone/ice")
    said = debian("cd ~/ice && ./run", user="someone", fails=True)
    if not re.search(r"^run: packages are missing; as root, run: apt-get install .* cmake ", said):
        sys.exit(f"a user without sudo was told:\n{said}")
    print(f"a user without sudo was told:\n  {said.strip()}")


def serve(debian):
    with subprocess.Popen(debian.command("cd /ice && exec ./run"), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as serving:
        try:
            said = []
            for line in serving.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            else:
                sys.exit(f"./run ended by itself:\n{''.join(said)}")
            with socket.create_connection(("127.0.0.1", 9999), timeout=20) as peer:
                peer.sendall(b"gettime\r\n")
                peer.shutdown(socket.SHUT_WR)
                answer = peer.makefile("rb").read()
        finally:
            os.killpg(serving.pid, signal.SIGTERM)
    if not re.fullmatch(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*\r\n", answer):
        sys.exit(f"gettime was answered by {answer!r}")
    print(f"./run as root: gettime was answered by {answer.decode().strip()}")


def install(debian):
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = re.search(r"^\*\*CMake\*\*.*?```sh\n(.*?)```", readme, re.M | re.S)[1]
    lines = re.sub(r"\bPREFIX\b", "/opt/ice", lines)
    debian(f"set -e\ncd /ice\nln -s test/package/consumer my_server\n{lines}cmake --build build")
    serves("chroot", debian.root, "/ice/build/consumer")
    print("the README's lines for CMake: installed, and used")


def main():
    if os.geteuid() != 0:
        sys.exit("a bare Debian can only be made by root")
    debian = Chroot(ROOT / "build" / "chroot" / "fresh")
    run("git", "clone", "--no-hardlinks", ROOT, debian.root / "ice")
    debian("apt-get update -qq")  # as its installer does
    as_user_without_sudo(debian)
    serve(debian)
    install(debian)
    print("\n".join(debian("cd /ice && ./run test").splitlines()[-12:]))


if __name__ == "__main__":
    main()
