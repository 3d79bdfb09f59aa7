"""The example `nats`: a client of a real nats-server, which is killed and started."""
import signal
import subprocess

import nats
import pytest
from app import ENOUGH, program, until

pytestmark = pytest.mark.skipif(not nats.installed(), reason="nats-server is not installed")


@pytest.fixture
def server(tmp_path):
    one = nats.Nats(tmp_path)
    yield one
    one.close()


@pytest.fixture
def lines(server, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([program("examples/nats"), "--nats", server.address],
                                   stdin=subprocess.DEVNULL, stdout=out)
    yield lambda: (tmp_path / "out").read_text().splitlines()
    process.send_signal(signal.SIGTERM)
    assert process.wait(ENOUGH) == 0


def publish(server, lines, text):
    """Publishes until it is printed: the client may not have subscribed yet."""
    def is_printed():
        server.ask(b"PUB news.sport %d\r\n%s\r\n" % (len(text), text))
        return f"news.sport: {text.decode()}" in lines()
    until(is_printed, "the message")


def test_it_prints_what_is_published_also_after_a_restart(server, lines):
    publish(server, lines, b"1:0")
    server.kill()
    server.start()
    publish(server, lines, b"2:0")


def test_it_replies_with_the_time(server, lines):
    publish(server, lines, b"it is there")
    server.ask(b"SUB inbox 1\r\nPUB time inbox 0\r\n\r\n", r"MSG inbox 1 \d+\r\n\d+\r\n")
