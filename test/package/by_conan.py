#!/usr/bin/env python3
"""Uses ice as a stranger does who has Conan 2, without Conan Center: static by the recipe of the
checkout, shared by the recipe for an index.

Debian's Asio and fmt stand in for Conan Center's (conan/system); everything else is the real thing.
The README's own lines are run with the profile that Conan detects; the index's recipe with ours,
and with an archive of these sources for that of the release.
  1. `conan create`: the package is built, and its test_package runs.
  2. `conan install --requires=ice/VERSION`: the project in consumer/ is built with the package
     from Conan's cache, and serves; its test in virtual time links ice::testing.
  3. What ice does not work with is refused, and the reason is said: an Asio that frees what a
     cancelled co_spawn still uses, g++ 11, fmt without its library.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import sys
import tarfile

from user import CONSUMER, ROOT, VERSION, build_all, cmake, no_flags_leak, run, serves

PROFILE = ROOT / "conan" / "profiles"
README = (ROOT / "README.md").read_text("utf-8").replace("\\\n", " ")
REFUSED = "1.27.0"  # Conan Center has it


class Conan:
    """A Conan with a home of its own, whose one remote is the index in conan/system."""

    def __init__(self, command, home):
        self.command = command
        # A cached copy of an edited recipe would be used.
        shutil.rmtree(home, ignore_errors=True)
        self.environment = os.environ | {"CONAN_HOME": str(home)}
        self("remote", "remove", "conancenter")
        self("remote", "add", "system", ROOT / "conan" / "system", "--type=local-recipes-index")
        self("profile", "detect")
        system = (PROFILE / "system").read_text("utf-8")
        with open(home / "profiles" / "default", "a", encoding="utf-8") as detected:
            detected.write(system[system.index("[replace_requires]"):])

    def __call__(self, *arguments, **how):
        return run(self.command, *arguments, env=self.environment, **how)


def words(verb):
    """What the README gives to `conan VERB`."""
    return shlex.split(re.search(rf"^conan {verb} (.*)", README, re.M)[1])


def index(folder):
    """The folder conan/recipes/ice/all as an index has it, for an archive of these sources."""
    archive = folder / "ice.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("CMakeLists.txt", "LICENSE", "cmake", "include", "lib"):
            tar.add(ROOT / name, f"ice-{VERSION}/{name}")
    place = folder / "all"
    shutil.copytree(ROOT / "conan" / "recipes" / "ice" / "all", place)
    data = place / "conandata.yml"
    text = data.read_text("utf-8")
    if f'"{VERSION}":' not in text:
        sys.exit(f"conandata.yml has no {VERSION}")
    text = re.sub(r"(?<=url: ).*", f'"{archive.as_uri()}"', text)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    data.write_text(re.sub(r"(?<=sha256: ).*", f'"{checksum}"', text), "utf-8")
    return place


def own_profile(folder):
    """Ours, and the CMake of this machine for that of the index."""
    number = re.search(r"[\d.]+", run("cmake", "--version"))[0]
    text = (PROFILE / "system").read_text("utf-8")
    text = text.replace("include(base)", f"include({PROFILE / 'base'})")
    profile = folder / "profile"
    profile.write_text(f"{text}\n[platform_tool_requires]\ncmake/{number}\n", "utf-8")
    return f"-pr:a={profile}"


def create_and_use(conan, kind, folder):
    # Joined sources, as users ask for them, which is faster.
    unity = "-c=ice/*:tools.cmake.cmaketoolchain:extra_variables={'CMAKE_UNITY_BUILD': 'ON'}"
    recipe, more = words("create"), ["-o=ice/*:shared=False", unity]
    if kind == "shared":
        recipe = [index(folder), f"--version={VERSION}", "--build=missing"]
        more = ["-o=ice/*:shared=True", unity, own_profile(folder)]
    said = conan("create", *recipe, *more, cwd=ROOT)
    if f"ice {VERSION}: hello to [::1]:9999" not in said:
        sys.exit(f"the test package did not run:\n{said}")

    place = folder / kind  # there Conan writes its CMakeUserPresets.json, which would spoil ours
    place.mkdir()
    conan("install", *words("install"), *more, "--no-remote", cwd=place)
    build = place / "build"  # as the README says
    cmake(CONSUMER, build, "g++", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
          f"-DCMAKE_TOOLCHAIN_FILE={build / 'conan_toolchain.cmake'}")
    build_all(build)
    no_flags_leak(build)
    needed = run("readelf", "--dynamic", build / "consumer")
    if ("libice.so" in needed) != (kind == "shared"):
        sys.exit(f"the consumer of the {kind} package needs\n{needed}")
    environment = build / "conanrun.sh"  # tells the loader where shared libraries are
    loading = ("sh", "-c", f'. "{environment}" && exec "$@"', "sh")
    serves(*loading, build / "consumer")
    run(*loading, build / "simulated")
    print(f"{kind}: created, installed, used")


def refuses_bad_asio(conan, folder):
    conan("export", ROOT / "conan" / "system" / "recipes" / "asio" / "all", "--version", REFUSED)
    profile = folder / "bad_asio"
    text = (PROFILE / "system").read_text("utf-8").replace("asio/system", f"asio/{REFUSED}")
    profile.write_text(text.replace("include(base)", f"include({PROFILE / 'base'})"), "utf-8")
    said = conan("create", ROOT / "conan", f"-pr:a={profile}", "--build=missing", fails=True)
    if f"Asio {REFUSED} frees memory" not in said:
        sys.exit(f"Asio {REFUSED} was refused for another reason:\n{said}")
    print(f"Asio {REFUSED}: refused")


def refuses_others(conan):
    """The recipe of the index says it of both, as that of the checkout is derived from it."""
    for options, reason in ((["-s=compiler.version=11"], "needs gcc 12 or newer"),
                            (["-o=fmt/*:header_only=True"], "fmt/*:header_only=False")):
        said = conan("create", ROOT / "conan", f"-pr:a={PROFILE / 'system'}", *options,
                     "--build=missing", fails=True)
        if reason not in said:
            sys.exit(f"{options} was refused for another reason:\n{said}")
        print(f"{options[0]}: refused")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conan", default="conan", help="the program")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "conan",
                        help="is emptied, and holds what is built")
    options = parser.parse_args()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    conan = Conan(options.conan, folder / "home")
    for kind in ("static", "shared"):
        create_and_use(conan, kind, folder)
    refuses_bad_asio(conan, folder)
    refuses_others(conan)


if __name__ == "__main__":
    main()
