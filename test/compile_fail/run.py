#!/usr/bin/env python3
"""The mistakes that the types must refuse. Each case, a .cpp beside this file, opens with lines
`// expect: <sentence>` and holds a mistake and its correct twin:
    #ifdef RIGHT .. #else .. #endif
As it is, it must fail to compile, and each sentence must be in an error or a note of the compiler;
with -DRIGHT it must compile, so that it fails for that mistake and for nothing else.
Prints a line for each case and exits 1 if any is wrong, or if there is none."""
import argparse
import itertools
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

ALWAYS = ["-std=c++20", "-fdiagnostics-color=never"]
AT_ONCE = 2  # one Asio compilation may take a gigabyte
EXPECT = re.compile(r"// expect: *(\S.*)")
DIAGNOSTIC = re.compile(r"(?:error|note): (.*)")  # not the source lines quoted below them


def words(text):
    return " ".join(text.split())


def compiled(command, case):
    """Whether it compiles, and what the compiler says in plain quotes."""
    done = subprocess.run([*command, str(case)], capture_output=True, text=True, errors="replace",
                          env={**os.environ, "LC_ALL": "C"})
    return done.returncode == 0, done.stdout + done.stderr


def precompile(command, directory):
    """The command with ice.hpp parsed once for all cases, which is most of the work of each."""
    header = Path(directory) / "all.hpp"
    header.write_text("#include <ice/ice.hpp>\n")
    subprocess.run([*command, "-x", "c++-header", "-o", f"{header}.gch", str(header)], check=True)
    return [*command, "-fsyntax-only", "-include", str(header)]


def twins_compile(command, cases, directory):
    """Whether all correct twins compile together, each in a namespace of its own. It takes one run
    of the compiler for all of them; if they do not, each is compiled alone, to name the culprit."""
    together = Path(directory) / "twins.cpp"
    includes = [line for case in cases for line in case.read_text("utf-8").splitlines()
                if line.startswith("#include ")]
    together.write_text("\n".join(dict.fromkeys(includes)) + "".join(
        f'\nnamespace {case.stem} {{\n#include "{case.resolve()}"\n}}' for case in cases) + "\n")
    return compiled([*command, "-DRIGHT"], together)[0]


def judge(command, case, twin_compiles):
    """What is wrong with the case; empty if nothing is."""
    lines = case.read_text("utf-8").splitlines()
    sentences = [match[1].strip() for match in
                 itertools.takewhile(bool, map(EXPECT.fullmatch, lines))]
    if not sentences:
        return "its first line is not `// expect: <sentence>`"
    if not twin_compiles:
        right, output = compiled([*command, "-DRIGHT"], case)
        if not right:
            return f"the correct twin does not compile:\n{output}"
    wrong, output = compiled(command, case)
    if wrong:
        return "the mistake compiles"
    said = words("\n".join(DIAGNOSTIC.findall(output)))
    unsaid = [sentence for sentence in sentences if words(sentence) not in said]
    if unsaid:
        return "\n    ".join(["it fails, but not with:", *unsaid]) + f"\n{output}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", type=Path, help="instead of every .cpp beside this")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "c++"))
    parser.add_argument("--flags", default=[], action="append", metavar='"-Iinclude .."',
                        help="of the compiler, as in a shell; write --flags=.. ; may be repeated")
    options = parser.parse_args()
    command = [options.compiler, *ALWAYS, *shlex.split(" ".join(options.flags))]
    cases = options.cases or sorted(Path(__file__).parent.glob("*.cpp"))
    with TemporaryDirectory() as directory, ThreadPoolExecutor(AT_ONCE) as pool:
        command = precompile(command, directory)
        right = twins_compile(command, cases, directory)
        faults = list(pool.map(lambda case: judge(command, case, right), cases))
    for case, fault in zip(cases, faults):
        print(f"{case.name}: {fault or 'refused, as it should be'}")
    if not cases:
        print("compile_fail: there is no case")
    return not cases or any(faults)


if __name__ == "__main__":
    sys.exit(main())
