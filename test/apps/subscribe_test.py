"""The example `subscribe`: a link to a real redis-server, which is killed, stopped and started."""
import signal
import subprocess

import pytest
import redis
from app import ENOUGH, program, until

pytestmark = pytest.mark.skipif(not redis.installed(), reason="redis-server is not installed")


class Subscriber:
    def __init__(self, server, folder, *options):
        self.out, self.errors = folder / "out", folder / "errors"
        with self.out.open("wb") as out, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [program("examples/subscribe"), "--redis", server.address, *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors)

    def lines(self):
        return self.out.read_text().splitlines()

    def logged(self, text):
        return text in self.errors.read_text()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENOUGH)


@pytest.fixture
def server(tmp_path):
    one = redis.Redis(tmp_path)
    yield one
    one.close()


@pytest.fixture
def subscriber(server, tmp_path):
    one = Subscriber(server, tmp_path, "--heartbeat", "1")
    until(lambda: one.lines() == ["subscribed to news"], "the subscription")
    yield one
    if one.process.poll() is None:
        one.process.kill()
        one.process.wait(ENOUGH)


def test_it_prints_what_is_published(server, subscriber):
    for text in ("one", "two"):
        assert server.ask("PUBLISH", "news", text) == b":1\r\n"
    until(lambda: subscriber.lines()[1:] == ["news: one", "news: two"], "the messages")
    assert subscriber.end() == 0


def test_it_subscribes_again_when_redis_is_killed_and_started(server, subscriber):
    server.kill()
    server.start()
    until(lambda: server.ask("PUBLISH", "news", "again") == b":1\r\n", "another subscription")
    until(lambda: subscriber.lines()[-1] == "news: again", "the message")
    assert subscriber.lines().count("subscribed to news") == 2
    assert subscriber.logged("the connection to") and subscriber.end() == 0


def test_it_subscribes_again_when_redis_ends_its_connection(server, subscriber):
    assert server.ask("CLIENT", "KILL", "TYPE", "pubsub") == b":1\r\n"
    until(lambda: server.ask("PUBLISH", "news", "again") == b":1\r\n", "another subscription")
    until(lambda: subscriber.lines()[-1] == "news: again", "the message")


def test_a_heartbeat_finds_a_redis_that_hangs(server, subscriber):
    server.stop()
    until(lambda: subscriber.logged("idle for too long"), "the end of the connection")
    server.go_on()
    until(lambda: server.ask("PUBLISH", "news", "again") == b":1\r\n", "another subscription")
    until(lambda: subscriber.lines()[-1] == "news: again", "the message")
    assert subscriber.end() == 0


def test_it_ends_at_once_while_redis_hangs(server, subscriber):
    server.stop()
    assert subscriber.end() == 0
