"""`services`, byte by byte beside those of openbsd-inetd, and asked by rdate."""
import contextlib
import os
import re
import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest
from app import ENOUGH, SLOWER, program
from client import Client
from network import Network

PORTS = {"echo": 7, "discard": 9, "chargen": 19, "daytime": 13, "time": 37}
OURS, THEIRS = "127.0.0.1", "127.0.0.2"
ROUND = 95 * 74  # bytes after which the lines of chargen begin anew
SINCE_1900 = 2_208_988_800
CTIME = "%a %b %e %H:%M:%S %Y\r\n"


def tool(name):
    """A program that may be where only root looks for it."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


@pytest.fixture(name="network")
def both(tmp_path):
    """A network of its own in which each service has its usual port, twice: of ice and of inetd."""
    inetd = tool("inetd")
    if not inetd:
        pytest.skip("no inetd: install openbsd-inetd")
    settings = tmp_path / "inetd.conf"
    settings.write_text("".join(f"{THEIRS}:{name} stream tcp nowait root internal\n"
                                for name in PORTS), "ascii")
    # It writes its process id to /run.
    with contextlib.closing(Network("mount -t tmpfs none /run")) as network:
        options = [text for name, port in PORTS.items() for text in (f"--{name}", f"{OURS}:{port}")]
        network.run(PORTS.values(), "env", "TZ=TEST-7", inetd, "-i", "-R", "1000", str(settings),
                    address="0200007F")
        network.run(PORTS.values(), "env", "TZ=TEST-7", program("services"), *options,
                    address="0100007F")
        yield network


def said(network, host, name, data=b""):
    """All that a service sends to a peer that sends `data` and closes its side."""
    return network.inside("nc", "-N", host, str(PORTS[name])).communicate(data, ENOUGH)[0]


@pytest.mark.parametrize("data", [b"", b"one\r\ntwo", bytes(range(256)) * 100])
def test_echo_and_discard_are_those_of_inetd(network, data):
    # Danger: a byte that means something, an answer that waits for a line end, or bytes after EOF.
    assert said(network, OURS, "echo", data) == said(network, THEIRS, "echo", data) == data
    assert said(network, OURS, "discard", data) == said(network, THEIRS, "discard", data) == b""


def test_chargen_is_that_of_inetd(network):
    # Danger: a pattern that goes wrong where the characters or the lines begin anew.
    streams = []
    for host in OURS, THEIRS:
        child = network.inside("nc", host, str(PORTS["chargen"]))
        read = b""
        while len(read) < 3 * ROUND:
            more = child.stdout.read(3 * ROUND - len(read))
            assert more, f"the stream of {host} ended"
            read += more
        child.kill()
        streams.append(read)
    assert streams[0] == streams[1]


def test_daytime_and_time_are_those_of_inetd(network):
    # Danger: another zone, another form (on nine days of a month a blank replaces a digit), another
    # order of bytes. inetd is asked before and after, as a second may pass.
    before, here, after = (said(network, host, "daytime").decode()
                           for host in (THEIRS, OURS, THEIRS))
    first, last = (datetime.strptime(text, CTIME.replace("%e", "%d")) for text in (before, after))
    texts = [(first + timedelta(seconds=n)).strftime(CTIME)
             for n in range((last - first).seconds + 1)]
    assert before == texts[0]
    assert here in texts
    before, here, after = (said(network, host, "time") for host in (THEIRS, OURS, THEIRS))
    assert len(here) == 4
    assert before <= here <= after


def test_rdate_reads_the_time(start):
    # Danger: our own test and our own server have the same misunderstanding of RFC 868.
    rdate = tool("rdate")
    if not rdate:
        pytest.skip("no rdate: install rdate")
    app = start("services", "--time", "127.0.0.1:0", listen=None)
    before = int(time.time())
    done = subprocess.run([rdate, "-p", "-o", str(app.port), "127.0.0.1"], timeout=ENOUGH,
                          env={**os.environ, "TZ": "UTC0", "LC_ALL": "C"}, check=True,
                          stdout=subprocess.PIPE, text=True)
    # "Sat Nov 28 12:34:56 UTC 2026"
    told = datetime.strptime(re.sub(r" \w+ (\d+)$", r" \1", done.stdout.strip()),
                             "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc).timestamp()
    assert before <= told <= time.time()


def test_the_time_is_told_without_a_question(start, connect):
    # Danger: a server that waits for a message, or keeps the connection open behind its answer.
    app = start("services", "--daytime", "127.0.0.1:0", "--time", "127.0.0.1:0", listen=None)
    assert re.fullmatch(rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\r\n", connect(app).rest())
    before = int(time.time())
    with contextlib.closing(Client(app.next_address())) as client:
        told = int.from_bytes(client.rest(), "big") - SINCE_1900
    assert before <= told <= time.time()


def test_peers_that_do_not_read_chargen_cost_little_and_hold_nobody_up(start, connect):
    # Danger: an endless stream is queued in memory for each peer that does not read it.
    app = start("services", "--chargen", "127.0.0.1:0", listen=None)
    before = app.status("VmRSS")
    slow = [connect(app, receive_buffer=4096) for _ in range(100)]
    assert all(client.is_served(ENOUGH) for client in slow)
    fast = connect(app)
    read = 0
    while read < 50_000_000:
        read += len(fast.socket.recv(1 << 20))
    grown = app.status("VmHWM") - before
    assert grown < 4096 * SLOWER  # KiB; 100 rounds are 700 KiB
    # None of them ends by itself: the server ends them a second after SIGTERM.
    assert app.terminate() == 0


def test_a_service_is_off_unless_its_option_is_given(start):
    # Danger: a chargen that nobody asked for.
    app = start("services", "--echo", "127.0.0.1:0", listen=None)
    assert app.terminate() == 0
    assert app.process.stdout.read() == b"", "one line for one listener"
