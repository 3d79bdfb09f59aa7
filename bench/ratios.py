#!/usr/bin/env python3
"""ice beside the yardsticks: each goal of bench/README.md, measured, with a verdict.

Server and generator have a core each. A pair measures one side, then the other, and gives one
ratio; the median of the pairs counts. Only ratios of one run mean something: machines differ, and
so does their mood. Writes report.md, report.json and (with matplotlib) report.svg."""
import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import compile_time
import measuring
import system_calls
from measuring import LINE, ROOT, Failed

VENV = ROOT / "build/venv"  # where `./run bench` puts what Python has and Debian has not
os.environ["PATH"] += f":{VENV / 'bin'}"
LIMIT = 0.95  # so busy, and a process was what limited a run


def has_uvloop(venv):
    return any(venv.glob("lib/python*/site-packages/uvloop"))


# name: program below the build directory and its arguments
SERVERS = {
    "ice": ["apps/echo", "--protocol", "line", "--listen", "127.0.0.1:0"],
    "ice, coroutine": ["bench/coroutine_line", "0"],
    "ice, bytes": ["apps/echo", "--protocol", "raw", "--listen", "127.0.0.1:0"],
    "keyvalue": ["apps/keyvalue", "--listen", "127.0.0.1:0"],
    "raw_line": ["bench/raw_line", "0"],
    "raw_echo": ["bench/raw_echo", "0"],
    "asio_line": ["bench/asio_line", "0"],
    "libuv_line": ["bench/peers/libuv_line", "0"],
    "go_line": ["../bench/peers/go_line", "0"],
    "tokio_line": ["../bench/peers/tokio_line", "0"],
    "asyncio_line": [sys.executable, ROOT / "bench/peers/asyncio_line.py", "0"],
    "uvloop_line": [VENV / "bin/python" if has_uvloop(VENV) else sys.executable,
                    ROOT / "bench/peers/asyncio_line.py", "--uvloop", "0"]}


def missing(build, name):
    """Why a server cannot be measured here; None if it can."""
    program = build / SERVERS[name][0]
    if name == "uvloop_line" and not has_uvloop(VENV) and not find_spec("uvloop"):
        return "uvloop is not installed"
    if program.exists():
        return None
    tool = {"go_line": "go", "tokio_line": "cargo"}.get(name)
    if tool and not shutil.which(tool):
        return f"{tool} is not installed"
    if name == "libuv_line":
        return "libuv1-dev was not there when it was configured"
    return "not built: `./run bench` does it"


# --- Verdicts


def judged(value, goal, at_most):
    """Met, or missed by how much."""
    if goal is None:
        return ""
    short = value - goal if at_most else goal - value
    if goal == 0 and short > 0:
        return f"missed by {short:.2g}"
    short /= goal or 1
    return "met" if short <= 0 else f"missed by {100 * short:.2g} %"


def decide(result, busy, limit):
    """Throughput decides, unless the side that would have to be faster to change the verdict was
    held back by the process at the other end. Then the CPU time per message has to say the same.
    `busy`: (name, share of the time) of what is measured, ours and theirs; `limit`: the same of the
    other end meanwhile."""
    goal, ratio = result["goal"], result["ratio"]
    if goal is None:
        return ""
    reached = ratio >= goal
    (name, share), (other, at) = busy[reached], limit[reached]
    if share >= LIMIT:
        result["decides"] = "throughput"
    elif (result["cpu_ratio"] >= goal) == reached:
        result["decides"] = "both"  # by how much ours falls short, the one held back cannot say
        return judged(ratio if reached else max(ratio, result["cpu_ratio"]), goal, False)
    elif at >= LIMIT:
        return f"not decidable: {other} at {at:.0%} of its core"
    else:
        return f"not decidable: neither end at its limit ({name} {share:.0%}, {other} {at:.0%})"
    return judged(ratio, goal, False)


# --- Kinds of rows: each returns what it found, as a dict


class Row:
    def __init__(self, number, what, against, goal, measure, needs=(), at_most=False):
        self.number, self.what, self.against, self.goal = number, what, against, goal
        self.measure, self.needs, self.at_most = measure, needs, at_most


def middle(values):
    return statistics.median(values)


def interleaved(run, first, second):
    """A B A B ..: each pair on its own has seen the same weather."""
    a, b = [], []
    for i in range(run.pairs):
        a.append(first())
        b.append(second())
        run.progress(i + 1)
    return a, b


def spread(ratios):
    return {"ratio": middle(ratios), "least": min(ratios), "most": max(ratios), "ratios": ratios}


def compared(run, row, a, b, busy, other):
    """Of two lists of load(): the ratio of the rates, that of the CPU times, and the verdict."""
    pairs = list(zip(a, b, strict=True))
    result = {"goal": row.goal, "cpu_ratio": middle([y["us"] / x["us"] for x, y in pairs]),
              **spread([x["rate"] / y["rate"] for x, y in pairs])}
    shares = [[middle([x[end]["busy"] for x in side]) for side in (a, b)] for end in (busy, other)]
    result["waited"] = middle([x[end]["busy"] - x[end]["cpu"] for x in a + b
                               for end in (busy, other)])
    result["busy"] = dict(zip((busy, other), shares, strict=True))
    result["verdict"] = decide(result, [(busy, share) for share in shares[0]],
                               [(other, share) for share in shares[1]])
    result["detail"] = (f"{shown(middle([x['rate'] for x in a]))}/s, "
                        f"{shown(middle([x['rate'] for x in b]))}/s")
    return result


def started(run, name):
    if name == "redis-server":
        return measuring.Redis()
    program, *rest = SERVERS[name]
    return measuring.Server([run.build / program, *rest])


def throughput(number, what, ours, theirs, goal, *arguments):
    def measure(run, row):
        def one(name):
            with started(run, name) as server:
                return measuring.load(run.build, server, arguments, run.seconds)
        return compared(run, row, *interleaved(run, lambda: one(ours), lambda: one(theirs)),
                        "server", "generator")
    return Row(number, what, theirs, goal, measure, (ours, theirs))


def against_redis(command, depth):
    """keyvalue and redis-server in turn, asked by redis-benchmark."""
    def measure(run, row):
        def one(name, ask):
            with started(run, name) as server:
                measuring.ask(server, "SET", "key:__rand_int__", "VXK")  # what GET asks for
                return ask(server)

        seconds = run.seconds + measuring.WARM_UP + 0.3  # and a little to see how busy it is

        def side(name):
            n = one(name, lambda s: measuring.redis_requests(s, command, depth, seconds))
            return lambda: one(name, lambda s: measuring.redis_benchmark(s, command, depth, n))

        return compared(run, row, *interleaved(run, side("keyvalue"), side("redis-server")),
                        "server", "generator")
    name = command.partition("_")[0].upper()
    return Row(6, f"RESP {name}, {depth} in flight", "redis-server", 1.3, measure,
               ("keyvalue", "redis-server", "redis-benchmark"))


def allocations(name, what, request, answer):
    burst, rounds = 64, 100

    def measure(run, row):
        program, *rest = SERVERS[name]
        each = measuring.allocations([run.build / program, *rest], request * burst, answer * burst,
                                     rounds) / burst
        return {"value": each, "figure": f"{each:.2f}", "detail": "counted by valgrind",
                "verdict": judged(round(each, 2), row.goal, True)}
    return Row(3, f"heap allocations for each of {burst} {what}", "", 0, measure,
               (name, "valgrind"), at_most=True)


def ceiling():
    """The generators against the same server: here they are what is measured."""
    depth = 64

    def measure(run, row):
        def ours():
            with raw() as server:
                found = measuring.load(run.build, server, ["line", "-P", depth], run.seconds)
            return {**found, "us": found["generator"]["cpu"] / found["rate"] * 1e6}

        def theirs():
            with raw() as server:
                found = measuring.generate(server, [run.build / "bench/epoll_generator",
                                                    server.address, "-P", depth, "-d",
                                                    run.seconds + measuring.WARM_UP])
            return {"rate": found["replies"] / found["seconds"],
                    "us": found["cpu_seconds"] / found["replies"] * 1e6,
                    "server": found["server_share"], "generator": found["generator_share"]}

        def raw():
            return measuring.Server([run.build / "bench/raw_line", "0"])
        return compared(run, row, *interleaved(run, ours, theirs), "generator", "server")
    return Row(9, "ice-bench itself, lines, 64 in flight", "epoll_generator", 0.9, measure,
               ("bench/epoll_generator",))


def pool(name, ours, against, theirs, goal):
    def measure(run, row):
        def one(how):
            with measuring.Server([run.build / "bench/raw_line", "0"]) as server:
                found = measuring.generate(server, [run.build / "bench/pool_client",
                                                    server.address, how, run.seconds])
            return {"rate": found["requests"] / found["seconds"],
                    "us": found["cpu_seconds"] / found["requests"] * 1e6}
        a, b = interleaved(run, lambda: one(ours), lambda: one(theirs))
        pairs = list(zip(a, b, strict=True))
        result = {"cpu_ratio": middle([y["us"] / x["us"] for x, y in pairs]),
                  **spread([x["rate"] / y["rate"] for x, y in pairs]), "decides": "throughput",
                  "detail": f"{middle([x['us'] for x in a]):.1f} µs, "
                            f"{middle([x['us'] for x in b]):.1f} µs of CPU"}
        return {**result, "verdict": judged(result["ratio"], row.goal, False)}
    return Row(7, name, against, goal, measure)


def gateway(depth, goal):
    """CPU time of a gateway for each line, whose upstream is raw_line: pools of four connections
    that requests share, and clients with up to 64 requests at once."""
    def measure(run, row):
        with measuring.Server([run.build / "bench/raw_line", "0"]) as upstream:
            port = upstream.address.rpartition(":")[2]

            def one(name, *more):
                with measuring.Server([run.build / "bench" / name, port, *more, "0"]) as server:
                    return measuring.load(run.build, server, ["line", "-P", depth], run.seconds)
            a, b = interleaved(run, lambda: one("gateway", "1000", "64"),
                               lambda: one("raw_gateway"))
        result = spread([x["us"] / y["us"] for x, y in zip(a, b, strict=True)])
        return {**result, "value": result["ratio"],
                "detail": f"{middle([x['us'] for x in a]):.2f} µs, "
                          f"{middle([x['us'] for x in b]):.2f} µs of CPU for each line",
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(12, f"gateway of lines, {depth} in flight: CPU", "raw_gateway", goal, measure,
               ("bench/gateway", "bench/raw_gateway"), at_most=True)


@contextlib.contextmanager
def two_proxies(run, peer):
    """apps/redis_proxy and another proxy in front of the same redis-server, which shares core 1
    with the generator."""
    with measuring.Redis(core=1) as redis, measuring.Server(
            [run.build / "apps/redis_proxy", "--listen", "127.0.0.1:0", "--upstream", redis.address,
             "--connections", 4]) as ours, peer(redis.address, 4) as theirs:
        measuring.ask(redis, "SET", "key:__rand_int__", "VXK")  # what GET asks for
        yield ours, theirs


PROXIES = ("apps/redis_proxy", "redis-server", "redis-benchmark")


def redis_proxy(depth, goal, peer=measuring.Nutcracker):
    """CPU time of apps/redis_proxy for each GET, beside another proxy."""
    def measure(run, row):
        with two_proxies(run, peer) as (ours, theirs):
            seconds = run.seconds + measuring.WARM_UP + 0.3

            def side(server):
                n = measuring.redis_requests(server, "get", depth, seconds)
                return lambda: measuring.redis_benchmark(server, "get", depth, n)
            a, b = interleaved(run, side(ours), side(theirs))
        result = spread([x["us"] / y["us"] for x, y in zip(a, b, strict=True)])
        return {**result, "value": result["ratio"],
                "detail": f"{middle([x['us'] for x in a]):.2f} µs, "
                          f"{middle([x['us'] for x in b]):.2f} µs of CPU for each GET",
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(13, f"redis_proxy, {depth} in flight: CPU", peer.name, goal, measure,
               (*PROXIES, peer.name), at_most=True)


def redis_proxy_memory(depth, goal):
    """RSS of both proxies after 50 clients had so many GETs in flight."""
    def measure(run, row):
        with two_proxies(run, measuring.Envoy) as both:
            for server in both:
                measuring.redis_benchmark(server, "get", depth, 1_000_000)
            ours, theirs = (measuring.resident(server.pid) for server in both)
        return {"value": ours / theirs, "figure": f"{ours / theirs:.3g}",
                "detail": f"{ours / 1e6:.1f} MB, {theirs / 1e6:.1f} MB",
                "verdict": judged(ours / theirs, row.goal, True)}
    return Row(13, f"redis_proxy, {depth} in flight: RSS", "envoy", goal, measure,
               (*PROXIES, "envoy"), at_most=True)


def bus(clients, goal):
    """CPU time of processes whose clients hear what those of all of them say over a bus, beside as
    many processes that say as much to their own: all deliver the same lines at the same times."""
    interval = 0.005  # so that each line is delivered alone

    def measure(run, row):
        command, lines = [run.build / "bench/broadcast"], int(run.seconds / interval)
        with contextlib.ExitStack() as all_of_them:
            def three(*options):
                return [all_of_them.enter_context(measuring.Server([*command, *options, "0"]))
                        for _ in range(3)]
            nats = all_of_them.enter_context(measuring.Nats())
            ours, theirs = three("--bus", nats.address), three()

            def cost(servers):
                return max(measuring.broadcast(servers, clients, lines, interval,
                                               over_bus=servers is ours))
            a, b = interleaved(run, lambda: cost(ours), lambda: cost(theirs))
        result = spread([x / y for x, y in zip(a, b, strict=True)])
        each = 1e6 / lines / clients
        return {**result, "value": result["ratio"],
                "detail": f"{middle(a) * each:.2f} µs, {middle(b) * each:.2f} µs of CPU for each "
                          "delivery, in the process that needs most",
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(14, f"bus of three processes, {clients} clients in each: CPU", "local broadcasts",
               goal, measure, ("bench/broadcast", "nats-server"), at_most=True)


def memory(name, goal):
    count, burst = 9_900, 64

    def measure(run, row):
        program, *rest = SERVERS[name]
        idle, after = measuring.memory([run.build / program, *rest], count, burst)
        worst = max(idle, after)
        return {"value": worst, "figure": f"{idle:,.0f} bytes; {after:,.0f} after the burst",
                "idle_bytes": idle, "after_bytes": after, "verdict": judged(worst, row.goal, True),
                "detail": f"RSS for each of {count:,}; burst: {burst} lines on all at once"}
    return Row(4, f"memory of an idle connection: {name}", "", goal, measure, (name,), at_most=True)


def many_idle():
    idle, active, rate = 9_000, 100, 10_000

    def measure(run, row):
        program, *rest = SERVERS["ice"]
        command = [run.build / program, *rest]
        with measuring.Server(command) as alone, measuring.Server(command) as full, \
                measuring.idle_connections(full, idle):
            def one(server):
                return measuring.load(run.build, server, ["line", "-c", active, "-R", rate],
                                      run.seconds)
            a, b = interleaved(run, lambda: one(full), lambda: one(alone))
        result = {**spread([x["p99_us"] / y["p99_us"] for x, y in zip(a, b, strict=True)]),
                  "detail": f"p99 {middle([x['p99_us'] for x in a]):,.0f} µs with, "
                            f"{middle([x['p99_us'] for x in b]):,.0f} µs without; "
                            f"{active} active, {rate:,}/s, open loop"}
        return {**result, "value": result["ratio"],
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(5, f"p99 beside {idle:,} idle connections", "without them", 2, measure, ("ice",),
               at_most=True)


def idle_cpu():
    idle = 9_000

    def measure(run, row):
        program, *rest = SERVERS["ice"]
        with measuring.Server([run.build / program, *rest]) as server, \
                measuring.idle_connections(server, idle):
            used = 100 * measuring.idle_share(server, max(2, 2 * run.seconds))
        return {"value": used, "figure": f"{used:.3f} %", "detail": "of a core",
                "verdict": judged(used, row.goal, True)}
    return Row(5, f"CPU of {idle:,} idle connections", "", 1, measure, ("ice",), at_most=True)


def linear(what, cost, n):
    """What twice as much costs, in CPU time of the server; 2 is linear."""
    def measure(run, row):
        a, b = interleaved(run, lambda: cost(run, 2 * n), lambda: cost(run, n))
        result = spread([x / y for x, y in zip(a, b, strict=True)])
        return {**result, "value": result["ratio"], "detail": "CPU time of the server",
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(11, f"{what}: {2 * n:,}", f"{n:,}", 2.3, measure, ("ice",), at_most=True)


def cost_of(option):
    """CPU of the server for `n` messages, or for messages of n bytes."""
    def cost(run, n):
        program, *rest = SERVERS["ice"]
        with measuring.Server([run.build / program, *rest]) as server:
            us = measuring.load(run.build, server, ["line", option, n], run.seconds)["us"]
        return us if option == "-s" else n * us
    return cost


def cost_of_bytes(run, n):
    program, *rest = SERVERS["ice"]
    return measuring.fed_byte_by_byte([run.build / program, *rest], n)


def calls(what, burst, rounds, goal):
    def measure(run, row):
        program, *_ = SERVERS["ice"]
        command = [str(run.build / program), "--protocol", "line", "--listen", "127.0.0.1:{port}"]
        each = (system_calls.count(command, burst, 2 * rounds)
                - system_calls.count(command, burst, rounds)) / rounds
        # A timer that rings meanwhile is in the second decimal.
        return {"value": each, "figure": f"{each:.1f}", "detail": "counted by strace",
                "verdict": judged(round(each, 1), row.goal, True)}
    return Row(1, f"system calls of {what}", "", goal, measure, ("ice", "strace"), at_most=True)


def compiling():
    ours, theirs = "apps/tutorial/1_echo.cpp", "bench/asio_echo.cpp"

    def measure(run, row):
        flags = "-std=c++20 -O2 -DASIO_STANDALONE -pthread"
        a, b = interleaved(run, lambda: compile_time.compiled("g++", flags, ours),
                           lambda: compile_time.compiled("g++", flags, theirs))
        result = spread([x / y for x, y in zip(a, b, strict=True)])
        return {**result, "value": result["ratio"],
                "detail": f"g++ {flags}: {middle(a):.1f} s, {middle(b):.1f} s of CPU",
                "verdict": judged(result["ratio"], row.goal, True)}
    return Row(10, "compile time of tutorial step 1", "asio_echo.cpp", 0.6, measure, ("g++",),
               at_most=True)


ROWS = [
    throughput(1, "lines, one at a time", "ice", "raw_line", 0.95, "line"),
    calls("a line, alone", 1, 500, 4),
    throughput(2, "lines, 16 in flight", "ice", "raw_line", None, "line", "-P", 16),
    throughput(2, "lines, 64 in flight", "ice", "raw_line", 0.95, "line", "-P", 64),
    throughput(2, "lines, 64 in flight, coroutine", "ice, coroutine", "raw_line", 0.85, "line",
               "-P", 64),
    throughput(2, "lines, one at a time, coroutine", "ice, coroutine", "ice", None, "line"),
    calls("a burst of 64 lines", 64, 20, None),
    throughput(2, "lines, 64 in flight", "ice", "asio_line", 25, "line", "-P", 64),
    throughput(2, "lines, 64 in flight", "ice", "go_line", 1, "line", "-P", 64),
    throughput(2, "lines, 64 in flight", "ice", "libuv_line", None, "line", "-P", 64),
    throughput(2, "lines, 64 in flight", "ice", "tokio_line", None, "line", "-P", 64),
    throughput(2, "lines, 64 in flight", "ice", "asyncio_line", None, "line", "-P", 64),
    throughput(2, "lines, 64 in flight", "ice", "uvloop_line", None, "line", "-P", 64),
    throughput(2, "64 bytes, one at a time", "ice, bytes", "raw_echo", None, "echo", "-s", 64),
    allocations("ice", "lines", LINE, LINE),
    allocations("ice, coroutine", "lines, coroutine", LINE, LINE),
    allocations("ice, bytes", "pieces of bytes", LINE, LINE),
    allocations("keyvalue", "PINGs", measuring.resp("PING"), b"+PONG\r\n"),
    memory("ice", 1536),
    memory("raw_line", None),
    memory("asio_line", None),
    many_idle(),
    idle_cpu(),
    *(against_redis(command, depth) for depth in (16, 64)
      for command in ("ping_mbulk", "set", "get")),
    *(throughput(6, f"RESP ECHO, {depth} in flight, by ice-bench", "keyvalue", "redis-server", 1.3,
                 "resp", "-P", depth) for depth in (16, 64)),
    pool("a pool of 1, one caller", "pool", "its connection, used directly", "direct", 0.95),
    pool("64 callers, pipelined on one connection", "pipelined", "one at a time", "queued", 10),
    gateway(1, 1.15), gateway(16, 2), gateway(64, 2),
    redis_proxy(1, 0.67), redis_proxy(16, 0.2), redis_proxy(64, 0.15),
    *(redis_proxy(depth, 0.5, measuring.Envoy) for depth in (1, 16, 64)),
    redis_proxy_memory(64, 0.25),
    bus(100, 1.2),
    throughput(8, "a connection for each line", "ice", "raw_line", 0.9, "connect"),
    ceiling(),
    compiling(),
    linear("connections", cost_of("-c"), 1000),
    linear("bytes of a line", cost_of("-s"), 2000),
    linear("lines in flight", cost_of("-P"), 64),
    linear("bytes of an unfinished line, one by one", cost_of_bytes, 3000)]


# --- The program


def shown(n):
    for limit, factor, unit in ((1e3, 1, ""), (1e6, 1e3, "k")):
        if n < limit * 0.9995:
            return f"{n / factor:.3g}{unit}"
    return f"{n / 1e6:.3g}M"


class Run:
    """What is asked for, and the line that says how far it is."""

    def __init__(self, options):
        self.build, self.pairs, self.seconds = options.build, options.pairs, options.seconds
        self.row, self.begin = "", time.monotonic()

    def start(self, number, total, row):
        self.row = f"[{number}/{total}] {row.what}{' / ' + row.against if row.against else ''}"
        self.progress(0)

    def progress(self, pair):
        """On a terminal a line that changes, elsewhere one for each row."""
        passed = int(time.monotonic() - self.begin)
        text = f"{passed // 60}:{passed % 60:02} {self.row}"
        if sys.stderr.isatty():
            print(f"\r\033[K{text}, pair {pair} of {self.pairs}", end="", file=sys.stderr)
        elif pair == 0:
            print(text, file=sys.stderr)

    def clear(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def why_not(run, row):
    for need in row.needs:
        if need in SERVERS:
            reason = missing(run.build, need)
        elif "/" in need:
            reason = None if (run.build / need).exists() else "not built"
        else:
            reason = None if shutil.which(need) else f"{need} is not installed"
        if reason:
            return f"not measured: {reason}"
    return ""


def measured(run, row):
    result = {"row": row.number, "what": row.what, "against": row.against, "goal": row.goal,
              "at_most": row.at_most}
    if reason := why_not(run, row):
        return {**result, "verdict": reason}
    try:
        return {**result, **row.measure(run, row)}
    except (Failed, OSError, subprocess.SubprocessError) as error:
        return {**result, "verdict": f"not measured: {error}"}


HEAD = ["#", "what", "against", "figure (least .. most)", "CPU", "goal", "verdict", "decided by",
        "details"]


def cells(r):
    figure = r.get("figure", "")
    if "ratio" in r:
        figure = f"{r['ratio']:.3g} ({r['least']:.3g} .. {r['most']:.3g})"
    goal = "" if r["goal"] is None else f"{'≤' if r['at_most'] else '≥'} {r['goal']:g}"
    cpu = f"{r['cpu_ratio']:.3g}" if "cpu_ratio" in r else ""
    return [str(r["row"]), r["what"], r["against"], figure, cpu, goal, r["verdict"],
            r.get("decides", ""), r.get("detail", "")]


def line(words):
    return "| " + " | ".join(words) + " |"


def machine(build):
    """What the figures are from."""
    def output(*command):
        with contextlib.suppress(OSError):
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return ""
    info = Path("/proc/cpuinfo").read_text()
    cpu = next((text.partition(": ")[2] for text in info.splitlines()
                if text.startswith("model name")), platform.machine())
    virtual = output("systemd-detect-virt", "--vm").strip()
    cache = dict(text.split(":", 1)[0:2] if ":" in text else (text, "") for text in
                 output("grep", "-E", "^CMAKE_(CXX_COMPILER|BUILD_TYPE|CXX_FLAGS_RELWITHDEBINFO):",
                        str(build / "CMakeCache.txt")).splitlines())
    values = {name: value.partition("=")[2] for name, value in cache.items()}
    compiler = output(values.get("CMAKE_CXX_COMPILER") or "g++", "--version").partition("\n")[0]
    return {"processor": cpu, "cores": os.cpu_count(), "virtual": virtual or "unknown",
            "kernel": f"{platform.system()} {platform.release()}",
            "compiler": f"{compiler}, {values.get('CMAKE_CXX_FLAGS_RELWITHDEBINFO', '')}",
            "revision": output("git", "-C", str(ROOT), "describe", "--always", "--dirty").strip()}


def report_head(options, about, loads, results):
    waited = [r["waited"] for r in results if "waited" in r]
    others = (f"; a process that could run waited for its core {middle(waited):.0%} of the time "
              "(median of the rows), as others had it" if waited else "")
    return "\n".join([
        "# ice beside the yardsticks", "",
        f"* Command: `{' '.join(['bench/ratios.py', *sys.argv[1:]])}`; {options.pairs} pairs of "
        f"{options.seconds:g} s, interleaved; 50 connections of 32-byte lines where nothing else "
        "is said; server on core 0, generator on core 1.",
        f"* Machine: {about['processor']}, {about['cores']} cores, virtualisation "
        f"{about['virtual']}, {about['kernel']}; {about['compiler']}; ice {about['revision']}.",
        f"* Others on it: load average at the beginning {loads[0]:.2f}, at the end {loads[1]:.2f} "
        f"(0 and 2 if there are none){others}.", "", ""])


def draw(results, file):
    """The ratios, with their spread and goals, on a logarithmic axis."""
    file.unlink(missing_ok=True)  # nothing of an older run stays
    import plot
    try:
        pyplot = plot.pyplot()
    except plot.Unusable as error:
        print(f"no {file.name}: {error}", file=sys.stderr)
        return
    from matplotlib import lines, ticker
    rows = [r for r in results if "ratio" in r]
    if not rows:
        return
    height = 0.34 * len(rows) + 1.9
    figure = pyplot.figure(figsize=(10.5, height))
    axes = figure.subplots()
    looks = {"met": "#0072b2", "missed": "#d55e00", "not": "#e69f00", "": "#777777"}
    for y, r in enumerate(rows):
        colour = looks[r["verdict"].partition(" ")[0]]
        axes.plot([r["least"], r["most"]], [y, y], color=colour, linewidth=2.5, alpha=0.5)
        axes.plot(r["ratio"], y, "o", color=colour, markersize=7)
        if "cpu_ratio" in r:
            axes.plot(r["cpu_ratio"], y, "D", color=colour, markersize=5, fillstyle="none")
        if r["goal"] is not None:
            axes.plot(r["goal"], y, marker="<" if r["at_most"] else ">", color="black",
                      markersize=6, zorder=1)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{r['what']} / {r['against']}" for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_xlabel("ratio of ice to what it is compared with")

    def mark(marker, colour, **more):
        return lines.Line2D([], [], linestyle="none", marker=marker, color=colour, **more)
    plot.head(figure, "ice beside the yardsticks", "median, least and most of the pairs",
              [(mark("o", looks["met"]), "goal met"), (mark("o", looks["missed"]), "missed"),
               (mark("o", looks["not"]), "not decidable"), (mark("o", looks[""]), "no goal"),
               (mark(">", "black"), "at least"), (mark("<", "black"), "at most"),
               (mark("D", "#777777", fillstyle="none"), "CPU per message")])
    plot.save(figure, str(file))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of one measurement")
    parser.add_argument("--only", metavar="TEXT", default="",
                        help="rows whose number, or words in `what / against`, this is")
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds < 0.5:
        parser.error("--pairs must be at least 1, and --seconds 0.5")
    options.rows = [row for row in ROWS if (
        int(options.only) == row.number if options.only.isdigit()
        else options.only in f"{row.what} / {row.against}")]
    if not options.rows:
        parser.error(f"--only {options.only}: there is no such row")
    return options


def main():
    options = parsed()
    measuring.needs_two_cores()
    options.build = options.build.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    about, load = machine(options.build), os.getloadavg()[0]
    run, results = Run(options), []
    table = [line(HEAD), line(["---"] * len(HEAD))]
    print("\n".join(table))
    for number, row in enumerate(options.rows, 1):
        run.start(number, len(options.rows), row)
        results.append(measured(run, row))
        table.append(line(cells(results[-1])))
        run.clear()
        print(table[-1], flush=True)
    loads = [load, os.getloadavg()[0]]
    text = report_head(options, about, loads, results) + "\n".join(table) + "\n"
    (options.out / "report.md").write_text(text)
    (options.out / "report.json").write_text(json.dumps(
        {"machine": about, "pairs": options.pairs, "seconds": options.seconds, "load": loads,
         "rows": results}, indent=1) + "\n")
    draw(results, options.out / "report.svg")


if __name__ == "__main__":
    main()
