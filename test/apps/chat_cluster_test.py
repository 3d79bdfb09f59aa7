"""One `chat` of three processes on three nats-servers, with HAProxy in front and a crowd of clients
that all speak, while each process is killed in turn. Each line has a number, so each client knows
what it has missed; its process tells it how many lines were lost ("* 3 lost")."""
import contextlib
import selectors
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from app import ENOUGH, SANITIZED, SLOWER, until
from haproxy import HaProxy, installed
from nats import Cluster

pytestmark = [
    pytest.mark.skipif(not shutil.which("nats-server"), reason="nats-server is not installed"),
    pytest.mark.skipif(not installed(), reason="haproxy is not installed")]

NODES, ROOMS = 3, 20
CROWD = 120 if SANITIZED else 600
INTERVAL = 1.0  # seconds between two lines of a client: 600 lines a second, 18,000 deliveries
AGAIN = 1.0 * SLOWER  # all are subscribed again within this time


class Member:
    """A client with a name and a room; `home` is the process that HAProxy gives it."""

    def __init__(self, crowd, number):
        self.crowd, self.home = crowd, number % NODES
        self.name, self.room = b"c%d" % number, b"r%d" % (number % ROOMS)
        self.said = 0  # lines
        self.connect()

    def connect(self):
        """As a user does that has lost a connection: what was before it is forgotten."""
        self.heard, self.missing, self.told, self.unread = {}, {}, 0, b""
        self.resumed, self.is_in, self.is_refused = None, False, False
        self.socket = socket.socket()
        self.socket.settimeout(ENOUGH)
        self.socket.bind((f"127.0.1.{self.home + 1}", 0))
        self.socket.connect(self.crowd.where)
        self.socket.sendall(self.name + b"\r\n/join " + self.room + b"\r\n")
        self.socket.setblocking(False)
        self.crowd.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self):
        self.crowd.selector.unregister(self.socket)
        self.socket.close()
        self.socket = None

    def speak(self):
        if self.socket is None:
            return
        with contextlib.suppress(OSError):  # its process is gone: the loop sees the end
            self.socket.send(b"%d\r\n" % self.said)
        self.said += 1

    def read(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            if self.is_refused:
                self.connect()
            return
        *lines, self.unread = (self.unread + data).split(b"\r\n")
        for line in lines:
            if line[:1] != b"*":
                name, _, number = line.partition(b": ")
                self.hear(name, int(number))
            elif line.endswith(b" lost"):
                self.told += int(line.split()[1])
            elif line.startswith(b"* no: "):  # its process has not seen the end of the last one
                self.is_refused = True
            elif line == b"* %b is in %b" % (self.name, self.room):
                self.is_in = True

    def hear(self, name, number):
        last = self.heard.get(name)
        if last is not None and number != last + 1:
            assert number > last, f"{self.name} has heard {name} twice or in disorder"
            self.missing[name] = self.missing.get(name, 0) + number - last - 1
        self.heard[name] = number
        if self.resumed is None and number >= self.crowd.marks.get(name, number + 1) \
                and self.crowd.members[name].home != self.home:
            self.resumed = time.monotonic()


class Crowd:
    def __init__(self, where):
        self.where, self.selector = where, selectors.DefaultSelector()
        self.marks = {}  # name: a number; who hears it or a later one of another process resumes
        self.members = {}
        for number in range(CROWD):
            member = Member(self, number)
            self.members[member.name] = member
        self.next, self.order = time.monotonic(), []

    def close(self):
        for member in self.members.values():
            if member.socket:
                member.close()
        self.selector.close()

    def of(self, *homes):
        return [m for m in self.members.values() if m.home in homes]

    def run(self, condition, what, speaks=True, seconds=ENOUGH):
        """Reads, and speaks in turn, until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            now = time.monotonic()
            assert now < end, f"{what}: not within {seconds} s"
            while speaks and self.next <= now:
                self.order = self.order or list(self.members.values())
                self.order.pop().speak()
                self.next = max(self.next + INTERVAL / CROWD, now - 0.1)
            for key, _ in self.selector.select(0.005):
                key.data.read()

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end, "the time", seconds=seconds + ENOUGH)

    def settle(self):
        """All say one more line, until all have heard that of each: nothing is on its way."""
        def heard(member):
            return all(member.heard.get(m.name) == m.said - 1 for m in here[member.room])
        here = {}
        for member in self.members.values():
            if member.socket:
                member.speak()
                here.setdefault(member.room, []).append(member)
        self.run(lambda: all(heard(m) for room in here.values() for m in room),
                 "all have heard all", speaks=False)

    def begin(self):
        """All hear all; from now on what is missing counts."""
        self.run(lambda: all(m.is_in for m in self.members.values()), "all are in", speaks=False)
        self.run(lambda: all(len(m.heard) == CROWD // ROOMS for m in self.members.values()),
                 "all have heard all")
        self.settle()
        for member in self.members.values():
            member.missing, member.told = {}, 0


@pytest.fixture
def world(start, tmp_path):
    """The cluster, the processes of the chat, HAProxy and the crowd, which hears all."""
    with contextlib.ExitStack() as parts:
        cluster = parts.enter_context(contextlib.closing(Cluster(tmp_path, NODES)))
        # Each begins at a server of its own, and learns the others from that one.
        chats = [start("chat", "--bus", f"nats://{server.address}") for server in cluster.servers]
        proxy = parts.enter_context(
            contextlib.closing(HaProxy(tmp_path, [chat.address for chat in chats])))
        until(lambda: all("connected to" in chat.stderr() for chat in chats), "all are connected")
        crowd = parts.enter_context(contextlib.closing(Crowd(("127.0.0.1", proxy.port))))
        crowd.begin()
        yield cluster, chats, proxy, crowd


def broker_of(chat):
    """The address of its server of NATS."""
    lines = [line for line in chat.stderr().splitlines() if "connected to" in line]
    return lines[-1].split()[-1]


def missing(members, *homes):
    """How many lines of members of these processes those members have missed."""
    return sum(lost for m in members for name, lost in m.missing.items()
               if m.crowd.members[name].home in homes)


def test_who_stays_connected_misses_nothing_while_its_broker_lives(world):
    # Danger: a broker that dies takes others with it; a process goes on without its subscriptions;
    # lines are lost that nobody counts.
    cluster, chats, _, crowd = world
    crowd.run_for(1)
    crowd.settle()
    assert sum(m.told + sum(m.missing.values()) for m in crowd.members.values()) == 0

    for server in cluster.servers:
        hit = [n for n, chat in enumerate(chats) if broker_of(chat) == server.address]
        spared = [n for n in range(NODES) if n not in hit]
        for member in crowd.members.values():
            member.resumed = None
        crowd.run_for(0.3)
        server.kill()
        killed = time.monotonic()
        crowd.marks = {m.name: m.said for m in crowd.members.values()}
        affected = crowd.of(*hit)
        crowd.run(lambda: all(m.resumed for m in affected), "all hear the others again")
        late = max((m.resumed - killed for m in affected), default=0)
        print(f"broker of {hit} killed: all subscribed again within {late:.3f} s")
        assert late < AGAIN
        crowd.marks = {}
        cluster.restart(server)
        crowd.run_for(0.5)
        crowd.settle()
        assert missing(crowd.of(*spared), *spared) == 0
        wrong = [(m.name, m.told, m.missing) for m in crowd.members.values()
                 if m.told != sum(m.missing.values())]
        print("missed and told:", sum(m.told for m in crowd.members.values()))
        assert not wrong
        for member in crowd.members.values():
            member.missing, member.told = {}, 0


def unread(port):
    """Bytes that have arrived at connections of this port, and that its process has not read."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows
               if int(row[1].partition(":")[2], 16) == port and row[3] == "01")


def test_a_process_that_drains_loses_no_line_and_one_that_is_killed_only_its_own(world):
    # Danger: a drain closes the link before the last lines are sent, or cuts them off; the end of
    # a process costs the clients of others some lines.
    _, chats, proxy, crowd = world
    leaving, others = crowd.of(2), crowd.of(0, 1)
    with chats[2].frozen():  # so that the last lines and the signal meet it together
        for member in leaving:
            member.speak()
        most = sum(len(b"%d\r\n" % (m.said - 1)) for m in leaving)
        until(lambda: unread(chats[2].port) >= most, "HAProxy has passed on the lines")
        chats[2].signal(signal.SIGTERM)
    crowd.run(lambda: all(m.socket is None for m in leaving), "it has drained", speaks=False)
    assert chats[2].wait() == 0
    crowd.settle()
    for member in others:
        for one in leaving:
            if one.room == member.room:
                assert member.heard[one.name] == one.said - 1, "a line of the drained one is lost"
    assert sum(m.told + sum(m.missing.values()) for m in others) == 0

    for member in leaving:  # HAProxy gives them to the others
        member.connect()
    crowd.run(lambda: all(m.is_in for m in leaving), "all are in again", speaks=False)
    crowd.run_for(0.5)
    gone = crowd.of(1)
    chats[1].kill()
    crowd.run(lambda: all(m.socket is None for m in gone), "its clients see the end")
    for member in crowd.members.values():
        if member.socket is None:
            member.connect()
    crowd.run(lambda: all(m.is_in for m in crowd.members.values() if m.socket), "all are in again")
    crowd.run_for(0.5)
    stayed = crowd.of(0)
    crowd.settle()
    assert missing(stayed, 0) == 0
    assert sum(m.told for m in stayed) == 0

    proxy.kill()
    crowd.run(lambda: all(m.socket is None for m in crowd.members.values()), "all are cut off")
    proxy.start()
    for member in crowd.members.values():
        member.connect()
    crowd.begin()
