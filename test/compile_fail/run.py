#!/usr/bin/env python3
"""The mistakes that the types must refuse. Each case, a .cpp beside this file, opens with lines
`// expect: <sentence>` and holds a mistake and its correct twin:
    #ifdef RIGHT .. #else .. #endif
As it is, it must fail to compile, and each sentence must be in an error or a note of the compiler;
with -DRIGHT it must compile, so that it fails for that mistake and for nothing else.
All cases are compiled together first. A case whose errors do not show then is compiled alone.
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


def together(directory, cases):
    """A source with all cases in it, each in a namespace of its own: one run of the compiler takes
    a fraction of the time of one for each."""
    includes = [line for case in cases for line in case.read_text("utf-8").splitlines()
                if line.startswith("#include ")]
    lines = [*dict.fromkeys(includes)]
    for case in cases:
        lines += ["#pragma GCC diagnostic push", f"namespace {case.stem} {{",
                  f'#include "{case.resolve()}"', "}", "#pragma GCC diagnostic pop"]
    source = Path(directory) / "together.cpp"
    source.write_text("\n".join(lines) + "\n")
    return source


def errors_of(output, cases):
    """What the errors and notes of `output` say, by case. An error belongs to the one case that it
    names: its place, or where it instantiates a template. One that names several is left out."""
    groups, lines = [[]], []
    for line in output.splitlines():
        lines.append(line)
        if DIAGNOSTIC.search(line):
            if "error: " in line:
                groups.append([])
            groups[-1] += lines
            lines = []
    said = {}
    for group in groups[1:]:
        named = [case for case in cases if any(f"{case.resolve()}:" in line for line in group)]
        if len(named) == 1:
            said.setdefault(named[0], []).extend(group)
    return {case: words("\n".join(DIAGNOSTIC.findall("\n".join(group))))
            for case, group in said.items()}


def expected(case):
    return [match[1].strip() for match in itertools.takewhile(
        bool, map(EXPECT.fullmatch, case.read_text("utf-8").splitlines()))]


def unsaid(case, said):
    return [sentence for sentence in expected(case) if words(sentence) not in said]


def judge(command, case, twin_compiles):
    """What is wrong with the case, which is compiled alone; empty if nothing is."""
    if not expected(case):
        return "its first line is not `// expect: <sentence>`"
    if not twin_compiles:
        right, output = compiled([*command, "-DRIGHT"], case)
        if not right:
            return f"the correct twin does not compile:\n{output}"
    wrong, output = compiled(command, case)
    if wrong:
        return "the mistake compiles"
    if missing := unsaid(case, words("\n".join(DIAGNOSTIC.findall(output)))):
        return "\n    ".join(["it fails, but not with:", *missing]) + f"\n{output}"
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
        source = together(directory, cases)
        with_all = pool.map(lambda more: compiled([*command, *more], source), (["-DRIGHT"], []))
        (twins_compile, _), (_, output) = with_all
        said = errors_of(output, cases) if twins_compile else {}
        faults = list(pool.map(
            lambda case: "" if case in said and expected(case) and not unsaid(case, said[case])
            else judge(command, case, twins_compile), cases))
    for case, fault in zip(cases, faults):
        print(f"{case.name}: {fault or 'refused, as it should be'}")
    if not cases:
        print("compile_fail: there is no case")
    return not cases or any(faults)


if __name__ == "__main__":
    sys.exit(main())
