"""A built app as a process of its own: started, watched through /proc, ended and reaped.
No tests here, and no process but those that a test started."""
import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
SANITIZED = os.environ.get("ICE_SANITIZED") == "1"
SLOWER = 10 if SANITIZED else 1  # what a sanitizer may cost
ENOUGH = 20 * SLOWER             # seconds for what should come at once: only a bug waits so long


def until(condition, what, seconds=ENOUGH):
    """Polls until the condition holds, and gives what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.005)
    return found


def die_with_parent():
    """For `preexec_fn`: a server that others wrote dies with its test."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def program(name):
    folder = os.environ.get("ICE_APPS")
    assert folder, "set ICE_APPS to the folder with the built apps (build/release/apps)"
    return str(Path(folder, name).resolve(strict=True))


def target(address):
    """(family, what connect() takes) of a line `listening on ADDRESS`."""
    import socket
    if address.startswith("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return family, (host.strip("[]"), int(port))


class App:
    """A server, ready once it is made. `files` is its limit of open descriptors, and `prefix` what
    its command line begins with (Network.prefix). `listen` is None if other options say where."""

    def __init__(self, errors, name, *options, listen="127.0.0.1:0", zone="UTC0", files=None,
                 prefix=()):
        def limit():
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self.errors = errors  # a file: nobody has to read it for the server to go on
        self.killed = False
        with errors.open("wb") as sink:
            self.process = subprocess.Popen(
                [*prefix, program(name), *(["--listen", listen] if listen else []), *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink, preexec_fn=limit,
                bufsize=0, env={**os.environ, "TZ": zone})
        self.pid = self.process.pid
        try:
            self.address = self.next_address()
        except BaseException:
            self.kill()
            raise

    def next_address(self):
        """That of its next line `listening on ADDRESS`: it prints one for each listener."""
        readable, _, _ = select.select([self.process.stdout], [], [], ENOUGH)
        line = self.process.stdout.readline().decode() if readable else ""
        assert "listening on " in line, f"it said {line!r}; {self.stderr()}"
        return line.split()[-1]

    @property
    def port(self):
        return target(self.address)[1][1]

    def stderr(self):
        return self.errors.read_bytes().decode("latin-1")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self):
        """It does nothing meanwhile; what happens to it then, it meets all at once."""
        self.signal(signal.SIGSTOP)
        until(lambda: self.stat()[0] == "T", "it stops")
        yield
        self.signal(signal.SIGCONT)

    def wait(self, seconds=ENOUGH):
        """The exit code; negative if a signal ended it."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s") from None

    def terminate(self, seconds=ENOUGH):
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        """As a crash would: no graceful close."""
        self.killed = True
        self.process.kill()
        return self.wait()

    def close(self):
        """Ends and reaps it whatever its state, and says what is wrong with the way it ended."""
        wrong = []
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except AssertionError as late:
            wrong.append(f"after SIGTERM: {late}")
            code = self.kill()
        self.process.stdout.close()
        if code != 0 and not self.killed:
            wrong.append(f"exit code {code}")
        raw = [byte for byte in self.errors.read_bytes() if byte != 10 and not 32 <= byte <= 126]
        if raw:
            wrong.append(f"raw bytes in its log: {bytes(raw[:20])!r}")
        return [f"{' '.join(self.process.args)}: {what}; stderr:\n{self.stderr()}"
                for what in wrong]

    # -- what the kernel knows of it

    def stat(self):
        return Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()

    def cpu(self):
        """Seconds of processor time used so far."""
        fields = self.stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, field):
        """A number of /proc/PID/status: VmHWM in KiB, TracerPid."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
