#!/usr/bin/env python3
"""Compares the shared libraries with those of the last release: `./run package abi`.

A program that was linked to a release must run with the next one of the same soname, 0.y while the
major version is 0. libabigail looks at every symbol, and every layout that the public headers show;
what is new is no break. Without a release there is nothing to compare, and this says so.
"""

import re
import shutil
import subprocess
import sys

from user import ROOT, build_all, run

FOLDER = ROOT / "build" / "abi"
LIBRARIES = ("libice.so", "libice-testing.so")


def last_release():
    found = subprocess.run(["git", "-C", ROOT, "describe", "--tags", "--abbrev=0",
                            "--match", "v[0-9]*"],
                           capture_output=True, text=True, check=False)
    return found.stdout.strip()


def soname(tree):
    header = (tree / "include" / "ice" / "version.hpp").read_text("utf-8")
    major, minor = re.findall(r"#define ICE_VERSION_(?:MAJOR|MINOR) (\d+)", header)
    return f"{major}.{minor}"


def sources(commit):
    """What was committed, in a folder of its own."""
    tree = FOLDER / commit
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    run("git", "-C", ROOT, "archive", "-o", FOLDER / "sources.tar", commit)
    run("tar", "-xf", FOLDER / "sources.tar", "-C", tree)
    return tree


def libraries(tree, build):
    # As a distribution does; the names of types are in the debug information.
    run("cmake", "-S", tree, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        "-DBUILD_SHARED_LIBS=ON", "-DICE_BUILD_TESTS=OFF", "-DICE_BUILD_APPS=OFF",
        "-DICE_BUILD_BENCH=OFF")
    build_all(build)


def breaks(old_tree, old, new):
    """What abidiff says of one library, or nothing."""
    headers = ["--headers-dir1", old_tree / "include", "--headers-dir2", ROOT / "include"]
    seen = subprocess.run(["abidiff", "--no-added-syms", "--drop-private-types", *headers,
                           old, new], capture_output=True, text=True, check=False)
    return seen.returncode and seen.stdout + seen.stderr


def main():
    tag = last_release()
    if not tag:
        print("abi: no release is tagged yet, so there is nothing to compare")
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    tree = sources(tag)
    if soname(tree) != soname(ROOT):
        print(f"abi: {soname(ROOT)} need not be compatible with {tag}, which is {soname(tree)}")
        return
    libraries(tree, FOLDER / "old")
    libraries(ROOT, FOLDER / "new")
    broken = [said for name in LIBRARIES
              if (said := breaks(tree, FOLDER / "old" / name, FOLDER / "new" / name))]
    if broken:
        sys.exit("\n".join([f"abi: a program made with {tag} may break:", *broken]))
    print(f"abi: {', '.join(LIBRARIES)} are compatible with {tag}")


if __name__ == "__main__":
    main()
