"""The soak: ICE_SOAK says where `callers` is, ICE_APPS where the apps are, ICE_SOAK_TIMES how many
times as long as in CI it goes on, and ICE_SOAK_SHORT that a quarter of that will do. Its table is
printed at the end."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "apps"))  # its App and its Redis

TABLE = []


def pytest_terminal_summary(terminalreporter):
    for line in TABLE:
        terminalreporter.write_line(line)
