"""The yardsticks of bench/ must give right answers, or their figures mean nothing. ICE_BENCH says
where the built ones are; a peer whose tool is missing is skipped. Ports are 0, and each wait
ends."""
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = Path(os.environ.get("ICE_BENCH", ROOT / "build/release/bench")).resolve()
OTHERS = ROOT / "build/bench/peers"  # where bench/peers/README.md puts what CMake does not build
ENOUGH = 30                          # seconds for what should come at once
LONGEST = b"x" * 65536

YARDSTICKS = {
    "raw_echo": [BUILT / "raw_echo"],
    "raw_line": [BUILT / "raw_line"],
    "asio_echo": [BUILT / "asio_echo"],
    "asio_line": [BUILT / "asio_line"],
    "libuv_line": [BUILT / "peers/libuv_line"],
    "go_line": [OTHERS / "go_line"],
    "tokio_line": [OTHERS / "tokio_line"],
    "asyncio_line": [sys.executable, ROOT / "bench/peers/asyncio_line.py"],
    "uvloop_line": [sys.executable, ROOT / "bench/peers/asyncio_line.py", "--uvloop"]}
OURS = {"raw_echo", "raw_line", "asio_echo", "asio_line"}


class Server:
    def __init__(self, command):
        self.process = subprocess.Popen([*map(str, command), "0"], stdout=subprocess.PIPE)
        try:
            readable, _, _ = select.select([self.process.stdout], [], [], ENOUGH)
            line = self.process.stdout.readline().decode() if readable else ""
            assert line.startswith("listening on 127.0.0.1:"), f"it said {line!r}"
            self.port = int(line.rpartition(":")[2])
        except BaseException:
            self.close()
            raise

    def connect(self, receive_buffer=None):
        s = socket.socket()
        s.settimeout(ENOUGH)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect(("127.0.0.1", self.port))
        return s

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(params=YARDSTICKS)
def server(request):
    name, command = request.param, YARDSTICKS[request.param]
    if name == "uvloop_line" and not find_spec("uvloop"):
        pytest.skip("uvloop is not installed")
    if name not in OURS and not Path(command[0]).exists():
        pytest.skip(f"{command[0]} is not built (bench/peers/README.md)")
    with contextlib.closing(Server(command)) as started:
        yield started


def receive(s, size):
    got = bytearray()
    while len(got) < size:
        more = s.recv(min(65536, size - len(got)))
        assert more, f"the connection ended after {len(got)} of {size} bytes"
        got += more
    return bytes(got)


def rest(s):
    got = bytearray()
    while more := s.recv(65536):
        got += more
    return bytes(got)


def lines(size):
    """Numbered lines of different lengths, so that a lost or doubled piece is seen."""
    text, i = bytearray(), 0
    while len(text) < size:
        text += b"%d %s\r\n" % (i, b"y" * (i * 37 % 1500))
        i += 1
    return bytes(text)


def send_until_refused(s, data):
    """How much of it went away; gives up once nothing has for half a second."""
    sent = 0
    while sent < len(data) and select.select([], [s], [], 0.5)[1]:
        sent += s.send(data[sent:sent + 65536], socket.MSG_DONTWAIT)
    return sent


def test_bytes_split_at_every_position_are_echoed(server):
    message = b"ab\r\n\r\ncd\ne\rf\r\n"
    with server.connect() as s, server.connect() as other:
        for cut in range(1, len(message)):
            s.sendall(message[:cut])
            other.sendall(b"in between\r\n")  # by its answer the first piece has been seen
            assert receive(other, 12) == b"in between\r\n"
            s.sendall(message[cut:])
            assert receive(s, len(message)) == message
        for i in range(len(message)):
            s.sendall(message[i:i + 1])
        assert receive(s, len(message)) == message


def test_an_unfinished_line_holds_back_no_answer_before_it(server):
    with server.connect() as s:
        s.sendall(b"one\r\ntwo\r\nthr")
        assert receive(s, 10) == b"one\r\ntwo\r\n"
        s.sendall(b"ee\r\n")
        assert receive(s, 7) == b"three\r\n"


def test_a_mebibyte_in_one_write_reaches_a_slow_reader(server):
    data = lines(1 << 20)
    with server.connect(receive_buffer=4096) as s:
        sent = send_until_refused(s, data)
        got = bytearray()
        while len(got) < len(data):
            if sent < len(data) and select.select([], [s], [], 0)[1]:
                sent += s.send(data[sent:], socket.MSG_DONTWAIT)
            got += receive(s, min(3000, len(data) - len(got)))
        assert got == data


def test_lines_of_64_kib_are_answered(server):
    with server.connect() as s:
        for data in LONGEST + b"\r\n", b"a\r\n" + LONGEST + b"\r\nb\r\n":
            s.sendall(data)
            assert receive(s, len(data)) == data


def test_the_buffer_for_a_client_that_does_not_read_is_bounded(server):
    data = lines(32 << 20)
    with server.connect(receive_buffer=4096) as s:
        before = server.memory()
        sent = send_until_refused(s, data)
        assert sent < len(data)
        assert server.memory() - before < 12 << 20
        whole = data[:sent].rpartition(b"\n")[0] + b"\n"
        assert receive(s, len(whole)) == whole


def test_all_answers_arrive_after_a_half_close_then_the_end(server):
    for data in b"one\r\ntwo\r\n", lines(300_000):
        with server.connect() as s:
            assert send_until_refused(s, data) == len(data)
            s.shutdown(socket.SHUT_WR)
            assert rest(s) == data


def test_a_reset_does_not_affect_other_clients(server):
    with server.connect() as other:
        for _ in range(20):
            with server.connect() as s:
                s.sendall(lines(100_000))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.sendall(b"still there\r\n")
        assert receive(other, 13) == b"still there\r\n"


def test_two_hundred_connections_at_once(server):
    with contextlib.ExitStack() as all_of_them:
        peers = [all_of_them.enter_context(server.connect()) for _ in range(200)]
        for turn in range(3):
            for i, s in enumerate(peers):
                s.sendall(b"%d in turn %d\r\n" % (i, turn))
            for i, s in enumerate(peers):
                expected = b"%d in turn %d\r\n" % (i, turn)
                assert receive(s, len(expected)) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(server, number):
    with server.connect() as s:
        s.sendall(b"busy\r\n")
        assert receive(s, 6) == b"busy\r\n"
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(ENOUGH) == 0
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("gateway", [["raw_gateway"], ["gateway", 1, 1], ["gateway", 100, 16]],
                         ids=["raw_gateway", "one by one", "in flight"])
def test_gateways_give_each_client_its_own_lines(gateway):
    # Danger: a gateway that mixes clients, or loses lines, is no yardstick.
    with contextlib.closing(Server([BUILT / "raw_line"])) as upstream, contextlib.closing(
            Server([BUILT / gateway[0], upstream.port, *gateway[1:]])) as server:
        clients = [server.connect() for _ in range(9)]
        asked = [b"".join(b"%d of %d\r\n" % (n, i) for n in range(200)) for i in range(9)]
        clients[8].sendall(asked[8])
        clients.pop().close()  # replies to it are dropped
        for cut in 5, 1000, len(asked[0]):
            for client, text in zip(clients, asked, strict=False):
                client.sendall(text[:cut])
            asked = [text[cut:] for text in asked]
        for i, client in enumerate(clients):
            got, all_ = b"", b"".join(b"%d of %d\r\n" % (n, i) for n in range(200))
            while len(got) < len(all_):
                more = client.recv(65536)
                assert more, got
                got += more
            assert got == all_
            client.close()
