"""The log must never delay its server: the reader of stderr may be slow, stopped, or missing."""
import fcntl
import os
import select
import socket
import subprocess
import termios

import pytest
from app import ENOUGH, program, until
from client import Client


class Stderr:
    """One that takes nothing until it is emptied: a pipe or a socket is full, a terminal is stopped
    as by Ctrl-S."""

    def __init__(self, kind):
        self.kind = kind
        if kind == "terminal":
            self.reading, self.writing = os.openpty()
        elif kind == "socket":
            self.reading, self.writing = (end.detach() for end in socket.socketpair())
        else:
            self.reading, self.writing = os.pipe()

    def fill(self):
        if self.kind == "terminal":
            return termios.tcflow(self.writing, termios.TCOOFF)
        # The flag belongs to what the server has as stderr too: it is as before afterwards.
        os.set_blocking(self.writing, False)
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.writing, size * b".")
            except BlockingIOError:
                pass
        return os.set_blocking(self.writing, True)

    def empty(self):
        """Gives what had not been read; takes lines again."""
        if self.kind == "terminal":
            termios.tcflow(self.writing, termios.TCOON)
        return self.read()

    def read(self):
        text = b""
        while select.select([self.reading], [], [], 0)[0]:
            text += os.read(self.reading, 65536)
        return text

    def close(self):
        os.close(self.reading)
        os.close(self.writing)


class Echo:
    """An echo of lines with that stderr."""

    def __init__(self, stderr):
        self.process = subprocess.Popen(
            [program("echo"), "--protocol", "line", "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr.writing)
        self.address = self.process.stdout.readline().decode().split()[-1]

    def flood(self, connections=30):
        """Each malformed message is worth a line in the log."""
        for _ in range(connections):
            client = Client(self.address)
            client.send(b"x" * 20_000)
            assert client.rest() == b""
            client.close()

    def answers(self):
        client = Client(self.address)
        client.send(b"here\r\n")
        answer = client.line()
        client.close()
        return answer == "here"

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(params=["pipe", "socket", "terminal"])
def stderr(request):
    made = Stderr(request.param)
    yield made
    made.close()


@pytest.fixture
def echo(stderr):
    started = Echo(stderr)
    yield started
    started.close()


def test_a_server_whose_stderr_is_not_read_answers_and_ends(stderr, echo):
    # Danger: peers that break the protocol fill the pipe, and the next line stops the server for
    # all: it answers nobody, and SIGTERM does nothing.
    stderr.fill()
    echo.flood()
    assert echo.answers()
    echo.process.terminate()
    assert echo.process.wait(ENOUGH) == 0


def test_when_stderr_takes_lines_again_the_log_says_how_many_were_dropped(stderr, echo):
    # Danger: an operator takes missing lines for a lack of errors.
    until(lambda: b"listening on" in stderr.read(), "its first line")
    stderr.fill()
    echo.flood()
    stderr.empty()
    echo.process.terminate()
    assert echo.process.wait(ENOUGH) == 0
    first, second = stderr.read().decode().splitlines()
    # 10 lines a second of one kind: how many it wanted to write depends on the time it took.
    dropped = int(first.split(" warning ")[1].split(" lines of the log were dropped: ")[0])
    assert 10 <= dropped <= 30
    assert "info draining 0 connections" in second


def test_the_flags_of_a_shared_stderr_are_left_alone(stderr, echo):
    # Danger: O_NONBLOCK belongs to the open file, which the shell and its other programs share:
    # their output would be cut.
    echo.flood(1)
    assert not fcntl.fcntl(stderr.writing, fcntl.F_GETFL) & os.O_NONBLOCK
