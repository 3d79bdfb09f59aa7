#!/usr/bin/env python3
"""Throughput of ice beside the yardsticks, as ratios of interleaved pairs.

Server and generator have a core each. A pair measures one server, then the other, and gives one
ratio; the median of the pairs counts. Only ratios of one run mean something: machines differ, and
so does their mood. Writes report.md, report.json and (with matplotlib) report.svg."""
import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# name: command below the build directory
SERVERS = {
    "ice": ["apps/echo", "--protocol", "line", "--listen", "127.0.0.1:0"],
    "ice, bytes": ["apps/echo", "--protocol", "raw", "--listen", "127.0.0.1:0"],
    "raw_line": ["bench/raw_line", "0"],
    "raw_echo": ["bench/raw_echo", "0"],
    "asio_line": ["bench/asio_line", "0"],
    "libuv_line": ["bench/peers/libuv_line", "0"],
    "go_line": ["../bench/peers/go_line", "0"],
    "tokio_line": ["../bench/peers/tokio_line", "0"]}

# title, server, yardstick, goal (None: for information), arguments of ice-bench
ROWS = [
    ("lines, one at a time", "ice", "raw_line", 0.95, ["line"]),
    ("lines, 16 under way", "ice", "raw_line", None, ["line", "-P", "16"]),
    ("lines, 64 under way", "ice", "raw_line", 0.95, ["line", "-P", "64"]),
    ("lines, 64 under way", "ice", "asio_line", 25, ["line", "-P", "64"]),
    ("lines, 64 under way", "ice", "libuv_line", None, ["line", "-P", "64"]),
    ("lines, 64 under way", "ice", "go_line", 1, ["line", "-P", "64"]),
    ("lines, 64 under way", "ice", "tokio_line", None, ["line", "-P", "64"]),
    ("64 bytes, one at a time", "ice, bytes", "raw_echo", None, ["echo", "-s", "64"]),
    ("a connection for each line", "ice", "raw_line", 0.9, ["connect"])]


@contextlib.contextmanager
def serving(command):
    """Starts a server on core 0 and yields its address."""
    process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"{command[0]} did not start")
        yield line.split()[-1], process.pid
    finally:
        process.terminate()
        process.wait(10)


def rate(build, server, arguments, seconds):
    name, *rest = SERVERS[server]
    with serving([str(build / name), *rest]) as (address, pid):
        done = subprocess.run(
            ["taskset", "-c", "1", build / "bench/ice-bench", arguments[0], address, *arguments[1:],
             "-d", f"{seconds}s", "-w", "300ms", "-q", "--json", "-", "--server-pid", str(pid)],
            capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"ice-bench {' '.join(arguments)} against {server}: {done.stdout}{done.stderr}")
    run = json.loads(done.stdout)["runs"][0]
    return {"rate": run["rate"], "generator": run["generator_cpu_share"],
            "server_us": run["server"]["cpu_seconds"] / run["rate"] / run["seconds"] * 1e6}


def measure(build, row, pairs, seconds):
    title, ours, theirs, goal, arguments = row
    a, b = [], []
    for _ in range(pairs):
        a.append(rate(build, ours, arguments, seconds))
        b.append(rate(build, theirs, arguments, seconds))
    ratios = sorted(x["rate"] / y["rate"] for x, y in zip(a, b, strict=True))
    cpu = statistics.median(y["server_us"] / max(x["server_us"], 1e-9)
                            for x, y in zip(a, b, strict=True))
    middle = statistics.median(ratios)
    return {"what": title, "server": ours, "yardstick": theirs, "goal": goal, "ratio": middle,
            "least": ratios[0], "most": ratios[-1], "cpu_ratio": cpu,
            "rate": statistics.median(x["rate"] for x in a),
            "yardstick_rate": statistics.median(y["rate"] for y in b),
            "generator": max(x["generator"] for x in a + b),
            "verdict": "" if goal is None else "reached" if middle >= goal else "missed"}


def plot(results, file):
    try:
        import matplotlib
    except ImportError:
        print("no report.svg: matplotlib is not installed")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot
    shown = [r for r in results if r["ratio"] < 5]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(shown) + 1.2))
    rows = range(len(shown))
    axes.barh(rows, [r["ratio"] for r in shown], color="#4477aa",
              xerr=[[r["ratio"] - r["least"] for r in shown],
                    [r["most"] - r["ratio"] for r in shown]])
    axes.set_yticks(rows, [f"{r['what']} / {r['yardstick']}" for r in shown])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("throughput of ice / of the yardstick (median, least and most of the pairs)")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(file)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--build", type=Path, default=ROOT / "build/release")
    arguments.add_argument("--out", type=Path, default=ROOT / "build/bench")
    arguments.add_argument("--pairs", type=int, default=7)
    arguments.add_argument("--seconds", type=float, default=2)
    chosen = arguments.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)

    table = ["| what | against | ratio (least .. most) | goal | verdict | ice | yardstick "
             "| generator | CPU ratio |", "|---|---|---|---|---|---|---|---|---|"]
    results = []
    print("\n".join(table))
    for row in ROWS:
        if not (chosen.build / SERVERS[row[2]][0]).exists():
            print(f"| {row[0]} | {row[2]} | not built: see bench/peers/README.md | | | | | | |")
            continue
        r = measure(chosen.build, row, chosen.pairs, chosen.seconds)
        results.append(r)
        table.append("| " + " | ".join([
            r["what"], r["yardstick"], f"{r['ratio']:.2f} ({r['least']:.2f} .. {r['most']:.2f})",
            str(r["goal"] or ""), r["verdict"], f"{r['rate']:,.0f}/s",
            f"{r['yardstick_rate']:,.0f}/s", f"{r['generator']:.0%}",
            f"{r['cpu_ratio']:.2f}"]) + " |")
        print(table[-1], flush=True)
    head = (f"{chosen.pairs} pairs of {chosen.seconds:g} s; 50 connections; {platform.release()}; "
            f"ratios are of throughput, the CPU ratio is of server CPU per message "
            f"(yardstick / ice)\n\n")
    (chosen.out / "report.md").write_text(head + "\n".join(table) + "\n")
    (chosen.out / "report.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results, chosen.out / "report.svg")


main()
