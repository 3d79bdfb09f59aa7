#!/usr/bin/env python3
"""Makes a release: `./run release X.Y.Z` checks, tests, tags, and builds what is handed out.

  checks     nothing uncommitted; version.hpp, the vcpkg port and the Conan recipe say X.Y.Z;
             CHANGELOG.md has a section of that version with a date; the tag is free
  tests      ./run ci, and the unit tests in an optimised build
  artefacts  build/release-X.Y.Z/: the sources, which must build without a network; the Debian
             packages; an SBOM (SPDX 2.3); SHA256SUMS
  tag        vX.Y.Z, annotated with the section of CHANGELOG.md; pushing it is left to you

With --dry-run neither tests are run nor a tag is made.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPENDENCIES = {"asio": "libasio-dev", "fmt": "libfmt-dev"}  # and the Debian package of each


def run(*command, cwd=ROOT):
    return subprocess.run([str(word) for word in command], cwd=cwd, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def section(changelog, version):
    """What CHANGELOG.md tells of a version that has a date; None if it does not."""
    head = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    hit = re.search(head + r"(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return hit[1].strip() or None if hit else None


def faults(root, version):
    """Yields why this tree cannot be released as that version."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"{version} is no version: X.Y.Z"
        return
    if run("git", "status", "--porcelain", cwd=root):
        yield "there are changes that are not committed"
    header = (root / "include" / "ice" / "version.hpp").read_text("utf-8")
    said = ".".join(re.findall(r"#define ICE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))
    if said != version:
        yield f"version.hpp says {said}"
    port = json.loads((root / "vcpkg" / "ports" / "ice-cpp-ice" / "vcpkg.json").read_text("utf-8"))
    if port["version"] != version:
        yield f"vcpkg/ports/ice-cpp-ice/vcpkg.json says {port['version']}"
    for name in ("config.yml", "all/conandata.yml"):
        recipe = root / "conan" / "recipes" / "ice" / name
        if f'"{version}":' not in recipe.read_text("utf-8"):
            yield f"conan/recipes/ice/{name} has no {version}"
    if section((root / "CHANGELOG.md").read_text("utf-8"), version) is None:
        yield f"CHANGELOG.md tells nothing below `## [{version}] - YYYY-MM-DD`"
    if run("git", "tag", "--list", f"v{version}", cwd=root):
        yield f"the tag v{version} is there already"


def sources(folder, version):
    archive = folder / f"ice-{version}.tar.gz"
    run("git", "archive", "--format=tar.gz", f"--prefix=ice-{version}/", "-o", archive, "HEAD")
    with tempfile.TemporaryDirectory(prefix="ice sources ") as place:
        run("tar", "-xzf", archive, "-C", place)
        # A network of its own, which leads nowhere.
        offline = ["unshare", "--map-root-user", "--net"]
        tree = pathlib.Path(place) / f"ice-{version}"
        run(*offline, "cmake", "-S", tree, "-B", tree / "build", "-G", "Ninja",
            "-DICE_BUILD_TESTS=OFF", "-DICE_BUILD_BENCH=OFF")
        run(*offline, "cmake", "--build", tree / "build")
    return archive


def debian_packages(folder):
    run(sys.executable, ROOT / "test" / "package" / "by_debian.py")
    return [pathlib.Path(shutil.copy(deb, folder))
            for deb in sorted((ROOT / "build" / "debian").glob("*.deb"))]


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sbom(version, artefacts, made, dependencies):
    """What was made, and of what: SPDX 2.3 as JSON."""
    def package(name, number, licence, **more):
        return {"SPDXID": f"SPDXRef-{re.sub('[^A-Za-z0-9.-]', '-', name)}", "name": name,
                "versionInfo": number, "licenseConcluded": licence, "licenseDeclared": licence,
                "copyrightText": "NOASSERTION", "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False, **more}

    ours = [package(path.name, version, "BSL-1.0", packageFileName=path.name,
                    checksums=[{"algorithm": "SHA256", "checksumValue": checksum(path)}])
            for path in artefacts]
    licences = {"asio": "BSL-1.0", "fmt": "MIT"}
    theirs = [package(name, number, licences[name]) for name, number in dependencies.items()]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", one["SPDXID"]) for one in ours]
    relations += [(one["SPDXID"], "DEPENDS_ON", other["SPDXID"])
                  for one in ours for other in theirs]
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"ice-{version}",
        "documentNamespace": f"urn:sha256:{checksum(artefacts[0])}",
        "creationInfo": {"created": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: ice tools/release.py"]},
        "packages": ours + theirs,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="X.Y.Z, as version.hpp says it")
    parser.add_argument("--dry-run", action="store_true", help="runs no tests, makes no tag")
    options = parser.parse_args()
    version = options.version

    found = list(faults(ROOT, version))
    if found:
        sys.exit("\n".join(f"release: {fault}" for fault in found))
    if not options.dry_run:
        subprocess.run([ROOT / "run", "ci"], check=True)
        subprocess.run([ROOT / "run", "release", "-L", "unit|regression"], check=True)

    folder = ROOT / "build" / f"release-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    artefacts = [sources(folder, version), *debian_packages(folder)]
    versions = {name: run("dpkg-query", "-W", "-f=${Version}", package)
                for name, package in DEPENDENCIES.items()}
    made = datetime.datetime.fromtimestamp(int(run("git", "log", "-1", "--format=%ct")),
                                           datetime.timezone.utc)
    bill = folder / f"ice-{version}.spdx.json"
    bill.write_text(json.dumps(sbom(version, artefacts, made, versions), indent=2) + "\n", "utf-8")
    (folder / "SHA256SUMS").write_text(
        "".join(f"{checksum(path)}  {path.name}\n" for path in [*artefacts, bill]), "utf-8")

    print("\n".join(str(path.relative_to(ROOT)) for path in sorted(folder.iterdir())))
    if options.dry_run:
        print(f"dry run: v{version} is not tagged, and no test was run")
        return
    told = section((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    run("git", "tag", "-a", f"v{version}", "--cleanup=verbatim", "-m", f"ice {version}\n\n{told}\n")
    print(f"v{version} is tagged: git push origin v{version}")


if __name__ == "__main__":
    main()
