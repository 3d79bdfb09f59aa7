"""`chat` alone: names, rooms, /who, and readers that are too slow. chat_cluster_test.py has many
processes."""
import time

import pytest
from app import ENOUGH, until


@pytest.fixture
def server(start):
    return start("chat")


@pytest.fixture
def enter(server, connect):
    """Connects a client with a name, which is then in the lobby."""
    def begin(name, **buffers):
        client = connect(server, **buffers)
        assert client.line() == "* your name?"
        client.send(name.encode() + b"\r\n")
        assert client.line() == f"* {name} is in lobby"
        return client
    return begin


def test_a_room_hears_what_its_clients_say(enter):
    ann, bob = enter("ann"), enter("bob")
    assert ann.line() == "* bob is in lobby"
    ann.send(b"hello, \xc3\xa4\r\n")
    assert ann.line() == bob.line() == "ann: hello, \xc3\xa4"
    bob.send(b"/quit\r\n")
    assert bob.rest() == b""
    assert ann.line() == "* bob has left"


def test_rooms_hear_nothing_of_each_other(enter):
    ann, bob = enter("ann"), enter("bob")
    assert ann.line() == "* bob is in lobby"
    bob.send(b"/join garden\r\n")
    assert ann.line() == "* bob has left"
    assert bob.line() == "* bob is in garden"
    ann.send(b"in the lobby\r\n/join garden\r\nin the garden\r\n")
    assert [ann.line() for _ in range(3)] == [
        "ann: in the lobby", "* ann is in garden", "ann: in the garden"]
    assert [bob.line() for _ in range(2)] == ["* ann is in garden", "ann: in the garden"]


def test_who_lists_the_room(enter):
    ann, bob = enter("ann"), enter("bob")
    enter("eve").send(b"/join garden\r\n")
    assert [ann.line() for _ in range(3)] == [
        "* bob is in lobby", "* eve is in lobby", "* eve has left"]
    bob.send(b"/who\r\n")
    lines = [bob.line() for _ in range(3)]
    assert sorted(lines[-1].split()) == ["*", "ann", "bob"]


@pytest.mark.parametrize("name", [b"", b"two words", b"a.b", b"*", b"x" * 33, b"ann", b"\x1b[2J"])
def test_a_name_that_is_taken_or_none_is_refused(server, enter, connect, name):
    enter("ann")
    client = connect(server)
    client.send(name + b"\r\n")
    assert client.rest() == (b"* your name?\r\n"
                             b"* no: a name has letters and digits, and nobody else has it\r\n")


def test_a_name_is_free_again_when_its_client_has_left(server, enter, connect):
    client = enter("ann")
    client.close()

    def is_free():
        again = connect(server)
        again.send(b"ann\r\n")
        return again.line() and "is in lobby" in again.line()
    until(is_free, "the name is free")


def test_what_terminals_would_obey_is_not_said(enter):
    ann = enter("ann")
    ann.send(b"a\x1b[2Jb\x07\r\n")
    assert ann.line() == "ann: a[2Jb"
    ann.send(b"/join a.b\r\n/join \r\n")
    assert ann.line() == ann.line() == "* a room has letters and digits"


def test_a_client_that_does_not_read_is_dropped_and_nobody_waits_for_it(enter, server):
    ann = enter("ann")
    enter("slow", receive_buffer=4096)
    assert ann.line() == "* slow is in lobby"
    text = b"x" * 1000
    end = time.monotonic() + ENOUGH
    line = ""
    while line != "* slow has left":
        assert time.monotonic() < end, "it is still there"
        ann.send(text + b"\r\n")
        line = ann.line()
    ann.send(b"/who\r\n")
    while line != "* ann":
        line = ann.line()
