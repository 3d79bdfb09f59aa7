"""The markers of planted bugs: each is in one line and in a table. How a bug changes its line."""
import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import planting  # noqa: E402


def table(path):
    spec = importlib.util.spec_from_file_location(path.parent.name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TABLE


TABLES = [table(path) for path in sorted(Path(__file__).resolve().parent.glob("*/mutants.py"))]


def test_each_marker_is_in_one_line_and_in_a_table():
    used = {marker for t in TABLES for _, changes in t.mutants.values() for marker in changes}
    assert {marker: len(files) for marker, files in planting.marked().items()} == \
        {marker: 1 for marker in used}


@pytest.mark.parametrize("found,name", [(t, name) for t in TABLES for name in t.mutants])
def test_each_bug_changes_the_code(found, name):
    texts = found.planted(name)
    assert found.sources(name)
    for file in set(found.files(name).values()):
        assert texts[file] != (planting.ROOT / file).read_text()


@pytest.mark.parametrize("change,line,made", [
    (planting.gone, "    a();", ""),
    (planting.instead("b();"), "    a();", "b();"),
    (planting.before("b();"), "    a();", "b();\n    a();"),
    (planting.after("b();"), "    a();", "    a();\nb();"),
    (planting.always, "    if (f(x) == 1) g();", "    if (true) g();"),
    (planting.never, "    } else if (f(x)) {", "    } else if (false) {"),
    (planting.never, "    while (a || b) {", "    while (false) {"),
    (planting.always, "           a == b &&", "           (true) &&"),
    (planting.never, "           f(a);", "           (false);"),
    (planting.either("y"), "    if (x) g();", "    if ((x) || (y)) g();")])
def test_each_kind_of_change_to_a_line(change, line, made):
    assert change(line) == made


def test_a_condition_that_continues_in_the_next_line_is_refused():
    with pytest.raises(ValueError):
        planting.always("    if (f(x) &&")


def test_a_marker_that_is_missing_ends_the_planting():
    with pytest.raises(SystemExit, match="in no file"):
        planting.Table({"bug": ("", {"nowhere": planting.gone})}, {}, []).files("bug")


def test_a_marker_in_another_file_than_cmake_knows_ends_the_planting(tmp_path):
    name = next(iter(TABLES[0].mutants))
    with pytest.raises(SystemExit, match="run cmake again"):
        TABLES[0].plant(name, tmp_path, ["lib/elsewhere.cpp"])
    assert not list(tmp_path.iterdir())
