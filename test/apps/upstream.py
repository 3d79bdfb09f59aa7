"""A time server that misbehaves in a chosen way, and remembers which request got which reply.
Its times are of 2001 and no two are equal, so a reply tells where it comes from. No tests here."""
import contextlib
import select
import socket
import struct
import threading
import time

from app import ENOUGH

REPLY = "2001-01-01 "  # right, if the request that it was made for is still open
STALE = "2002-01-01 "  # an answer to nobody


class Talk:
    """One connection of the front: reads requests, and does to each what the upstream says."""

    def __init__(self, upstream, connection):
        self.upstream, self.socket = upstream, connection
        self.socket.settimeout(ENOUGH)

    def run(self):
        pending = b""
        with contextlib.suppress(OSError), self.socket:
            while more := self.socket.recv(4096):
                pending += more
                while b"\r\n" in pending:
                    request, _, pending = pending.partition(b"\r\n")
                    getattr(self, self.upstream.behaviour())(self.upstream.note(request))

    def send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def end(self):
        self.socket.shutdown(socket.SHUT_RDWR)

    # -- behaviours: what happens to a request

    def answers(self, reply):
        self.send(reply + "\r\n")

    def is_silent(self, reply):
        pass

    def answers_too_late(self, reply):
        self.upstream.closing.wait(self.upstream.timeout * 1.2)
        self.send(reply + "\r\n")

    def drips(self, reply):  # each byte in time, the whole reply not
        for byte in reply + "\r\n":
            if self.upstream.closing.wait(self.upstream.timeout / 10):
                return
            self.send(byte)

    def ends_in_mid_reply(self, reply):
        self.send(reply[:13])
        self.end()

    def ends_without_a_word(self, reply):
        self.end()

    def resets(self, reply):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def answers_twice_in_one_write(self, reply):
        self.send(f"{reply}\r\n{self.upstream.stale()}\r\n")

    def answers_again_later(self, reply):
        self.send(reply + "\r\n")
        self.upstream.consumed.wait(ENOUGH)
        self.send(self.upstream.stale() + "\r\n")
        self.upstream.consumed.clear()
        self.upstream.sent_again.set()

    def sends_garbage_bytes(self, reply):
        self.send("\x00\xff\xfd\x18\x1b[31m\r\r\n\n\r\n" + "\x80" * 100)

    def sends_a_line_without_end(self, reply):
        self.send("2" * 20_000)

    def sends_a_line_that_is_no_time(self, reply):
        self.send("ERROR out of time\r\n")


class Upstream:
    """`refuses`: nobody listens on its port; `accepts_nobody`: connections stay in the backlog;
    `is_not_reached`: the backlog is full, and the kernel drops who comes, as a firewall does;
    or a behaviour of Talk, for every request. `timeout`: how long the front waits."""

    def __init__(self, how="answers", timeout=1.0):
        self.how, self.timeout = how, timeout
        self.asked = {}  # reply -> when its request was read
        self.closing = threading.Event()
        self.consumed, self.sent_again = threading.Event(), threading.Event()
        self.lock, self.count = threading.Lock(), 0
        self.threads, self.sockets = [], []
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listening.getsockname()[1]
        if how == "is_not_reached":
            self.fill_backlog()
        elif how != "refuses":
            self.listening.listen(512)
            if how != "accepts_nobody":
                self.spawn(self.accept)

    def recover(self):
        """From now on each request gets its reply."""
        was, self.how = self.how, "answers"
        if was in ("refuses", "is_not_reached"):
            self.listening.listen(512)
        if was in ("refuses", "accepts_nobody", "is_not_reached"):
            self.spawn(self.accept)

    def fill_backlog(self):
        self.listening.listen(0)
        while True:
            self.sockets.append(socket.socket())
            self.sockets[-1].setblocking(False)
            self.sockets[-1].connect_ex(self.listening.getsockname())
            if not select.select([], [self.sockets[-1]], [], 0.1)[1]:
                break

    def behaviour(self):
        return self.how() if callable(self.how) else self.how

    def unique(self):
        with self.lock:
            self.count += 1
            return f"{self.count // 3600:02}:{self.count // 60 % 60:02}:{self.count % 60:02}"

    def note(self, request):
        if request != b"gettime":
            raise ConnectionError(f"the front sends {request!r}")  # ends this talk
        reply = REPLY + self.unique()
        self.asked[reply] = time.monotonic()
        return reply

    def stale(self):
        return STALE + self.unique()

    def spawn(self, work):
        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while not self.closing.is_set():
                connection, _ = self.listening.accept()
                self.sockets.append(connection)
                self.spawn(Talk(self, connection).run)

    def close(self):
        self.closing.set()
        self.consumed.set()
        for each in [self.listening, *self.sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(ENOUGH)
        self.listening.close()
