#!/usr/bin/env python3
"""Runs fuzz targets: `./run fuzz [TARGET..] [SECONDS]`, each for so many seconds (20), and prints
what it did. An input that breaks a target is kept, and printed as a line for seeds/TARGET.txt,
where each bug that was found stays. With --runs N each target is run N times instead, or for so
many seconds if they are given and end first.

A seed is a line with \\r, \\n, \\\\ and \\xNN. Behind the data it has what input() in fuzz.hpp
takes off the end: sizes of pieces, how many of those there are, the target's own choice; a seed
without them works too. What a run adds to the corpus is kept in the build folder, and the next one
goes on from there; --runs and --smoke begin with the seeds and a fixed number, so they can be
repeated.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SEEDS = pathlib.Path(__file__).parent / "seeds"
SECONDS = 20
# Some seconds each, on a machine that does other things too; all in all less than a minute.
SMOKE = {"connection": 2_500}
SMOKE_ELSE = 60_000
MAX_LEN = 4096  # bytes of an input: no protocol knows a state that takes longer to reach
LIMITS = ["-timeout=10",  # of one input, in seconds: such a one takes a millisecond
          "-malloc_limit_mb=16",  # at once: nothing that was sent justifies it
          "-rss_limit_mb=1024",  # most of it is what the sanitizer keeps of freed memory
          "-print_final_stats=1"]
SANITIZERS = {"ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:"
                              "quarantine_size_mb=16",
              "UBSAN_OPTIONS": "print_stacktrace=1"}
ESCAPES = {"r": b"\r", "n": b"\n", "\\": b"\\"}


def bytes_of(line):
    """What a line of a seed file stands for."""
    def plain(hit):
        return ESCAPES[hit[1]] if hit[1] in ESCAPES else bytes([int(hit[2], 16)])
    parts = re.split(r"(\\(?:[rn\\]|x[0-9a-f]{2}))", line)
    return b"".join(plain(re.fullmatch(r"\\(.)(..)?", part)) if at % 2 else part.encode("ascii")
                    for at, part in enumerate(parts))


def line_of(data):
    known = {value[0]: f"\\{name}" for name, value in ESCAPES.items()}
    return "".join(known.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
                   for byte in data)


def seeds_of(target):
    lines = (SEEDS / f"{target}.txt").read_text("ascii").splitlines()
    return [bytes_of(line) for line in lines if not line.startswith("#")]


def fuzz(program, corpus, options):
    target = program.name
    for number, seed in enumerate(seeds_of(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    found = program.parent / "found"
    found.mkdir(exist_ok=True)
    runs = SMOKE.get(target, SMOKE_ELSE) if options.smoke else options.runs
    how_long = [f"-runs={runs}", "-seed=1"] if runs else []
    if options.seconds:
        how_long.append(f"-max_total_time={options.seconds}")
    ran = subprocess.run([program, *LIMITS, f"-max_len={options.max_len}", *how_long,
                          f"-artifact_prefix={found}/{target}-", corpus],
                         env=os.environ | SANITIZERS, text=True, errors="replace",
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    number = re.search(r"^stat::number_of_executed_units: (\d+)", ran.stderr, re.M)
    speed = re.search(r"^stat::average_exec_per_sec: +(\d+)", ran.stderr, re.M)
    covered = re.findall(r" cov: (\d+) ", ran.stderr)
    print(f"{target:18} {int(number[1]) if number else 0:>11,} inputs, "
          f"{int(speed[1]) if speed else 0:>7,} a second, "
          f"{covered[-1] if covered else '?':>5} edges: {'failed' if ran.returncode else 'well'}",
          flush=True)
    if ran.returncode == 0:
        return True
    print(ran.stderr[-6000:])
    if kept := re.search(r"Test unit written to (.*)", ran.stderr):
        print(f"{kept[1]} is, as a line of test/fuzz/seeds/{target}.txt,\n"
              f"{line_of(pathlib.Path(kept[1]).read_bytes())}")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("what", nargs="*", help="targets, and how many seconds for each")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where the programs are")
    parser.add_argument("--smoke", action="store_true", help="a fixed number of runs")
    parser.add_argument("--runs", type=int, metavar="N", help="so many runs of each target")
    parser.add_argument("--max-len", type=int, default=MAX_LEN, metavar="BYTES",
                        help=f"of an input ({MAX_LEN}); short ones are faster")
    options = parser.parse_intermixed_args()
    known = sorted(path.stem for path in SEEDS.glob("*.txt"))
    targets = [word for word in options.what if not word.isdigit()] or known
    is_counted = options.smoke or options.runs
    options.seconds = next((int(word) for word in options.what if word.isdigit()),
                           None if is_counted else SECONDS)
    if unknown := set(targets) - set(known):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(known)}")

    well = True
    for target in targets:
        if is_counted:
            with tempfile.TemporaryDirectory() as corpus:
                well &= fuzz(options.build / target, pathlib.Path(corpus), options)
        else:
            corpus = options.build / "corpus" / target
            corpus.mkdir(parents=True, exist_ok=True)
            well &= fuzz(options.build / target, corpus, options)
    return not well


if __name__ == "__main__":
    sys.exit(main())
