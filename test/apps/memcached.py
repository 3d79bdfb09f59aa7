"""A real memcached, on a unix socket in a folder of its own. No tests here, and no process but
those that a test started."""
import contextlib
import shutil
import signal
import socket
import subprocess

from app import ENOUGH, die_with_parent, until


def installed():
    return shutil.which("memcached") is not None


class Memcached:
    """Ready once it is made, and dies with its test."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "memcached"
        self.address = f"unix:{self.path}"
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        with (self.folder / "memcached.log").open("ab") as log:
            # Another user than that of the test would not die with it.
            self.process = subprocess.Popen(
                ["memcached", "-u", "root", "-s", str(self.path), "-t", "1"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        until(lambda: self.answers() or self.process.poll() is not None, "memcached is ready")
        assert self.process.poll() is None, (self.folder / "memcached.log").read_text()

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask("mn") == b"MN\r\n"

    def ask(self, *lines):
        """The bytes of a reply that comes in one piece."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ENOUGH)
            connection.connect(str(self.path))
            connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
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
