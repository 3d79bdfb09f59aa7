"""The tutorial's five programs, each in a dialogue by netcat. Their ports are fixed (9999, 10000),
so they and their clients live in a network of their own, which nobody else can disturb."""
import contextlib
import re
import select
import signal
import time

import pytest
from app import ENOUGH
from client import SLACK, hours_ahead
from network import Network

EAST = 5  # the time server lives so many hours east, so an answer tells whose clock it is from


class Netcat:
    """One person at one `nc`, who reads line by line."""

    def __init__(self, network):
        self.child, self.unread = network.inside("nc", "127.0.0.1", "9999"), b""

    def say(self, line):
        self.child.stdin.write(line + b"\r\n")

    def hears(self, seconds=ENOUGH):
        """The next line, or None."""
        while b"\r\n" not in self.unread:
            if not select.select([self.child.stdout], [], [], seconds)[0]:
                return None
            more = self.child.stdout.read(4096)
            assert more, f"the connection ended in {self.unread!r}"
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\r\n")
        return line.decode("latin-1")


@pytest.fixture
def network():
    with contextlib.closing(Network()) as made:
        yield made


def time_server(network):
    return network.server("time", 10000, "--listen", "127.0.0.1:10000", zone=f"EAST-{EAST}")


def whose(answer):
    """0: the program's own clock, EAST: the time server's. Newer versions of fmt add fractions."""
    return hours_ahead(answer.partition(".")[0].strip())


def ends_well(server):
    server.send_signal(signal.SIGTERM)
    assert server.wait(ENOUGH) == 0, server.stderr.read().decode()


def test_step_1_echoes_bytes(network):
    # Danger: the ten lines that everybody copies first do not work as they stand.
    server = network.server("tutorial/1_echo", 9999)
    assert network.dialogue(b"hello\nice\0\xff") == b"hello\nice\0\xff"
    ends_well(server)


def test_step_2_answers_one_message_per_read(network):
    # Danger: the default protocol changes, and this step's promise (raw bytes) with it.
    server = network.server("tutorial/2_logic", 9999)
    assert whose(network.dialogue(b"gettime").decode()) == 0
    assert network.dialogue(b"what") == b"command wrong"
    ends_well(server)


def test_step_3_answers_lines(network):
    # Danger: the user's own protocol is not asked for all the messages that have arrived.
    server = network.server("tutorial/3_protocol", 9999)
    first, second, end = network.dialogue(b"gettime\r\nwhat\r\ngett").decode().split("\r\n")
    assert (whose(first), second, end) == (0, "command wrong", "")
    ends_well(server)


def test_step_4_sends_a_request_to_the_time_server_and_falls_back_to_its_own_clock(network):
    # Danger: the pool is decoration: nobody notices that it is never, or always, used.
    server = network.server("tutorial/4_pool", 9999)
    assert whose(network.dialogue(b"gettime\r\n").decode()) == 0, "nobody is there to ask"
    clock = time_server(network)
    well = time.monotonic()
    while whose(network.dialogue(b"gettime\r\n").decode()) != EAST:
        assert time.monotonic() - well < 1 + SLACK, "the time server is not asked"
    assert network.dialogue(b"what\r\n") == b"command wrong\r\n"
    clock.kill()
    clock.wait()
    assert whose(network.dialogue(b"gettime\r\n").decode()) == 0, "nobody is there any more"
    ends_well(server)


def test_step_5_broadcasts_to_two_peers(network):
    # Danger: a push is lost, goes to one only, or overtakes; a waiting logic loses its session.
    time_server(network)
    server = network.server("tutorial/5_push", 9999)
    ann, bob = Netcat(network), None
    assert ann.hears() == "welcome"
    bob = Netcat(network)
    assert bob.hears() == "welcome"

    ann.say(b"hello bob")
    assert bob.hears() == "hello bob"
    hears, ann_is = sorted([ann.hears(), ann.hears()])
    assert hears == "hello bob" and re.fullmatch(r"you are #[1-9]\d*", ann_is)

    bob.say(b"later")
    assert ann.hears() == "later"
    hears, bob_is = sorted([bob.hears(), bob.hears()])
    assert hears == "later" and re.fullmatch(r"you are #[1-9]\d*", bob_is) and bob_is != ann_is

    bob.say(b"quiet")  # no answer to this one: the next line that bob hears is the time
    bob.say(b"gettime")
    assert whose(bob.hears()) == EAST
    assert ann.hears(0.2) is None, "what was said to the server only was told to others"

    ann.child.kill()
    ann.child.wait()
    bob.say(b"alone")
    assert sorted([bob.hears(), bob.hears()]) == ["alone", bob_is]
    bob.child.stdin.close()
    ends_well(server)
