#!/usr/bin/env python3
"""Uses ice as a stranger does who has vcpkg, as far as that can be tried without vcpkg.

vcpkg is only to be had from its own site, so a STAND-IN of ours (vcpkg_stand_in.cmake) runs the
port; what it makes is then used by the project in consumer/. That does not prove that the real
vcpkg takes the port: who has it runs
    vcpkg install ice --overlay-ports=vcpkg/ports [--overlay-ports=vcpkg/system-ports]
"""

import argparse
import json
import pathlib
import shutil
import sys

from user import CONSUMER, ROOT, VERSION, build_all, cmake, no_flags_leak, run, serves

PORTS = {"ports/ice": VERSION, "system-ports/asio": None, "system-ports/fmt": None}


def check_manifest(folder, version):
    manifest = json.loads((folder / "vcpkg.json").read_text("utf-8"))
    if manifest["name"] != folder.name or not manifest["description"]:
        sys.exit(f"{folder}/vcpkg.json is the manifest of another port")
    if version and manifest["version"] != version:
        sys.exit(f"{folder}/vcpkg.json says {manifest['version']}, version.hpp {version}")
    if not (folder / "portfile.cmake").is_file():
        sys.exit(f"{folder} has no portfile.cmake")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "vcpkg stand-in",
                        help="is emptied, and holds what is built")
    folder = parser.parse_args().folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    for port, version in PORTS.items():
        check_manifest(ROOT / "vcpkg" / port, version)
    run("cmake", f"-DFOLDER={folder}", f"-DPORT_FOLDER={ROOT / 'vcpkg' / 'ports' / 'ice'}",
        "-P", ROOT / "test" / "package" / "vcpkg_stand_in.cmake")

    build = folder / "consumer"
    cmake(CONSUMER, build, "g++", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
          f"-DCMAKE_PREFIX_PATH={folder / 'installed'}")
    build_all(build)
    no_flags_leak(build)
    serves(build / "consumer")
    print("the port was run by a stand-in for vcpkg, and what it made was used")


if __name__ == "__main__":
    main()
