"""A real nats-server on a port of loopback. No tests here.
The environment variable ICE_NATS_SERVER names another program than the installed one."""
import os
import re
import shutil
import socket

from app import ENOUGH, until
from real_server import RealServer


PROGRAM = os.environ.get("ICE_NATS_SERVER", "nats-server")


def installed():
    return shutil.which(PROGRAM) is not None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Nats(RealServer):
    name, question, reply = "nats", b"", ""

    def __init__(self, folder, *options):
        self.port, self.options = free_port(), options
        super().__init__(folder)
        self.address = f"127.0.0.1:{self.port}"

    def command(self):
        return [PROGRAM, "-a", "127.0.0.1", "-p", str(self.port), *self.options]

    def ask(self, commands, end=r"PONG\r\n"):
        """Sends commands and a PING, and returns what the server sends before `end`."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(ENOUGH)
            connection.sendall(b'CONNECT {"verbose":false}\r\n' + commands + b"PING\r\n")
            got = ""
            while not re.search(end, got):
                got += connection.recv(4096).decode()
            return "" if commands == self.question else got


class Cluster:
    """Servers that know each other."""

    def __init__(self, folder, size):
        routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(size)]
        self.servers = []
        for number, own in enumerate(routes):
            place = folder / f"nats{number}"
            place.mkdir()
            self.servers.append(Nats(place, "--cluster_name", "test", "--cluster", own, "--routes",
                                     ",".join(route for route in routes if route != own)))
        for server in self.servers:
            self.join(server)

    def join(self, server, begin=0):
        """Waits until a server has a route to each of the others; `begin` of its log is older."""
        log = server.folder / "nats.log"
        until(lambda: log.read_bytes()[begin:].count(b"Route connection created") >=
              len(self.servers) - 1, "the cluster is whole")

    def restart(self, server):
        begin = (server.folder / "nats.log").stat().st_size
        server.start()
        self.join(server, begin)

    def close(self):
        for server in self.servers:
            server.close()
