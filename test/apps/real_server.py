"""A server that others wrote, on a unix socket in a folder of its own. No tests here, and no
process but those that a test started."""
import contextlib
import signal
import socket
import subprocess

from app import ENOUGH, die_with_parent, until


class RealServer:
    """Ready once it is made, and dies with its test. The classes for each server say what its
    `name`, its command(), its `question` and the `reply` to that are."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / self.name
        self.address = f"unix:{self.path}"
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        log_file = self.folder / f"{self.name}.log"
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_with_parent)
        until(lambda: self.answers() or self.process.poll() is not None, f"{self.name} is ready")
        assert self.process.poll() is None, log_file.read_text()

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask(self.question) == self.reply

    def send(self, request):
        """The bytes of a reply that comes in one piece."""
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
