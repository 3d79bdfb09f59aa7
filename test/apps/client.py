"""A client of the apps, on a plain socket: each of its waits ends. No tests here."""
import contextlib
import re
import socket
import struct
import time
from datetime import datetime, timezone

from app import ENOUGH, SLOWER, target

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
SLACK = 1.0 * SLOWER  # what a busy machine may add to a bounded wait


class Client:
    def __init__(self, address, receive_buffer=None, send_buffer=None):
        family, where = target(address)
        self.socket = socket.socket(family)
        self.socket.settimeout(ENOUGH)
        for option, size in (socket.SO_RCVBUF, receive_buffer), (socket.SO_SNDBUF, send_buffer):
            if size:
                self.socket.setsockopt(socket.SOL_SOCKET, option, size)
        try:
            self.socket.connect(where)
        except OSError:
            self.socket.close()
            raise
        self.unread = b""

    def send(self, data):
        self.socket.sendall(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def line(self):
        """The next line, without its CR LF."""
        while b"\r\n" not in self.unread:
            more = self.socket.recv(65536)
            assert more, f"the connection ended in {self.unread!r}"
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\r\n")
        return line.decode("latin-1")

    def rest(self):
        """All bytes until the server ends the connection."""
        while more := self.socket.recv(65536):
            self.unread += more
        data, self.unread = self.unread, b""
        return data

    def is_served(self, seconds):
        """Whether something unread is here, or arrives within that time; not at the end."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self.unread = self.unread or self.socket.recv(65536)
        self.socket.settimeout(ENOUGH)
        return bool(self.unread)

    def reset(self):
        """Closes as a crashed machine does: with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()


def ask(address):
    """One `gettime` on a connection of its own: the answer, when it began, how long it took."""
    began = time.monotonic()
    client = Client(address)
    try:
        client.send(b"gettime\r\n")
        answer = client.line()
    finally:
        client.close()
    return answer, began, time.monotonic() - began


def hours_ahead(answer):
    """By how many hours a time is ahead of UTC now; None if it is no time near a full hour."""
    if not TIME.fullmatch(answer):
        return None
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    seconds = (datetime.strptime(answer, "%Y-%m-%d %H:%M:%S") - now).total_seconds()
    hours = round(seconds / 3600)
    return hours if abs(seconds - 3600 * hours) < 30 else None
