"""A real HAProxy before several servers. No tests here."""
import shutil
import socket

from nats import free_port
from real_server import RealServer


def installed():
    return shutil.which("haproxy") is not None


class HaProxy(RealServer):
    """A connection from 127.0.1.(N + 1) goes to the server number N, or to any if that is down."""

    name = "haproxy"

    def __init__(self, folder, addresses):
        self.port = free_port()
        rules = "".join(f"    use-server s{n} if {{ src 127.0.1.{n + 1} }}\n"
                        f"    server s{n} {address} check inter 50ms fall 1 rise 1\n"
                        for n, address in enumerate(addresses))
        self.configuration = folder / "haproxy.cfg"
        self.configuration.write_text(f"""\
global
    maxconn 4000
defaults
    mode tcp
    option redispatch
    retries 3
    timeout connect 1s
    timeout client 1m
    timeout server 1m
frontend front
    bind 127.0.0.1:{self.port}
    default_backend servers
backend servers
    balance leastconn
{rules}""")
        super().__init__(folder)
        self.address = f"127.0.0.1:{self.port}"

    def command(self):
        return ["haproxy", "-db", "-f", str(self.configuration)]

    def answers(self):
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0
