"""run.py reads the seeds of fuzz targets: a seed that it reads wrongly would test other bytes."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import run as fuzzing


def test_a_line_is_the_bytes_it_names():
    assert fuzzing.bytes_of("a\\r\\n\\\\x\\x00\\xff") == b"a\r\n\\x\x00\xff"


def test_every_byte_is_written_as_it_is_read():
    data = bytes(range(256)) * 2
    line = fuzzing.line_of(data)
    assert fuzzing.bytes_of(line) == data
    assert line.isascii() and line.isprintable()


def test_an_invalid_escape_is_refused():
    with pytest.raises((ValueError, KeyError, UnicodeError)):
        fuzzing.bytes_of("\u00ff")


def test_every_target_has_seeds_and_all_seeds_a_target():
    folder = fuzzing.SEEDS.parent
    targets = {path.stem for path in folder.glob("*.cpp")} - {"heap"}
    assert targets == {path.stem for path in fuzzing.SEEDS.glob("*.txt")}
    assert all(len(fuzzing.seeds_of(target)) > 1 for target in targets)


def test_an_unknown_target_is_named():
    ran = subprocess.run([sys.executable, fuzzing.__file__, "--build", ".", "nonsense"],
                         capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "no target nonsense" in ran.stderr
