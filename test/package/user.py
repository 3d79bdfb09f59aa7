"""What the tests of packages share: they build the user's project in consumer/, and talk to it."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONSUMER = HERE / "consumer"
VERSION = ".".join(re.findall(r"#define ICE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
                              (ROOT / "include" / "ice" / "version.hpp").read_text("utf-8")))
JOBS = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 2)


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


def serves(*program):
    """The program answers a request, refuses a wrong one, and ends well when it is told to."""
    port, upstream = free_port(), free_port()
    with subprocess.Popen([*program, str(port), str(upstream)]) as server:
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


# What a user's file is compiled with who asks for a Release build and links ice::ice, and no more.
EXPECTED = re.compile(
    r"-O3|-DNDEBUG|-std=(gnu|c)\+\+20|-m64|-pthread"  # CMake, Conan and Threads
    r"|-DASIO_STANDALONE|-DASIO_HAS_STD_ALIGNED_ALLOC=1|-DASIO_HAS_CO_AWAIT=1|-DFMT_SHARED"
    r"|-I.*|-isystem|-o|-c|-M[DTF]")


def no_flags_leak(build):
    """A user's file is compiled without ice's warnings, protections and private definitions."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    ours = [c["command"] for c in commands if c["file"].endswith("consumer/main.cpp")]
    if len(ours) != 1:
        sys.exit("main.cpp is not in compile_commands.json")
    leaks = [word for word in shlex.split(ours[0])[1:]
             if word.startswith("-") and not EXPECTED.fullmatch(word)]
    if leaks:
        sys.exit(f"flags of ice leak into its user's: {' '.join(leaks)}")
