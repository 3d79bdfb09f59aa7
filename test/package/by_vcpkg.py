#!/usr/bin/env python3
"""Uses ice as a stranger does who has vcpkg, as far as that can be tried without vcpkg.

vcpkg is only to be had from its own site, so a STAND-IN of ours (vcpkg_stand_in.cmake) runs the
port; what it makes is then used by the project in consumer/. That does not prove that the real
vcpkg takes the port: who has it runs
    vcpkg/overlay.py build/ports
    vcpkg install ice-cpp-ice --overlay-ports=build/ports [--overlay-ports=vcpkg/system-ports]
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import sys

from user import CONSUMER, ROOT, VERSION, build_all, cmake, no_flags_leak, run, serves

PORTS = {"ports/ice-cpp-ice": VERSION, "system-ports/asio": None, "system-ports/fmt": None}


def check_manifest(folder, version):
    manifest = json.loads((folder / "vcpkg.json").read_text("utf-8"))
    if manifest["name"] != folder.name or not manifest["description"]:
        sys.exit(f"{folder}/vcpkg.json is the manifest of another port")
    if version and manifest["version"] != version:
        sys.exit(f"{folder}/vcpkg.json says {manifest['version']}, version.hpp {version}")
    if not (folder / "portfile.cmake").is_file():
        sys.exit(f"{folder} has no portfile.cmake")


def abi_of(port):
    """What decides whether vcpkg builds a port or takes it from its cache: the port's files."""
    files = sorted(path for path in port.rglob("*") if path.is_file())
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def follows_the_sources(folder):
    """The overlay is another port as soon as one byte of the sources is another, and not before."""
    run(sys.executable, ROOT / "vcpkg" / "overlay.py", folder / "ports")
    first = abi_of(folder / "ports")
    tree = folder / "changed"
    for name in ("CMakeLists.txt", "LICENSE", "cmake", "include", "lib", "vcpkg"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tree / name)
    run(sys.executable, tree / "vcpkg" / "overlay.py", folder / "changed ports")
    if abi_of(folder / "changed ports") != first:
        sys.exit("the same sources make another port: vcpkg would build them again")
    with open(tree / "lib" / "server" / "server.cpp", "a", encoding="utf-8") as source:
        source.write("// changed\n")
    run(sys.executable, tree / "vcpkg" / "overlay.py", folder / "changed ports")
    if abi_of(folder / "changed ports") == first:
        sys.exit("vcpkg would serve a stale binary: a changed source does not change the port")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "vcpkg stand-in",
                        help="is emptied, and holds what is built")
    folder = parser.parse_args().folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    for port, version in PORTS.items():
        check_manifest(ROOT / "vcpkg" / port, version)
    follows_the_sources(folder)
    run("cmake", f"-DFOLDER={folder}", f"-DPORT_FOLDER={folder / 'ports' / 'ice-cpp-ice'}",
        "-P", ROOT / "test" / "package" / "vcpkg_stand_in.cmake")

    build = folder / "consumer"
    cmake(CONSUMER, build, "g++", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
          f"-DCMAKE_PREFIX_PATH={folder / 'installed'}")
    build_all(build)
    no_flags_leak(build)
    serves(build / "consumer")
    run(build / "simulated")
    print("the port was run by a stand-in for vcpkg, and what it made was used")


if __name__ == "__main__":
    main()
