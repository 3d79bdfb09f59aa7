"""How the figures of ratios.py are taken: servers on core 0, generators on core 1, and what the
kernel says of both meanwhile. Nothing here knows a goal."""
import contextlib
import csv
import json
import os
import re
import resource
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINE = b"x" * 30 + b"\r\n"
WARM_UP = 0.3  # seconds
ENOUGH = 60    # seconds for what should come at once


class Failed(Exception):
    """A server or a generator that did not do its work: its row has no figure."""


# --- Processes


def cpu_and_wait(pid):
    """Seconds that all threads of a process have run, and have waited for a core."""
    run = wait = 0
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
                run, wait = run + int(fields[0]), wait + int(fields[1])
    return run / 1e9, wait / 1e9


def resident(pid):
    """Bytes in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Server:
    """On core 0 while the `with` lasts."""

    def __init__(self, command):
        self.process = subprocess.Popen(["taskset", "-c", "0", *map(str, command)],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ready, _, _ = select.select([self.process.stdout], [], [], ENOUGH)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("listening on "):
            self.__exit__()
            raise Failed(f"{command[0]} did not start")
        self.address = line.split()[-1]
        self.pid = self.process.pid

    def connect(self):
        host, _, port = self.address.rpartition(":")
        s = socket.create_connection((host, int(port)), ENOUGH)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Not politely: a server that drains thousands of connections would disturb the next.
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def resp(*words):
    """A request in Redis' language."""
    return "".join([f"*{len(words)}\r\n", *(f"${len(w)}\r\n{w}\r\n" for w in words)]).encode()


def free_port():
    """For what takes no port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis(Server):
    """redis-server with its defaults, but that it keeps nothing on disk."""

    name, question, reply = "redis-server", b"PING\r\n", b"+PONG\r\n"

    def __init__(self, core=0):
        self.folder = tempfile.TemporaryDirectory()
        port = free_port()
        self.process = subprocess.Popen(["taskset", "-c", str(core), *self.command(port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address, self.pid = f"127.0.0.1:{port}", self.process.pid
        end = time.monotonic() + ENOUGH
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failed(f"{self.name} did not start")
            time.sleep(0.05)

    def command(self, port):
        return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--dir", self.folder.name]

    def answers(self):
        with contextlib.suppress(OSError), self.connect() as s:
            s.sendall(self.question)
            return s.recv(len(self.reply)) == self.reply

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Nutcracker(Redis):
    """twemproxy in front of a Redis, with so many connections to it."""
    name, question, reply = "nutcracker", resp("GET", "a key"), b"$-1\r\n"

    def __init__(self, upstream, connections):
        self.upstream, self.connections = upstream, connections
        super().__init__()

    def command(self, port):
        settings = Path(self.folder.name) / "nutcracker.yml"
        settings.write_text(
            f"bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n"
            f"  distribution: ketama\n  server_connections: {self.connections}\n"
            f"  servers:\n   - {self.upstream}:1\n")
        return ["nutcracker", "-c", str(settings), "-o", f"{self.folder.name}/log",
                "-s", str(free_port()), "-m", "16384"]


class Envoy(Redis):
    """Envoy's redis_proxy with one thread in front of a Redis. It has one connection to it, as an
    Envoy has one for each thread. It writes requests in batches, without which it costs more."""
    name, question, reply = "envoy", resp("GET", "a key"), b"$-1\r\n"

    def __init__(self, upstream, _connections):
        self.upstream = upstream
        super().__init__()

    def command(self, port):
        def at(where):
            host, _, number = where.rpartition(":")
            return {"address": {"socket_address": {"address": host, "port_value": int(number)}}}

        filters = "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
        proxy = {"@type": filters, "stat_prefix": "bench",
                 "settings": {"op_timeout": "5s", "max_buffer_size_before_flush": 16384,
                              "buffer_flush_timeout": "0.001s"},
                 "prefix_routes": {"catch_all_route": {"cluster": "redis"}}}
        listener = {**at(f"127.0.0.1:{port}"), "name": "bench", "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": proxy}]}]}
        cluster = {"name": "redis", "type": "STATIC", "connect_timeout": "1s",
                   "load_assignment": {"cluster_name": "redis", "endpoints": [
                       {"lb_endpoints": [{"endpoint": at(self.upstream)}]}]}}
        settings = Path(self.folder.name) / "envoy.json"
        settings.write_text(json.dumps(
            {"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
        return ["envoy", "-c", str(settings), "--concurrency", "1", "--disable-hot-restart",
                "--log-level", "off"]


class Nats(Redis):
    """A nats-server beside the generator, as it is no part of what is measured."""
    name, question, reply = "nats-server", b"", b"INFO "

    def __init__(self):
        super().__init__(core=1)

    def command(self, port):
        return ["nats-server", "-a", "127.0.0.1", "-p", str(port)]


def share(before, after, seconds):
    """Of a core: what a process ran, and what it would have run had it never waited."""
    ran, waited = (b - a for a, b in zip(before, after, strict=True))
    return {"cpu": ran / seconds, "busy": min(1, (ran + waited) / seconds)}


def generate(server, command, read=json.load):
    """Runs a generator on core 1 and returns its JSON (or what `read` makes of its output), with
    the shares of both processes. `busy` is the share of the time in which a process had something
    to do: it ran or waited for its core. Near 1 it was the limit, however much of the core other
    programs took."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(["taskset", "-c", "1", *map(str, command)], stdout=out,
                                   stderr=err)
        begin = time.monotonic()
        first = last = None
        while process.poll() is None:
            time.sleep(0.05)
            now = time.monotonic()
            if now - begin < WARM_UP + 0.1:
                continue
            sample = now, cpu_and_wait(server.pid), cpu_and_wait(process.pid)
            if last and sample[2][0] < last[2][0]:
                break  # the threads that did the work have ended
            first, last = first or sample, sample
        process.wait()
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: {out.read()[-500:]}{err.read()[-500:]}")
        found = read(out)
    if not first or first is last:
        raise Failed("too short to see how busy the cores were: more --seconds")
    seconds = last[0] - first[0]
    found["server_share"] = share(first[1], last[1], seconds)
    found["generator_share"] = share(first[2], last[2], seconds)
    return found


def load(build, server, arguments, seconds):
    """One run of ice-bench: rate, p99, CPU of the server per message, and who was busy."""
    mode, *rest = map(str, arguments)
    found = generate(server, [build / "bench/ice-bench", mode, server.address, *rest, "-d",
                              f"{seconds}s", "-w", f"{WARM_UP}s", "-q", "--json", "-",
                              "--server-pid", server.pid])
    run = found["runs"][0]
    return {"rate": run["rate"], "p99_us": run["latency_us"]["percentiles"]["99"],
            "us": run["server"]["cpu_seconds"] / run["rate"] / run["seconds"] * 1e6,
            "server": found["server_share"], "generator": found["generator_share"],
            "environment": found["environment"]}


def ask(server, *words):
    """One request to a server of Redis' language; its answer has to be +OK."""
    with server.connect() as s:
        s.sendall(resp(*words))
        if receive(s, 5) != b"+OK\r\n":
            raise Failed(f"{words[0]} was refused")


def redis_command(server, command, depth, requests):
    """redis-benchmark with its 50 connections."""
    host, _, port = server.address.rpartition(":")
    return ["redis-benchmark", "-h", host, "-p", port, "-t", command, "-P", str(depth),
            "-n", str(requests), "--csv"]


def redis_rate(lines):
    (_, *names), (_, *values) = csv.reader(lines)
    return float(values[names.index("rps")])


def redis_requests(server, command, depth, seconds):
    """How many requests fit into that time: redis-benchmark takes a number, and no time."""
    few = redis_command(server, command, depth, 100_000 * (1 + depth // 16))
    done = subprocess.run(["taskset", "-c", "1", *few], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(few)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return int(redis_rate(done.stdout.splitlines()) * seconds)


def redis_benchmark(server, command, depth, requests):
    """One run of it, as load()."""
    before = cpu_and_wait(server.pid)[0]
    found = generate(server, redis_command(server, command, depth, requests),
                     lambda out: {"rate": redis_rate(out)})
    return {"rate": found["rate"], "us": (cpu_and_wait(server.pid)[0] - before) / requests * 1e6,
            "server": found["server_share"], "generator": found["generator_share"]}


# --- Connections of our own


def allow_files(count):
    """Raises the limit of open files, also of the servers that are started later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count:
        raise Failed(f"needs {count} open files, and `ulimit -Hn` is {hard}")


def receive(s, size):
    got = []
    while size:
        got.append(s.recv(min(size, 65536)))
        if not got[-1]:
            raise Failed("the server closed a connection")
        size -= len(got[-1])
    return b"".join(got)


@contextlib.contextmanager
def idle_connections(server, count):
    """So many that have had one line answered and are silent since."""
    allow_files(count + 200)
    with contextlib.ExitStack() as all_of_them:
        held = []
        for _ in range(count):
            s = all_of_them.enter_context(server.connect())
            s.sendall(LINE)
            receive(s, len(LINE))
            held.append(s)
        yield held


def settled(pid):
    """The resident size, once it has not shrunk for a second."""
    least, since = resident(pid), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.1)
        if (now := resident(pid)) < least:
            least, since = now, time.monotonic()
    return least


def memory(command, count, burst):
    """Bytes of RSS for each of `count` connections: idle, and after a burst of so many lines came
    on all of them together and was answered."""
    with Server(command) as server:
        with idle_connections(server, 1):  # what the first one costs, none does after it
            before = settled(server.pid)
        with idle_connections(server, count) as held:
            idle = (settled(server.pid) - before) / count
            for s in held:
                s.sendall(LINE * burst)
            for s in held:
                receive(s, len(LINE) * burst)
            return idle, (settled(server.pid) - before) / count


def allocations(command, request, answer, rounds):
    """Of the heap, for each round of a request: counted by valgrind in two runs, subtracted, so
    that neither the start of the program nor that of a connection is in it."""
    def count(times):
        with tempfile.NamedTemporaryFile("r") as log:
            valgrind = ["valgrind", "--leak-check=no", f"--log-file={log.name}"]
            with Server([*valgrind, *command]) as server:
                with server.connect() as s:
                    for _ in range(times):
                        s.sendall(request)
                        if receive(s, len(answer)) != answer:
                            raise Failed(f"{command[0]} answered wrongly")
                server.process.terminate()
                server.process.wait(ENOUGH)
            found = re.search(r"total heap usage: ([\d,]+) allocs", log.read())
        if not found:
            raise Failed("valgrind has counted nothing")
        return int(found[1].replace(",", ""))
    return (count(2 * rounds) - count(rounds)) / rounds


def idle_share(server, seconds):
    """Of a core, of a server that nobody asks anything."""
    time.sleep(0.5)
    before, begin = cpu_and_wait(server.pid), time.monotonic()
    time.sleep(seconds)
    return share(before, cpu_and_wait(server.pid), time.monotonic() - begin)["cpu"]


def fed_byte_by_byte(command, size):
    """CPU seconds of the server for an unfinished line of `size` bytes, each of them read alone:
    the answer to another connection shows that it has been."""
    with Server(command) as server, server.connect() as s, server.connect() as other:
        before = cpu_and_wait(server.pid)[0]
        for _ in range(size):
            s.sendall(b"x")
            other.sendall(b"\r\n")
            receive(other, 2)
        return cpu_and_wait(server.pid)[0] - before


def broadcast(servers, clients, lines, interval, over_bus):
    """CPU seconds of each server while `lines` are said, one in each interval, and all `clients` of
    each server get them. Over the bus a client of each server says one in turn; without it, each
    line is said to each server."""
    with contextlib.ExitStack() as all_of_them, selectors.DefaultSelector() as selector:
        got = {}

        def read_until(done, until):
            while not done() and (left := until - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    got[key.fd] += len(receive_some(key.fileobj))
            return done()

        def heard(count):
            return lambda: all(n == count * len(LINE) for n in got.values())
        speakers = []
        for server in servers:
            held = [all_of_them.enter_context(server.connect()) for _ in range(clients)]
            speakers.append(held[0])
            for s in held:
                selector.register(s, selectors.EVENT_READ)
                got[s.fileno()] = 0
        # A process may not know of another one yet, and then some do not hear the first lines.
        for _ in range(100):
            got = dict.fromkeys(got, 0)
            for s in speakers:
                s.sendall(LINE)
            if read_until(heard(len(speakers) if over_bus else 1), time.monotonic() + 0.5):
                break
        else:
            raise Failed("not all have heard the first lines")
        got = dict.fromkeys(got, 0)
        before = [cpu_and_wait(server.pid)[0] for server in servers]
        begin = time.monotonic()
        for number in range(lines):
            read_until(lambda: False, begin + number * interval)
            for s in speakers[number % len(speakers):][:1] if over_bus else speakers:
                s.sendall(LINE)
        if not read_until(heard(lines), time.monotonic() + ENOUGH):
            raise Failed("not all have heard all lines")
        return [cpu_and_wait(server.pid)[0] - was
                for server, was in zip(servers, before, strict=True)]


def receive_some(s):
    data = s.recv(65536)
    if not data:
        raise Failed("the server closed a connection")
    return data


def needs_two_cores():
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("two cores are needed, 0 and 1: one for the server and one for the generator")
