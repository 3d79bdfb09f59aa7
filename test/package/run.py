#!/usr/bin/env python3
"""Uses ice as a stranger does: the project in consumer/ is built against it and must serve.

  static        install this build, move it (the package must be relocatable), find_package;
                and a load generator by ice::bench
  shared        the same for a shared and hardened build
  subdirectory  add_subdirectory: nothing of ice is installed, and none of its flags leak
  pkgconfig     no CMake on the user's side: the compiler and `pkg-config ice-cpp`

The prefix has a space in its name. Nothing outside of a temporary folder is written.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JOBS = str(os.cpu_count() or 2)


def run(*command, fails=False, **options):
    """Runs a command; its output is shown only if it does what it should not."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if (done.returncode != 0) != fails:
        sys.exit(f"{shlex.join(command)}\n{done.stdout}\nexit code {done.returncode}")
    return done.stdout


def cmake(source, build, compiler, *options, **how):
    return run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
               f"-DCMAKE_CXX_COMPILER={compiler}", *options, **how)


def build_all(build):
    said = run("cmake", "--build", build, "--parallel", JOBS)
    if "warning:" in said:
        sys.exit(f"a user's build warns:\n{said}")


def install(build, folder):
    """Installs to one place and moves it to another, which is what packagers do."""
    first, prefix = folder / "first place", folder / "second place"
    run("cmake", "--install", build, "--prefix", first)
    first.rename(prefix)
    for path in prefix.rglob("*"):
        if path.suffix in (".cmake", ".pc") and str(ROOT) in path.read_text(encoding="utf-8"):
            sys.exit(f"{path.name} names the source tree: the package cannot be moved")
    return prefix


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, server):
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            time.sleep(0.05)  # it has not got to listen() yet
    sys.exit(f"nothing listens on port {port} (exit code {server.poll()})")


def serves(program):
    """The program answers a request, refuses a wrong one, and ends well when it is told to."""
    port, upstream = free_port(), free_port()
    with subprocess.Popen([program, str(port), str(upstream)]) as server:
        try:
            with connect(port, server) as peer, peer.makefile("rb") as lines:
                peer.sendall(b"gettime\r\nnonsense\r\n")
                time_line, wrong = lines.readline(), lines.readline()
        finally:
            server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=20)
    if not re.match(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*\r\n$", time_line):
        sys.exit(f"gettime was answered by {time_line!r}")
    if wrong != b"command wrong\r\n":
        sys.exit(f"a wrong request was answered by {wrong!r}")
    if code != 0:
        sys.exit(f"exit code {code} after SIGTERM")


def no_flags_leak(build):
    """A user's file is compiled without ice's warnings and definitions."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    ours = [c["command"] for c in commands if c["file"].endswith("consumer/main.cpp")]
    if len(ours) != 1:
        sys.exit("main.cpp is not in compile_commands.json")
    leaks = re.findall(r"\s(-W\S+|-DASIO_NO_DEPRECATED|-fsanitize\S*|-fstack\S*)", ours[0])
    if leaks:
        sys.exit(f"flags of ice leak into its user's: {' '.join(leaks)}")


def by_find_package(prefix, folder, compiler):
    build = folder / "consumer"
    options = [f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    refusal = cmake(HERE / "consumer", folder / "refused", compiler, *options, "-DICE_WANTED=99.0",
                    fails=True)
    if "99.0" not in refusal:
        sys.exit(f"a wrong version was refused for another reason:\n{refusal}")
    cmake(HERE / "consumer", build, compiler, *options)
    build_all(build)
    no_flags_leak(build)
    serves(build / "consumer")


def generates_load(program, server):
    """The program loads the echo server and finds every reply right."""
    with subprocess.Popen([server, "0"], stdout=subprocess.PIPE, text=True) as echo:
        try:
            address = echo.stdout.readline().split()[-1]
            counted = json.loads(run(program, address, "-n", "1000", "-q", "--json", "-"))
        finally:
            echo.terminate()
    if counted["runs"][0]["requests"]["completed"] != 1000:
        sys.exit(f"the load generator has counted {counted['runs'][0]['requests']}")


def static(options, folder):
    prefix = install(options.build, folder)
    by_find_package(prefix, folder, options.compiler)
    server = pathlib.Path(options.build, "bench/raw_echo")
    if not server.exists():
        print("built without bench/: ice::bench is not tried")
        return
    build = folder / "generator"
    example = ROOT / "bench/examples/netstring.cpp"
    cmake(HERE / "generator", build, options.compiler, f"-DCMAKE_PREFIX_PATH={prefix}",
          f"-DSOURCE={example}")
    build_all(build)
    generates_load(build / "generator", server)


def shared(options, folder):
    build = folder / "shared"
    cmake(ROOT, build, options.compiler, "-DBUILD_SHARED_LIBS=ON", "-DICE_HARDEN=ON",
          "-DICE_WERROR=ON", "-DICE_BUILD_TESTS=OFF", "-DICE_BUILD_APPS=OFF",
          "-DICE_BUILD_BENCH=OFF")
    build_all(build)
    prefix = install(build, folder)
    if not list(prefix.glob("lib*/**/libice.so.*.*")):
        sys.exit("no libice.so with a version was installed")
    by_find_package(prefix, folder, options.compiler)


def subdirectory(options, folder):
    build, prefix = folder / "consumer", folder / "prefix"
    cmake(HERE / "consumer", build, options.compiler, f"-DICE_SOURCE={ROOT}",
          "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    build_all(build)
    no_flags_leak(build)
    run("cmake", "--install", build, "--prefix", prefix)
    if prefix.exists():
        sys.exit("installing a project installs the ice inside it")
    serves(build / "consumer")


def pkgconfig(options, folder):
    prefix = install(options.build, folder)
    places = os.pathsep.join(str(pc.parent) for pc in prefix.glob("lib*/**/ice-cpp.pc"))
    environment = os.environ | {"PKG_CONFIG_PATH": places}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "ice-cpp", env=environment))
    program = folder / "consumer"
    # Asio 1.22 knows Clang's coroutines only when told.
    clang = ["-DASIO_HAS_CO_AWAIT=1"] if "clang" in os.path.basename(options.compiler) else []
    run(options.compiler, "-std=c++20", *clang, HERE / "consumer" / "main.cpp", "-o", program,
        *flags)
    serves(program)


WAYS = {way.__name__: way for way in (static, shared, subdirectory, pkgconfig)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--build", default="build/release", help="a finished build to install")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ice package ") as folder:
        WAYS[options.way](options, pathlib.Path(folder))


if __name__ == "__main__":
    main()
