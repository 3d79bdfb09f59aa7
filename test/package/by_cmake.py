#!/usr/bin/env python3
"""Uses ice as a stranger does: the project in consumer/ is built against it and must serve.

  shared_build  what the other ways take when the library is to be shared; ctest makes it first
  find_package  install, move (the package must be relocatable), find_package
  generator     a user's load generator, against the installed ice::bench
  subdirectory  add_subdirectory: nothing of ice is installed
  fetchcontent  the same by FetchContent, from an archive of the sources
  pkgconfig     no CMake on the user's side: the compiler and `pkg-config ice-cpp`
  flags         what the library is compiled with if nothing is asked for; its protections on arm64
  symbols       a shared library shows what its headers mark with ICE_API, and no more
  refusals      versions of Asio and of ice that will not do, and the reason that is told

No flag of ice may leak into its user's files. All paths have a space in them. Nothing is written
outside of a temporary folder and of --build.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile

from user import CONSUMER, ROOT, build_all, cmake, no_flags_leak, run, serves

LIBRARY = ["-DICE_WERROR=ON", "-DICE_BUILD_TESTS=OFF", "-DICE_BUILD_APPS=OFF",
           "-DICE_BUILD_BENCH=OFF"]
# Sources may be joined, which is faster.
UNITY = {"static": [], "shared": ["-DCMAKE_UNITY_BUILD=ON"]}
COMMANDS = "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"


def shared_build(options, _):
    cmake(ROOT, options.shared_build, options.compiler, "-DBUILD_SHARED_LIBS=ON", "-DICE_HARDEN=ON",
          *LIBRARY)
    build_all(options.shared_build)


def install(options, folder):
    """Installs to one place and moves it to another, which is what packagers do."""
    first, prefix = folder / "first place", folder / "second place"
    build = options.shared_build if options.kind == "shared" else options.build
    run("cmake", "--install", build, "--prefix", first)
    first.rename(prefix)
    for path in prefix.rglob("*"):
        if path.suffix in (".cmake", ".pc") and str(ROOT) in path.read_text(encoding="utf-8"):
            sys.exit(f"{path.name} names the source tree: the package cannot be moved")
    pattern = "lib*/**/libice.so.*.*" if options.kind == "shared" else "lib*/**/libice.a"
    if not list(prefix.glob(pattern)):
        sys.exit(f"no {pattern} was installed")
    return prefix


def find_package(options, folder):
    build, prefix = folder / "build", install(options, folder)
    cmake(CONSUMER, build, options.compiler, f"-DCMAKE_PREFIX_PATH={prefix}", COMMANDS)
    build_all(build)
    no_flags_leak(build)
    serves(build / "consumer")


def generator(options, folder):
    """A load generator by ice::bench loads the echo server and finds every reply right."""
    server = options.build / "bench/raw_echo"
    if not server.exists():
        print("built without bench/: ice::bench is not tried")
        return
    build, source = folder / "build", ROOT / "bench/examples/netstring.cpp"
    cmake(ROOT / "test/package/generator", build, options.compiler, f"-DSOURCE={source}",
          f"-DCMAKE_PREFIX_PATH={install(options, folder)}")
    build_all(build)
    with subprocess.Popen([server, "0"], stdout=subprocess.PIPE, text=True) as echo:
        try:
            address = echo.stdout.readline().split()[-1]
            said = run(build / "generator", address, "-n", "1000", "-q", "--json", "-")
        finally:
            echo.terminate()
    if json.loads(said)["runs"][0]["requests"]["completed"] != 1000:
        sys.exit(f"the load generator said {said}")


def sources(folder):
    """The files of this tree, committed or about to be, in an archive."""
    listed = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    archive = folder / "ice.tar"
    with tarfile.open(archive, "w") as tar:
        for path in listed:
            if path and (ROOT / path).is_file():
                tar.add(ROOT / path, f"ice source/{path}")
    return archive


def inside(options, folder, where, *more):
    build, prefix = folder / "build", folder / "prefix"
    cmake(CONSUMER, build, options.compiler, where, COMMANDS, *more,
          f"-DBUILD_SHARED_LIBS={options.kind == 'shared'}")
    build_all(build)
    no_flags_leak(build)
    run("cmake", "--install", build, "--prefix", prefix)
    if prefix.exists():
        sys.exit("installing a project installs the ice inside it")
    serves(build / "consumer")


def subdirectory(options, folder):
    with tarfile.open(sources(folder)) as tar:
        tar.extractall(folder)
    inside(options, folder, f"-DICE_SOURCE={folder / 'ice source'}", *UNITY[options.kind])


def fetchcontent(options, folder):
    inside(options, folder, f"-DICE_ARCHIVE={sources(folder)}", *UNITY["shared"])


def pkgconfig(options, folder):
    prefix = install(options, folder)
    places = [pc.parent for pc in prefix.glob("lib*/**/ice-cpp.pc")]
    environment = os.environ | {"PKG_CONFIG_PATH": os.pathsep.join(map(str, places))}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "ice-cpp", env=environment))
    program = folder / "consumer"
    # Asio 1.22 knows Clang's coroutines only when told.
    clang = ["-DASIO_HAS_CO_AWAIT=1"] if "clang" in os.path.basename(options.compiler) else []
    libraries = places[0].parent
    run(options.compiler, "-std=c++20", *clang, CONSUMER / "main.cpp", "-o", program, *flags,
        f"-Wl,-rpath,{libraries}")
    serves(program)
    simulated = shlex.split(
        run("pkg-config", "--cflags", "--libs", "ice-cpp-testing", env=environment))
    run(options.compiler, "-std=c++20", *clang, CONSUMER / "simulated.cpp", "-o", program,
        *simulated, f"-Wl,-rpath,{libraries}")
    run(program)


def configured(options, build, *more):
    """What CMake says, the command of each source, and whether it goes through ccache."""
    said = run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", COMMANDS, *LIBRARY, *more,
               env=options.environment)
    listed = json.loads((build / "compile_commands.json").read_text("utf-8"))
    rules = (build / "CMakeFiles/rules.ninja", build / "build.ninja")
    cached = any("/ccache" in path.read_text("utf-8") for path in rules)
    ours = [one["command"] for one in listed if one["file"].startswith(f"{ROOT}/lib/")]
    return said, ours, cached


def flags(options, folder):
    """A release that can be linked into a shared object, and no ccache that nobody asked for."""
    ccache = folder / "bin" / "ccache"
    ccache.parent.mkdir()
    ccache.write_text("#!/bin/sh\nexec \"$@\"\n", "utf-8")
    ccache.chmod(0o755)
    options.environment = {**os.environ, "PATH": f"{ccache.parent}:{os.environ['PATH']}"}
    options.environment.pop("CMAKE_CXX_COMPILER_LAUNCHER", None)
    options.environment.pop("CMAKE_BUILD_TYPE", None)
    compiler = f"-DCMAKE_CXX_COMPILER={options.compiler}"

    said, commands, cached = configured(options, folder / "plain", compiler)
    if "CMAKE_BUILD_TYPE is not set: Release" not in said:
        sys.exit(f"CMake does not say which build type it takes:\n{said}")
    if cached:
        sys.exit("ccache is used, and nobody asked for it")
    for command in commands:
        if "-DNDEBUG" not in command or "-fPIC" not in command:
            sys.exit(f"not a release, or not position-independent:\n{command}")
    _, commands, cached = configured(
        options, folder / "asked", compiler, "-DICE_CCACHE=ON", "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_POSITION_INDEPENDENT_CODE=OFF")
    for command in commands:
        if "-DNDEBUG" in command or "-fPIC" in command or not cached:
            sys.exit(f"what was asked for is not done:\n{command}")

    cross = "aarch64-linux-gnu-g++"
    if not shutil.which(cross):
        print(f"no {cross}: protections on arm64 are not tried")
        return
    # This machine's fmt will do, as nothing is linked.
    fmt = re.search(r"^fmt_DIR:PATH=(.*)", (folder / "plain/CMakeCache.txt").read_text(), re.M)[1]
    _, commands, _ = configured(options, folder / "arm64", f"-DCMAKE_CXX_COMPILER={cross}",
                             "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
                             "-DICE_HARDEN=ON", f"-Dfmt_DIR={fmt}")
    if not all("-mbranch-protection=standard" in command for command in commands):
        sys.exit("arm64 has no branch protection")


def defined(library, *options):
    """The strong symbols of a library, as C++ writes them: not what every user instantiates too."""
    listed = run("nm", "--defined-only", "--demangle", *options, library).splitlines()
    found = (re.fullmatch(r"[0-9a-f]+ [TDBR] (.*)", line) for line in listed)
    return {hit[1] for hit in found if hit}


def noun(symbol):
    """`address` of `ice::address::text() const`, and of `vtable for ice::address`."""
    hit = re.match(r"(?:[\w -]+ (?:for|to) )?ice::(?:testing::|detail::)*(~?\w+)", symbol)
    return hit[1] if hit else symbol


def symbols(options, _):
    headers = "".join(path.read_text("utf-8") for path in (ROOT / "include").rglob("*.hpp"))
    marked = set(re.findall(r"\bICE_API\s[^;{(]*?(\w+)\s*(?:[({]|:[^:])", headers))
    faults = []
    for name in ("libice", "libice-testing"):
        everything = defined(options.build / f"{name}.a")
        shown = defined(options.shared_build / f"{name}.so", "--dynamic")
        if not shown:
            sys.exit(f"{name}.so shows nothing")
        faults += [f"{name}.so shows {symbol}" for symbol in shown if noun(symbol) not in marked]
        for symbol in everything - shown:
            if re.search(rf"\b(class|struct) {noun(symbol)} (final )?[{{:]", headers):
                faults.append(f"{name}.so hides {symbol}")
            elif noun(symbol) in marked and "[clone" not in symbol:
                faults.append(f"{name}.so hides {symbol}")
    if faults:
        sys.exit("\n".join(sorted(faults)))


def refusals(options, folder):
    prefix = install(options, folder)
    said = cmake(CONSUMER, folder / "ice", options.compiler, f"-DCMAKE_PREFIX_PATH={prefix}",
                 "-DICE_WANTED=99.0", fails=True)
    if "99.0" not in said:
        sys.exit(f"a wrong version of ice was refused for another reason:\n{said}")

    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.23)\nproject(user LANGUAGES CXX)\n"
        f'list(APPEND CMAKE_MODULE_PATH "{ROOT}/cmake")\nfind_package(Asio 1.22.1 REQUIRED)\n')
    header = folder / "headers" / "asio" / "version.hpp"
    header.parent.mkdir(parents=True)
    freed = "frees memory that a cancelled co_spawn still uses"
    for number, reason in ((102200, "1.22.1"), (102201, None), (102202, freed), (102801, freed),
                           (102802, None), (103802, None)):
        header.write_text(f"#define ASIO_VERSION {number} // a version\n")
        said = cmake(folder, folder / f"asio {number}", options.compiler, "-Wno-dev",
                     f"-DAsio_INCLUDE_DIR={header.parent.parent}", fails=reason is not None)
        if reason and reason not in " ".join(said.split()):
            sys.exit(f"Asio {number} was refused for another reason:\n{said}")


WAYS = {way.__name__: way for way in (shared_build, find_package, generator, subdirectory,
                                      fetchcontent, pkgconfig, flags, symbols, refusals)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("kind", choices=("static", "shared"))
    parser.add_argument("--build", default=ROOT / "build" / "release", type=pathlib.Path,
                        help="a finished static one; the shared one is made in it")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    options = parser.parse_args()
    options.shared_build = options.build / "package shared"
    with tempfile.TemporaryDirectory(prefix="ice package ") as folder:
        WAYS[options.way](options, pathlib.Path(folder))


if __name__ == "__main__":
    main()
