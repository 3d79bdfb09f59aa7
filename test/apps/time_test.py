"""`time`, with netcat and with a plain socket: what users try first."""
import subprocess

import pytest
from app import ENOUGH
from client import hours_ahead


def netcat(app, text):
    """What `nc -N` prints: it closes its side after the text and reads until the end."""
    done = subprocess.run(["nc", "-N", "127.0.0.1", str(app.port)], input=text, timeout=ENOUGH,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().splitlines()


def test_a_request_followed_by_the_end_of_input_is_answered(start):
    # Danger: bytes that arrive together with the end are dropped (defect 1 of the seed).
    app = start("time")
    answer, = netcat(app, b"gettime\r\n")
    assert hours_ahead(answer) == 0


@pytest.mark.parametrize("name", ["time", "telnet"])
def test_a_request_and_the_end_in_one_wake_up_are_answered(start, connect, name):
    # Danger: the same, when the server sees both at once; nc may be too slow for that.
    app = start(name)
    client = connect(app)
    with app.frozen():
        client.send(b"gettime\r\ngettime\r\n")
        client.half_close()
    assert hours_ahead(client.line()) == 0
    assert hours_ahead(client.line()) == 0
    assert client.rest() == b""


def test_messages_of_one_segment_are_answered_in_order_and_half_of_one_is_not(start):
    # Danger: only the first is parsed, or the unfinished one is taken for a message at the end.
    app = start("telnet", "--upstream", start("time").address)
    first, second, third = netcat(app, b"gettime\r\ngettime\r\nwhat\r\ngett")
    assert [hours_ahead(first), hours_ahead(second), third] == [0, 0, "command wrong"]


def test_a_line_may_come_byte_by_byte(start, connect):
    # Danger: a message is what one read gave.
    client = connect(start("time"))
    for byte in b"gettime\r\n":
        client.send(bytes([byte]))
    assert hours_ahead(client.line()) == 0


def test_the_time_is_local(start, connect):
    # Danger: all machines of the project run in UTC, and nobody notices that it is always UTC.
    client = connect(start("time", zone="TEST-7"))
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 7


def test_anything_else_is_a_wrong_command(start, connect):
    # Danger: prefixes, blanks or other cases pass for the command; an empty line gets no answer.
    client = connect(start("time"))
    for line in b"", b"gettim", b"gettimes", b" gettime", b"GETTIME", b"\x80":
        client.send(line + b"\r\n")
        assert client.line() == "command wrong"
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 0
