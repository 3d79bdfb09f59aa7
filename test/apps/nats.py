"""A real nats-server on a port of loopback. No tests here."""
import re
import shutil
import socket

from app import ENOUGH
from real_server import RealServer


def installed():
    return shutil.which("nats-server") is not None


class Nats(RealServer):
    name, question, reply = "nats", b"", ""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        super().__init__(folder)
        self.address = f"127.0.0.1:{self.port}"

    def command(self):
        return ["nats-server", "-a", "127.0.0.1", "-p", str(self.port)]

    def ask(self, commands, end=r"PONG\r\n"):
        """Sends commands and a PING, and returns what the server sends before `end`."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(ENOUGH)
            connection.sendall(b'CONNECT {"verbose":false}\r\n' + commands + b"PING\r\n")
            got = ""
            while not re.search(end, got):
                got += connection.recv(4096).decode()
            return "" if commands == self.question else got
