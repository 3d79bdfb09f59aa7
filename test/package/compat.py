#!/usr/bin/env python3
"""The unit tests with what Debian has newest: its unstable's g++, Asio and fmt, in a chroot.

Needs root. Debian 12's own (g++ 12, Asio 1.22.1, fmt 9.1) are what `./run test` uses; its newest
Clang is the other half of `./run compat`.
"""

import os
import sys

from chroot import Chroot
from user import JOBS, ROOT

PACKAGES = ("g++ cmake ninja-build libasio-dev libfmt-dev libcli11-dev nlohmann-json3-dev "
            "libboost-test-dev python3 git").split()


def main():
    if os.geteuid() != 0:
        sys.exit("another Debian can only be made by root")
    debian = Chroot(ROOT / "build" / "chroot" / "compat", "sid")
    debian.install(*PACKAGES)
    for part in ("CMakeLists.txt", "cmake", "include", "lib", "apps", "test"):
        debian.put(ROOT / part, f"/ice/{part}")
    print(debian("g++ --version | head -1; dpkg-query -W libasio-dev libfmt-dev"), end="")
    debian("cd /ice && cmake -G Ninja -B build -DCMAKE_BUILD_TYPE=Debug -DICE_WERROR=ON "
           f"-DICE_BUILD_APPS=OFF -DICE_BUILD_BENCH=OFF && cmake --build build --parallel {JOBS}")
    said = debian("ctest --test-dir /ice/build --output-on-failure --no-tests=error "
                  "-L 'unit|seed|sim'")
    print("\n".join(said.splitlines()[-12:]))


if __name__ == "__main__":
    main()
