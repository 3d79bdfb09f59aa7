#!/usr/bin/env python3
"""The tests with what Debian has newest: its unstable's g++, Asio and fmt, in a chroot.

What is tried is a clone: what is not committed is not in it. The arguments are ctest's. Needs root.
Debian 12's own (g++ 12, Asio 1.22.1, fmt 9.1) are what `./run test` uses; its newest Clang is the
other half of `./run compat`, which says what is left out, and why.
"""

import os
import shlex
import sys

from chroot import Chroot
from user import JOBS, ROOT, run

PACKAGES = ("g++ cmake ninja-build libasio-dev libfmt-dev libcli11-dev nlohmann-json3-dev "
            "libboost-test-dev python3 python3-pytest python3-pexpect python3-matplotlib "
            "python3-jsonschema git inetutils-telnet putty-tools busybox netcat-openbsd strace "
            "iproute2 redis-server redis-tools").split()


# What unstable had when this was written: a mirror with less is out of date.
FLOORS = {"libasio-dev": "1:1.36", "libfmt-dev": "11.1"}


def main():
    if os.geteuid() != 0:
        sys.exit("another Debian can only be made by root")
    debian = Chroot(ROOT / "build" / "chroot" / "compat", "sid")
    debian.install(*PACKAGES)
    run("git", "clone", "--no-hardlinks", ROOT, debian.root / "ice")
    print(debian("g++ --version | head -1; dpkg-query -W libasio-dev libfmt-dev"), end="")
    for package, floor in FLOORS.items():
        debian(f"v=$(dpkg-query -W -f='${{Version}}' {package}); "
               f"dpkg --compare-versions \"$v\" ge {floor} || "
               f"{{ echo \"compat: {package} $v, at least {floor}: an old mirror?\"; exit 1; }}")
    debian("cd /ice && cmake -G Ninja -B build -DCMAKE_BUILD_TYPE=Debug "
           f"-DCMAKE_CXX_FLAGS_DEBUG=-g1 -DICE_WERROR=ON && cmake --build build --parallel {JOBS}")
    said = debian(f"ctest --test-dir /ice/build --parallel {JOBS} {shlex.join(sys.argv[1:])}")
    print(said, end="")


if __name__ == "__main__":
    main()
