"""A Debian of its own in a folder, to try what a machine does that has nothing installed."""

import pathlib
import shlex
import shutil
import subprocess
import sys

from user import ROOT, run

BASES = ROOT / "build" / "chroot"  # one bare system per suite, made once


def mirror():
    """Where this machine's own Debian packages come from."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(CODENAME)",
                  "Created-By: Packages")
    for target in targets.splitlines():
        uri, component, codename = target.split()
        if component == "main" and codename == "bookworm":
            return uri
    sys.exit("apt's sources name no Debian 12 to take packages from")


def base(suite):
    made = BASES / suite
    if not made.is_dir():
        partial = BASES / f"{suite}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        run("debootstrap", "--variant=minbase", suite, partial, mirror())
        partial.rename(made)
    return made


class Chroot:
    """A copy of the bare system of a suite. Needs root."""

    def __init__(self, folder, suite="bookworm"):
        self.root = pathlib.Path(folder)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-a", base(suite), self.root)
        shutil.copy("/etc/resolv.conf", self.root / "etc" / "resolv.conf")
        # Every machine has this; debootstrap leaves it to the installer.
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n", "utf-8")

    def put(self, source, path):
        """Copies a file or a folder of the outer machine to a path in here."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-r", source, place)

    def command(self, line, network=True, user="root"):
        """What runs a shell's line in here: its processes end with it, and see no others."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        if not network:
            unshare.append("--net")
        enter = (f"{'' if network else 'ip link set lo up && '}"
                 f"mount -t proc proc {shlex.quote(str(self.root))}/proc && "
                 f"mount --rbind /dev {shlex.quote(str(self.root))}/dev && "
                 'exec env -i HOME="$2" USER="$1" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 '
                 f'chroot --userspec="$1" {shlex.quote(str(self.root))} bash -c "$3"')
        home = "/root" if user == "root" else f"/home/{user}"
        return [*unshare, "sh", "-c", enter, "sh", user, home, line]

    def __call__(self, line, fails=False, **how):
        return run(*self.command(line, **how), fails=fails)

    def install(self, *packages):
        # A mirror may be a snapshot of some day.
        self("export DEBIAN_FRONTEND=noninteractive; "
             "apt-get -o Acquire::Check-Valid-Until=false update -qq && "
             f"apt-get install -qq -y --no-install-recommends {shlex.join(packages)}")

    def popen(self, *program, **how):
        return subprocess.Popen(["chroot", str(self.root), *program], **how)
