"""Names and addresses as the real resolver and kernel treat them, in a network of our own."""
import contextlib
import select
import signal

from app import ENOUGH
from client import hours_ahead
from network import Network

LOOKUP = 30  # seconds: what glibc waits at most for a name server (RES_MAXRETRANS)


def test_a_name_server_that_never_answers_delays_neither_answers_nor_the_exit(tmp_path):
    # Danger: getaddrinfo() holds the loop, or the program joins its thread before it ends.
    settings = tmp_path / "resolv.conf"
    settings.write_text(f"nameserver 127.0.0.1\noptions timeout:{LOOKUP} attempts:1\n", "ascii")
    with contextlib.closing(Network(f"mount --bind {settings} /etc/resolv.conf")) as network:
        names = network.inside("nc", "-u", "-l", "127.0.0.1", "53")
        server = network.server("telnet", 9999, "--upstream", "time.example:10000")
        answer = network.dialogue(b"gettime\r\n")
        assert hours_ahead(answer.decode().strip()) == 0  # its own clock
        readable, _, _ = select.select([names.stdout], [], [], ENOUGH)
        assert readable, "the name server was not asked"
        server.send_signal(signal.SIGTERM)
        said = server.communicate(timeout=LOOKUP * 2 / 3)[1]
        assert server.returncode == 0, said


def test_the_ipv6_wildcard_accepts_ipv4_whatever_bindv6only_says():
    # Danger: "[::]" listens on IPv6 alone where net.ipv6.bindv6only is 1.
    with contextlib.closing(Network("echo 1 > /proc/sys/net/ipv6/bindv6only")) as network:
        network.server("echo", 9999, "--listen", "[::]:9999")
        assert network.dialogue(b"four\r\n") == b"four\r\n"
        six = network.inside("nc", "-N", "::1", "9999")
        assert six.communicate(b"six\r\n", ENOUGH)[0] == b"six\r\n"
