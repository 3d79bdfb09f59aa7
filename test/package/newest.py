#!/usr/bin/env python3
"""ice and the project in consumer/ with the newest fmt of the package indexes, and the newest Asio.

Conan's and vcpkg's ranges select the newest release, which Debian has only later. fmt comes from
PyPI (requirements.txt names the version; `./run package newest` installs it in build/venv). No
registry has standalone Asio: --asio takes the folder of its headers from whoever has it, and else
Debian's is used, which is said.
"""

import argparse
import os
import pathlib
import re
import shutil
import sys

from user import CONSUMER, HERE, ROOT, build_all, cmake, serves

ASIO = "1.38.2"  # the newest of the indexes


def wanted_fmt():
    text = (HERE / "requirements.txt").read_text("utf-8")
    return re.search(r"^cmeel-fmt==([\d.]+)", text, re.M)[1]


def fmt_prefix(venv):
    """Where pip has put fmt, of exactly the version that is wanted."""
    wanted = wanted_fmt()
    for base in venv.glob("lib/python*/site-packages/cmeel.prefix/include/fmt/base.h"):
        number = int(re.search(r"#define FMT_VERSION (\d+)", base.read_text("utf-8"))[1])
        found = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
        if found == wanted:
            return base.parents[2], found
        sys.exit(f"newest: {venv} has fmt {found}, and not {wanted}")
    sys.exit(f"newest: fmt {wanted} is not in {venv}: pip could not get it")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build" / "venv")
    parser.add_argument("--asio", type=pathlib.Path, help=f"include folder of Asio {ASIO}")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    options = parser.parse_args()
    prefix, fmt = fmt_prefix(options.venv.absolute())
    build = ROOT / "build" / "newest"
    shutil.rmtree(build, ignore_errors=True)  # CMake would remember another fmt
    more = [f"-DAsio_INCLUDE_DIR={options.asio.absolute()}"] if options.asio else []
    said = cmake(CONSUMER, build, options.compiler, f"-DICE_SOURCE={ROOT}",
                 f"-DCMAKE_PREFIX_PATH={prefix}", "-DICE_WERROR=ON",
                 "-DCMAKE_UNITY_BUILD=ON", *more)
    asio = re.search(r'Found Asio: .*found suitable version "([\d.]+)"', said)[1]
    if options.asio and asio != ASIO:
        sys.exit(f"newest: {options.asio} has Asio {asio}, and not {ASIO}")
    cache = (build / "CMakeCache.txt").read_text("utf-8")
    if f"fmt_DIR:PATH={prefix}" not in cache:
        sys.exit(f"newest: CMake took another fmt than that in {prefix}")
    build_all(build)
    serves(build / "consumer")
    print(f"newest: ice and its user were built with fmt {fmt} and Asio {asio}"
          f"{'' if asio == ASIO else f' (Asio {ASIO} is in no registry: give it as --asio)'}")


if __name__ == "__main__":
    main()
