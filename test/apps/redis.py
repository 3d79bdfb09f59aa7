"""A real redis-server, which keeps nothing on disk. No tests here."""
import shutil

from real_server import RealServer


def installed():
    return shutil.which("redis-server") is not None


class Redis(RealServer):
    name, question, reply = "redis", "PING", b"+PONG\r\n"

    def command(self):
        return ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--save", "",
                "--appendonly", "no", "--dir", str(self.folder)]

    def ask(self, *words):
        request = b"*%d\r\n" % len(words)
        for word in words:
            request += b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode())
        return self.send(request)
