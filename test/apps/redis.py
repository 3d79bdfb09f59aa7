"""A real redis-server, on a unix socket in a folder of its own. No tests here, and no process but
those that a test started."""
import contextlib
import shutil
import signal
import socket
import subprocess

from app import ENOUGH, die_with_parent, until


def installed():
    return shutil.which("redis-server") is not None


class Redis:
    """Ready once it is made; it keeps nothing on disk, and dies with its test."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "redis"
        self.address = f"unix:{self.path}"
        self.start()

    def start(self):
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--save", "",
                 "--appendonly", "no", "--dir", str(self.folder)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=die_with_parent)
        until(lambda: self.answers() or self.process.poll() is not None, "redis-server is ready")
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask("PING") == b"+PONG\r\n"

    def ask(self, *words):
        """The bytes of a reply that comes in one piece."""
        request = b"*%d\r\n" % len(words)
        for word in words:
            request += b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode())
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ENOUGH)
            connection.connect(str(self.path))
            connection.sendall(request)
            return connection.recv(4096)

    def stop(self):
        """Does nothing any more; the kernel still accepts for it."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(ENOUGH)

    def close(self):
        if self.process.poll() is None:
            self.kill()
