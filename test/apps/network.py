"""A loopback and mounts of its own: fixed ports are free there, and the settings of the kernel and
files of the system can be changed.
Programs and clients (netcat) live in there; they are ended and reaped. No tests here."""
import re
import select
import shutil
import subprocess
from pathlib import Path

import pytest
from app import ENOUGH, program, until


class Network:
    """`set_up`: shell commands for inside, once. Skips the test where this is not permitted."""

    def __init__(self, set_up="true"):
        missing = [tool for tool in ("unshare", "nsenter", "ip", "nc") if not shutil.which(tool)]
        if missing:
            pytest.skip(f"not installed here: {missing}")
        self.children = []  # they write little to stderr, so nobody has to read it meanwhile
        self.holder = self.popen(
            ["unshare", "-rnm", "sh", "-c",
             f"ip link set lo up && {set_up} && echo up && exec cat"])
        readable, _, _ = select.select([self.holder.stdout], [], [], ENOUGH)
        if not readable or self.holder.stdout.readline() != b"up\n":
            self.close()
            pytest.skip("no network namespaces here: " + self.holder.stderr.read().decode())

    def popen(self, command):
        self.children.append(subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0,
                                              stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return self.children[-1]

    @property
    def prefix(self):
        """What a command line begins with to run in there."""
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-n", "-m", "--preserve-credentials",
                f"--wd={Path.cwd()}", "--"]

    def inside(self, *command):
        return self.popen([*self.prefix, *command])

    def listens(self, port, address="[0-9A-F]+"):
        tables = [Path(f"/proc/{self.holder.pid}/net/{kind}") for kind in ("tcp", "tcp6")]
        return any(re.search(rf" {address}:{port:04X} \w+:0000 0A ", table.read_text("ascii"))
                   for table in tables)

    def run(self, ports, *command, address="[0-9A-F]+"):
        """Runs a server until it listens on all ports. `address`: a pattern of /proc/net/tcp."""
        child = self.inside(*command)
        until(lambda: all(self.listens(port, address) for port in ports)
              or child.poll() is not None, f"{command} listens")
        assert child.poll() is None, child.stderr.read().decode()
        return child

    def server(self, name, port, *options, zone="UTC0"):
        return self.run([port], "env", f"TZ={zone}", program(name), *options)

    def dialogue(self, data):
        """What `nc -N` gets for the data, from port 9999."""
        return self.inside("nc", "-N", "127.0.0.1", "9999").communicate(data, ENOUGH)[0]

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.kill()
            child.wait()
