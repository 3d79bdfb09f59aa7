#!/usr/bin/env python3
"""How long a user waits for the compiler: an ice program against Asio's textbook one.

Compiles the two files in turn (A B A B ...), so that a busy machine slows both, and prints the
median of the pairs' ratios. Flags are those of an ordinary user: -std=c++20 -O2, no ccache, no
precompiled header. CPU time (user + system) of the compiler is what counts, not the clock.
"""

import argparse
import os
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="apps/tutorial/1_echo.cpp", help="the ice program")
    parser.add_argument("--theirs", default="bench/asio_echo.cpp", help="the yardstick")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parser.add_argument("--flags", default="-std=c++20 -O2 -DASIO_STANDALONE -pthread",
                        help="compiler flags of both files (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=7, help="measured pairs (default: 7)")
    parser.add_argument("--goal", type=float, default=0.6,
                        help="largest ratio that passes (default: %(default)s)")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs must be at least 1")
    return options


def seconds(compiler, flags, source, folder):
    """CPU seconds of one compilation."""
    command = [*shlex.split(compiler), *shlex.split(flags), "-I", str(ROOT / "include"),
               "-c", str(ROOT / source), "-o", os.path.join(folder, "out.o")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compiled(compiler, flags, source):
    """The same, with nothing kept."""
    with tempfile.TemporaryDirectory() as folder:
        return seconds(compiler, flags, source, folder)


def main():
    options = arguments()
    print(f"{options.compiler} {options.flags} -c")
    print(f"pair  {options.ours}  {options.theirs}  ratio   (CPU seconds)")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        def compile_one(source):
            return seconds(options.compiler, options.flags, source, folder)

        compile_one(options.ours)  # the first reads the headers from disk: not counted
        compile_one(options.theirs)
        for pair in range(1, options.pairs + 1):
            ours, theirs = compile_one(options.ours), compile_one(options.theirs)
            ratios.append(ours / theirs)
            print(f"{pair:4}  {ours:{len(options.ours)}.2f}  {theirs:{len(options.theirs)}.2f}"
                  f"  {ratios[-1]:.2f}", flush=True)

    median = statistics.median(ratios)
    met = median <= options.goal
    print(f"median ratio {median:.2f} (from {min(ratios):.2f} to {max(ratios):.2f}):"
          f" goal of {options.goal:g} {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        sys.exit(f"compile_time.py: {error}")
