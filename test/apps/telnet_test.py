"""`telnet` with a real telnet client, and with bytes of negotiations: it refuses every option, and
no byte of a negotiation reaches the user or the logic."""
import re
import socket

import pexpect
import pytest
from app import ENOUGH
from client import hours_ahead

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
IP, DM = 244, 242


@pytest.fixture
def front(start):
    return start("telnet", "--upstream", start("time").address)


@pytest.fixture
def person(front):
    """A telnet client on a terminal, connected."""
    child = pexpect.spawn("telnet", ["127.0.0.1", str(front.port)], timeout=ENOUGH, echo=False,
                          env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": "/nonexistent"})
    child.expect_exact("Escape character is '^]'.\r\n")
    yield child
    child.close(force=True)


def command(person, words):
    """A command to the telnet client itself, behind its escape character."""
    person.sendcontrol("]")
    person.expect_exact("telnet> ")
    person.sendline(words)


def gettime(person):
    """What the terminal shows from the typed line to the end of the answer."""
    person.sendline("gettime")
    person.expect(r"\d\d:\d\d:\d\d\r\n")
    return person.before + person.after


def test_a_user_types_gettime_and_gets_the_time(person):
    # Danger: what works with nc does not with telnet: other line ends, commands in the text.
    for _ in range(3):
        shown = gettime(person).decode("latin-1")
        assert re.fullmatch(r"(gettime\r\n)?[-\d]+ [:\d]+\r\n", shown), shown
        assert hours_ahead(shown.split("\r\n")[-2]) == 0
    person.sendline("what")
    person.expect_exact("command wrong\r\n")
    command(person, "quit")
    person.expect_exact("Connection closed.")
    person.expect(pexpect.EOF)
    person.wait()
    assert person.exitstatus == 0


def test_the_options_of_the_telnet_client_are_refused_and_the_session_continues(person):
    # Danger: an option is left without an answer (the client waits), or shows up as text.
    command(person, "toggle options")
    person.expect_exact("Will show option processing.")
    for asked, refusal in (("do", "WONT"), ("will", "DONT")):
        for option in "ECHO", "BINARY", "STATUS", "LINEMODE", "NAWS":
            command(person, f"send {asked} {option}")
            person.expect(rf"SENT {asked.upper()} {option}\r+\nRCVD {refusal} {option}\r+\n")
    shown = gettime(person).decode("latin-1")
    assert re.fullmatch(r"\s*(gettime\r\n)?[-\d]+ [:\d]+\r\n", shown), shown
    command(person, "quit")
    person.expect(pexpect.EOF)


def test_each_command_of_the_telnet_client_leaves_the_next_line_intact(person):
    # Danger: Synch is IAC and an urgent DM: the kernel takes the DM out, and the first letter of
    # the next line is the command.
    for key in "synch", "ao", "brk", "ip", "nop", "abort", "eof", "susp", "el", "ec", "ga", "eor":
        command(person, f"send {key}")
        shown = gettime(person).decode("latin-1")
        assert re.fullmatch(r"\s*(gettime\r\n)?[-\d]+ [:\d]+\r\n", shown), (key, shown)
    command(person, "toggle autosynch")
    person.expect_exact("in urgent mode.")
    person.sendcontrol("c")  # as many people have it set: IAC IP, and Synch
    shown = gettime(person).decode("latin-1")
    assert "command wrong" not in shown, shown
    command(person, "quit")
    person.expect(pexpect.EOF)


def test_are_you_there_is_answered_on_the_screen(person):
    # Danger: a person who asks whether the server lives sees nothing, and leaves (RFC 854).
    for _ in range(2):
        command(person, "send ayt")
        person.expect_exact("\r\n[Yes]\r\n")
        shown = gettime(person).decode("latin-1")
        assert re.fullmatch(r"\s*(gettime\r\n)?[-\d]+ [:\d]+\r\n", shown), shown
    command(person, "quit")
    person.expect(pexpect.EOF)


@pytest.mark.parametrize("pieces", [
    [bytes([IAC]), bytes([DM])], [bytes([IAC, DM])], [bytes([IAC, IP, IAC, DM])],
    [bytes([IAC, IP]), bytes([IAC]), bytes([DM]), bytes([IAC, DO, 6])]])
def test_synch_from_a_socket_leaves_the_next_line_intact(front, connect, pieces):
    # Danger: as above, however clients write it: before the line, in it, at its end; and twice.
    client = connect(front)
    for before, after in (b"", b"gettime\r\n"), (b"get", b"time\r\n"), (b"gettime", b"\r\n"):
        client.send(before)
        for piece in pieces * 2:
            urgent = socket.MSG_OOB if piece[-1] == DM else 0
            client.socket.send(piece, urgent)
        client.send(after)
        assert hours_ahead(client.line().lstrip("\xff\xfc\x06")) == 0


@pytest.mark.parametrize("asked, refusal", [(WILL, DONT), (DO, WONT)])
def test_each_option_is_refused_once_and_the_text_has_no_trace_of_it(front, connect, asked,
                                                                    refusal):
    # Danger: an option that somebody implements half; byte 255 as option number reads as IAC.
    client = connect(front)
    for option in (0, 1, 3, 10, 13, 24, 31, 37, 39, 240, 254, 255):
        client.send(bytes([IAC, asked, option]) + b"gettime\r\n")
        answer = client.line().encode("latin-1")
        assert answer[:3] == bytes([IAC, refusal, option])
        assert hours_ahead(answer[3:].decode("latin-1")) == 0


def test_commands_that_need_no_refusal_get_no_answer(front, connect):
    # Danger: WONT and DONT answered make two polite sides talk for ever (RFC 1143).
    client = connect(front)
    client.send(bytes([IAC, WONT, 1, IAC, DONT, 3, IAC, 241, IAC, 249]) + b"get" +
                bytes([IAC, SB, 24, 0]) + b"gettime\r\n" + bytes([IAC, IAC, IAC, SE]) +
                b"time\r\n")
    assert hours_ahead(client.line()) == 0
    client.half_close()
    assert client.rest() == b""


def test_a_negotiation_split_at_every_byte_is_the_same_negotiation(front, connect):
    # Danger: a command is recognised only if it arrives in one piece.
    client = connect(front)
    for byte in bytes([IAC, WILL, 31, IAC, DO, 1]) + b"gett" + bytes([IAC, DO, 3]) + b"ime\r\n":
        client.send(bytes([byte]))
    answer = client.line().encode("latin-1")
    assert answer[:9] == bytes([IAC, DONT, 31, IAC, WONT, 1, IAC, WONT, 3])
    assert hours_ahead(answer[9:].decode("latin-1")) == 0


def test_the_enter_key_in_character_mode_ends_a_line_too(front, connect):
    # Danger: CR NUL and a bare LF, which real clients send, hang the person.
    client = connect(front)
    for end in b"\r\0", b"\n", b"\r\n":
        client.send(b"gettime" + end)
        assert hours_ahead(client.line()) == 0
