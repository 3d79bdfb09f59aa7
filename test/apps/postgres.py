"""A real PostgreSQL of its own, on a unix socket in a folder of its own. No tests here, and no
process but those that a test started."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from app import ENOUGH, die_with_parent, until


def programs():
    """The folder with initdb and postgres: Debian keeps them out of PATH. None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    in_path = shutil.which("pg_isready")
    return found[-1].parent if found else Path(in_path).parent if in_path else None


class Postgres:
    """Ready once it is made. It refuses to run as root, so it is the user that Debian made then."""

    def __init__(self):
        self.user = "postgres" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="ice-pg-"))
        if self.user:
            shutil.chown(self.folder, self.user, pwd.getpwnam(self.user).pw_gid)
        self.data = self.folder / "data"
        self.address = f"unix:{self.folder}/.s.PGSQL.5432"
        self.run("initdb", "--no-sync", "-A", "trust", "-U", "ice", "-E", "UTF8", "-D", self.data)
        self.start()

    def run(self, name, *arguments):
        return subprocess.run([programs() / name, *arguments], user=self.user, cwd=self.folder,
                              check=True, timeout=60, capture_output=True, text=True).stdout

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [programs() / "postgres", "-D", self.data, "-k", self.folder, "-h", "",
                 "-c", "fsync=off", "-c", "max_connections=30"], user=self.user, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        until(self.answers, "PostgreSQL is ready")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return subprocess.run([programs() / "pg_isready", "-q", "-h", self.folder],
                              check=False).returncode == 0

    def ask(self, sql):
        return self.run("psql", "-h", self.folder, "-U", "ice", "-d", "postgres", "-Atc",
                        sql).strip()

    def stop(self):
        """At once, without a word to its clients' transactions."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(ENOUGH)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)
