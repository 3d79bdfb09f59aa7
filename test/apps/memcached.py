"""A real memcached. No tests here."""
import shutil

from real_server import RealServer


def installed():
    return shutil.which("memcached") is not None


class Memcached(RealServer):
    name, question, reply = "memcached", "mn", b"MN\r\n"

    def command(self):
        # Another user than that of the test would not die with it.
        return ["memcached", "-u", "root", "-s", str(self.path), "-t", "1"]

    def ask(self, *lines):
        return self.send("".join(f"{line}\r\n" for line in lines).encode())
