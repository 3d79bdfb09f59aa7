#!/usr/bin/env python3
"""Uses ice as a stranger does who has Conan 2: static and shared, without Conan Center.

Debian's Asio and fmt stand in for Conan Center's (conan/system); everything else is the real thing.
The README's own lines are run: static with the profile that Conan detects, shared with ours.
  1. `conan create`: the package is built, and conan/test_package serves a request with it.
  2. `conan install --requires=ice/VERSION`: the project in consumer/ is built with the package
     from Conan's cache, and serves.
  3. An Asio that frees what a cancelled co_spawn still uses is refused, and the reason is said.
"""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import sys

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


def create_and_use(conan, kind, folder):
    more = ["-o=ice/*:shared=False"]
    if kind == "shared":
        more = ["-o=ice/*:shared=True", f"-pr:a={PROFILE / 'system'}"]
    said = conan("create", *words("create"), *more, cwd=ROOT)
    if f"ice {VERSION} echoed: hello" not in said:
        sys.exit(f"the test package did not serve its request:\n{said}")

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
    serves("sh", "-c", f'. "{environment}" && exec "$@"', "sh", build / "consumer")
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


if __name__ == "__main__":
    main()
