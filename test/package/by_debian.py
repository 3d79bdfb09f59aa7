#!/usr/bin/env python3
"""Makes Debian packages of ice and uses them as a stranger does, on a bare Debian 12.

  1. cpack makes libice-cpp0.y and libice-cpp-dev; lintian finds no error in them.
  2. Into a Debian 12 with nothing else (debootstrap; as root only), apt installs both and what they
     depend on. There the project in consumer/ is built by CMake and serves, and the tutorial's
     fourth step is built by pkg-config and tells the time.
"""

import argparse
import os
import pathlib
import re
import sys

from chroot import Chroot
from user import CONSUMER, JOBS, ROOT, build_all, run, serves

# Answers on its fixed ports, in a network of its own.
FOURTH_STEP = """
g++ -std=c++20 4_pool.cpp -o 4_pool $(pkg-config --cflags --libs ice-cpp) || exit
./4_pool & server=$!
for try in $(seq 100); do
    exec 3<>/dev/tcp/127.0.0.1/9999 && break
    sleep 0.1
done 2>/dev/null
printf 'gettime\\r\\n' >&3 && read -r answer <&3 && echo "answer: $answer"
kill -TERM $server && wait $server
"""


def packages(build):
    run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        "-DCMAKE_INSTALL_PREFIX=/usr", "-DBUILD_SHARED_LIBS=ON", "-DICE_DEBIAN=ON",
        "-DICE_HARDEN=ON", "-DICE_WERROR=ON", "-DICE_BUILD_TESTS=OFF", "-DICE_BUILD_APPS=OFF",
        "-DICE_BUILD_BENCH=OFF", "-DCMAKE_SKIP_INSTALL_RPATH=ON")  # Debian forbids one in /usr/lib
    build_all(build)
    for old in build.glob("*.deb"):
        old.unlink()
    run("cpack", cwd=build)
    made = sorted(build.glob("*.deb"))
    if [deb.name.split("_")[0] for deb in made] != ["libice-cpp-dev", f"libice-cpp{soversion()}"]:
        sys.exit(f"cpack made {made}")
    print(run("lintian", "--fail-on", "error", *made), end="")
    return made


def soversion():
    header = (ROOT / "include" / "ice" / "version.hpp").read_text("utf-8")
    return ".".join(re.findall(r"#define ICE_VERSION_(?:MAJOR|MINOR) (\d+)", header))


def use(debs):
    debian = Chroot(ROOT / "build" / "chroot" / "packages")
    for deb in debs:
        debian.put(deb, f"/{deb.name}")
    debian.put(CONSUMER, "/consumer")
    debian.put(ROOT / "apps" / "tutorial" / "4_pool.cpp", "/4_pool.cpp")
    debian.install(*(f"/{deb.name}" for deb in debs), "g++", "cmake", "ninja-build", "pkg-config")

    debian("cmake -G Ninja -S /consumer -B /consumer/build -DCMAKE_BUILD_TYPE=Release && "
           f"cmake --build /consumer/build --parallel {JOBS}")
    serves("chroot", debian.root, "/consumer/build/consumer")

    said = debian(FOURTH_STEP, network=False)
    if not re.search(r"^answer: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", said, re.M):
        sys.exit(f"the tutorial's fourth step said:\n{said}")
    print("on a bare Debian 12 both were installed; a consumer and the fourth step serve there")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "debian")
    debs = packages(parser.parse_args().build)
    if os.geteuid() == 0:
        use(debs)
    else:
        print("not root: the packages were not tried on a bare Debian 12")


if __name__ == "__main__":
    main()
