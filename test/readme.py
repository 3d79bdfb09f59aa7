#!/usr/bin/env python3
"""The README and the pages of docs/ show program code: a code block below
`<!-- apps/tutorial/1_echo.cpp [echo] -->` must equal the lines between the two `// [echo]` of that
file, and below a comment without a tag, the whole file (lines that are tags are left out of both).
`--fix` rewrites the blocks.
The tutorial is a staircase: each step adds to the one before, and changes at most two of its lines.
Prints what differs and exits 1 if anything does."""
import argparse
import difflib
import re
import sys
import textwrap
from pathlib import Path

BLOCKS = 5  # a README with fewer has lost its comments
CHANGES = 2  # lines of a step that the next one may edit or remove
STEPS = [f"apps/tutorial/{step}.cpp"
         for step in ("1_echo", "2_logic", "3_protocol", "4_pool", "5_push")]

TAG = re.compile(r"\s*// \[([\w-]+)\]\s*")
SOURCE = re.compile(r"^<!--[ \t]*(?P<path>[\w./-]+\.\w+)(?:[ \t]+\[(?P<tag>[\w-]+)\])?[ \t]*-->\n"
                    r"(?P<block>\s*(?P<fence>```+)[^\n`]*\n(?P<code>.*?)^(?P=fence)[ \t]*$)?",
                    re.M | re.S)


class Missing(Exception):
    """What a block is to be cut from is not there."""


def cut(root, path, tag):
    """The code of one block: without its tag lines and its common indentation."""
    file = root / path
    if not file.is_file():
        raise Missing(f"{path} does not exist")
    lines = file.read_text("utf-8").splitlines()
    if tag:
        marks = [at for at, line in enumerate(lines) if line.strip() == f"// [{tag}]"]
        if len(marks) != 2:
            raise Missing(f"{path} has {len(marks)} lines `// [{tag}]`, not two")
        lines = lines[marks[0] + 1:marks[1]]
    kept = "\n".join(line for line in lines if not TAG.fullmatch(line))
    return textwrap.dedent(kept).strip("\n") + "\n"


def diff(old, new, old_name, new_name):
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(),
                                          old_name, new_name, lineterm=""))


def check_blocks(root, fix):
    """Yields each fault of README.md and docs/; with fix, writes the blocks that differ instead."""
    readme = root / "README.md"
    if not readme.is_file():
        yield "README.md does not exist"
        return
    yield from check_page(root, readme, fix, BLOCKS)
    for page in sorted((root / "docs").glob("*.md")):
        yield from check_page(root, page, fix, 0)


def check_page(root, page, fix, least):
    name = str(page.relative_to(root))
    text = page.read_text("utf-8")
    fixed, end, found = [], 0, 0
    for source in SOURCE.finditer(text):
        path, tag = source["path"], source["tag"]
        where = f"{name}:{text.count(chr(10), 0, source.start()) + 1}"
        if source["block"] is None:
            yield f"{where}: no code block follows the comment for {path}"
            continue
        found += 1
        try:
            wanted = cut(root, path, tag)
        except Missing as fault:
            yield f"{where}: {fault}"
            continue
        if source["code"] != wanted:
            if fix:
                print(f"{where}: rewritten from {path}")
            else:
                of = f"{path} [{tag}]" if tag else path
                yield f"{where}: the block differs\n{diff(source['code'], wanted, where, of)}"
        fixed += [text[end:source.start("code")], wanted]
        end = source.end("code")
    if fix:
        page.write_text("".join(fixed) + text[end:], "utf-8")
    if found < least:
        yield f"{name}: {found} code blocks name their file, at least {least} should"


def statements(file):
    """What a step says, however it is indented: neither blank lines, comments nor tags."""
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("//")]


def check_steps(root):
    """Yields each step that takes away more of the step before than a reader can follow."""
    yield from (f"{step} does not exist" for step in STEPS if not (root / step).is_file())
    for before, after in zip(STEPS, STEPS[1:]):
        if not ((root / before).is_file() and (root / after).is_file()):
            continue
        old, new = statements(root / before), statements(root / after)
        changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        removed = [line for kind, first, last, _, _ in changes if kind in ("replace", "delete")
                   for line in old[first:last]]
        if len(removed) > CHANGES:
            yield "\n    - ".join([f"{after}: changes {len(removed)} lines of {before}, "
                                   f"at most {CHANGES}:", *removed])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--fix", action="store_true", help="rewrite the blocks")
    options = parser.parse_args(arguments)
    faults = [*check_blocks(options.root, options.fix), *check_steps(options.root)]
    print("\n".join(faults) or "readme: every block is program code, every step a small one")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
