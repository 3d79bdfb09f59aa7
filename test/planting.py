"""Plants bugs in ice's own code, for the tables of bugs that tests must find: */mutants.py here.

A line of the product that a planted bug changes ends with a marker:

    if (begun_ == never) begun_ = now;  // mutant: first_byte

A table says what becomes of that line: it goes, its condition always holds, something is added.
So a bug survives when things around it are renamed or moved, also to another file. Code that a
table adds is compiled: if it no longer fits, the build of that mutant says so. A marker that is
missing, or there twice, is an error here and in planting_test.py."""
import argparse
import functools
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(r"[ \t]*// mutant: (\w+)$", re.M)


# -- what can become of a marked line; `line` is its code without the marker

def gone(line):
    return ""


def instead(text):
    return lambda line: text


def before(text):
    return lambda line: f"{text}\n{line}"


def after(text):
    return lambda line: f"{line}\n{text}"


def condition(change):
    """Changes the condition of an `if` or `while`, or else the one operand of && or || that the
    line is. It must end in this line."""
    def changed(line):
        if found := re.match(r"\s*(\} else )?(if|while) \(", line):
            begin, depth = found.end(), 1
            for end in range(begin, len(line)):
                depth += {"(": 1, ")": -1}.get(line[end], 0)
                if depth == 0:
                    return f"{line[:begin]}{change(line[begin:end])}{line[end:]}"
            raise ValueError(f"its condition does not end in this line: {line}")
        left, operand, right = re.fullmatch(r"(\s*)(.*?)((?: &&| \|\||;)?)", line).groups()
        if operand.count("(") != operand.count(")"):
            raise ValueError(f"its condition does not stand in this line alone: {line}")
        return f"{left}({change(operand)}){right}"
    return changed


always = condition(lambda text: "true")
never = condition(lambda text: "false")


def either(more):  # the condition, or this
    return condition(lambda text: f"({text}) || ({more})")


def include(header):
    """Not a change of the marked line: its file includes this, too."""
    return ("include", header)


# -- finding and planting

@functools.cache
def marked():
    """Where each marker is: name -> files."""
    found = {}
    for folder in ("include", "lib"):
        for path in sorted((ROOT / folder).rglob("*.?pp")):
            for hit in MARKER.finditer(path.read_text()):
                found.setdefault(hit[1], []).append(str(path.relative_to(ROOT)))
    return found


class Table:
    """`mutants`: name -> (what is wrong, {marker: change or changes}). `holds`: which .cpp files
    are compiled again for a changed header. `trial`: the arguments of a program that looks for its
    bug. It prints `failed` then, with two groups: where, and what it has seen."""

    def __init__(self, mutants, holds, trial, failed=r"^FAILED seed (\d+): (.*)"):
        self.mutants, self.holds, self.trial, self.failed = mutants, holds, trial, failed

    def files(self, name):
        """marker -> file of those that the mutant changes."""
        where = marked()
        for marker in self.mutants[name][1]:
            if len(where.get(marker, [])) != 1:
                sys.exit(f"mutant {name}: the marker `// mutant: {marker}` is in "
                         f"{where.get(marker) or 'no file'}, and has to be in one line")
        return {marker: where[marker][0] for marker in self.mutants[name][1]}

    def sources(self, name):
        """What has to be compiled again: changed .cpp files, and who holds changed headers."""
        found = set()
        for file in self.files(name).values():
            if not file.endswith(".cpp") and file not in self.holds:
                sys.exit(f"mutant {name}: its table does not say who holds the code of {file}")
            found.update([file] if file.endswith(".cpp") else self.holds[file])
        return sorted(found)

    def planted(self, name):
        """file -> its text with the bug in it."""
        texts = {file: (ROOT / file).read_text() for file in self.sources(name)}
        for marker, file in self.files(name).items():
            text = texts.get(file) or (ROOT / file).read_text()
            line = re.search(rf"^(.*?)[ \t]*// mutant: {marker}$", text, re.M)
            code = line[1]
            changes = self.mutants[name][1][marker]
            for change in changes if isinstance(changes, list) else [changes]:
                if isinstance(change, tuple):
                    text = f"#include <{change[1]}>\n{text}"
                else:
                    code = change(code)
            texts[file] = text.replace(line[0], code)
        return texts

    def plant(self, name, to, sources):
        if sources != self.sources(name):
            sys.exit(f"mutant {name}: a marker of it is in another file now: run cmake again")
        for file, text in self.planted(name).items():
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            if not (to / file).exists() or (to / file).read_text() != text:
                (to / file).write_text(text)  # else nothing is compiled again

    def find(self, program):
        """Where it found what, or None; and the seconds that took."""
        begin = time.monotonic()
        try:
            ran = subprocess.run([program, *self.trial], capture_output=True, text=True,
                                 errors="replace", timeout=300)
        except subprocess.TimeoutExpired:
            return None, 300
        failed = re.search(self.failed, ran.stdout, re.M)
        sanitizer = re.search(r"^SUMMARY: (.*)|(runtime error: .*)", ran.stderr, re.M)
        found = failed and (failed[1], sanitizer[0] if sanitizer else failed[2])
        return found, time.monotonic() - begin

    def run(self, programs, names):
        """Two programs at a time, until one of them finds nothing."""
        print(f"{'mutant':<30} {'where':>8}  found by")
        with ThreadPoolExecutor(2) as pool:
            trials = [pool.submit(self.find, programs / name) for name in names]
            for name, trial in zip(names, trials):
                found, seconds = trial.result()
                where, what = found or ("none", "NOT FOUND")
                print(f"{name:<30} {where:>8}  {what} ({seconds:.1f} s)", flush=True)
                if not found:
                    pool.shutdown(wait=False, cancel_futures=True)
                    return f"not found: {name}"
        return 0

    def main(self):
        parser = argparse.ArgumentParser()
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list")
        planting = verbs.add_parser("plant")
        planting.add_argument("name")
        planting.add_argument("to", type=Path)
        planting.add_argument("sources", nargs="+")
        running = verbs.add_parser("run")
        running.add_argument("programs", type=Path)
        running.add_argument("names", nargs="*", default=list(self.mutants))
        told = parser.parse_args()
        if told.verb == "list":
            for name in self.mutants:
                print(";".join([name, *self.sources(name)]))
            return 0
        if told.verb == "plant":
            return self.plant(told.name, told.to, told.sources)
        return self.run(told.programs, told.names)
