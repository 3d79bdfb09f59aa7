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


@pytest.mark.parametrize("words, expected", [
    ([], ["-max_len=4096", "-max_total_time=20"]),
    (["9"], ["-max_len=4096", "-max_total_time=9"]),
    (["--smoke"], ["-max_len=4096", "-runs=60000", "-seed=1"]),
    (["--runs", "7"], ["-max_len=4096", "-runs=7", "-seed=1"]),
    (["9", "--runs", "7", "--max-len", "64"],
     ["-max_len=64", "-max_total_time=9", "-runs=7", "-seed=1"])])
def test_a_target_is_run_for_so_long_or_so_often(tmp_path, words, expected):
    # Danger: --runs that is ended after 20 s, or that goes on from the corpus of another run.
    target = tmp_path / "line"
    target.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.seen\"\n"
                      "echo stat::number_of_executed_units: 7 >&2\n")
    target.chmod(0o755)
    ran = subprocess.run([sys.executable, fuzzing.__file__, "--build", tmp_path, "line", *words],
                         capture_output=True, text=True, check=True)
    assert " 7 inputs" in ran.stdout
    seen = (tmp_path / "line.seen").read_text().splitlines()
    kinds = ("-max_len", "-max_total_time", "-runs", "-seed=")
    assert sorted(word for word in seen if word.startswith(kinds)) == expected
    is_kept = seen[-1] == str(tmp_path / "corpus" / "line")
    assert is_kept == ("--runs" not in words and "--smoke" not in words)
