#!/usr/bin/env python3
"""Makes the port of ice for the sources of this checkout: `vcpkg/overlay.py FOLDER` writes
FOLDER/ice-cpp-ice, for `vcpkg install ice-cpp-ice --overlay-ports=FOLDER`.

It is the registry's port, which takes a release from its tag, with an archive of these sources
beside the portfile instead. vcpkg takes a binary from its cache if no file in the port's folder has
changed, and sees no file outside of it: the archive is what makes it build the sources of today.
Unchanged sources make the same archive, byte for byte.
"""

import argparse
import gzip
import io
import pathlib
import re
import shutil
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PORT = ROOT / "vcpkg" / "ports" / "ice-cpp-ice"
SOURCES = ("CMakeLists.txt", "LICENSE", "cmake", "include", "lib")
FROM_TAG = re.compile(r"vcpkg_from_github\(.*?^\)\n", re.M | re.S)
FROM_ARCHIVE = """vcpkg_extract_source_archive(
    SOURCE_PATH
    ARCHIVE "${CMAKE_CURRENT_LIST_DIR}/ice.tar.gz"
)
"""


def archive(root):
    """The sources as ice.tar.gz: in order, and without times or owners."""
    def plain(member):
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as out:
        for name in SOURCES:
            out.add(root / name, f"ice/{name}", filter=plain)
    return gzip.compress(tar.getvalue(), mtime=0)


def overlay(folder, root=ROOT):
    place = folder / PORT.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(PORT, place)
    portfile = place / "portfile.cmake"
    text, found = FROM_TAG.subn(lambda _: FROM_ARCHIVE, portfile.read_text("utf-8"))
    if found != 1:
        raise SystemExit(f"{portfile} has no vcpkg_from_github")
    portfile.write_text(text, "utf-8")
    (place / "ice.tar.gz").write_bytes(archive(root))
    return place


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    print(f"vcpkg install {PORT.name} --overlay-ports={overlay(parser.parse_args().folder).parent}")


if __name__ == "__main__":
    main()
