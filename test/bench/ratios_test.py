"""bench/ratios.py: its verdicts, and what it says about rows that it could not measure. The tests
check no figure."""
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from importlib.util import find_spec

import pytest

from yardsticks_test import BUILT, ROOT

sys.path.insert(0, str(ROOT / "bench"))
import measuring  # noqa: E402
import ratios  # noqa: E402

pytestmark = pytest.mark.skipif(not {0, 1} <= os.sched_getaffinity(0), reason="one core only")


def run(*arguments):
    return subprocess.run([sys.executable, ROOT / "bench/ratios.py", "--build", BUILT.parent,
                           *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          check=False)


@pytest.mark.parametrize("value, goal, at_most, verdict", [
    (0.95, 0.95, False, "met"), (0.94, 0.95, False, "missed by 1.1 %"), (1, None, False, ""),
    (2, 2, True, "met"), (3, 2, True, "missed by 50 %"), (1, 25, False, "missed by 96 %"),
    (0, 0, True, "met"), (0.02, 0, True, "missed by 0.02")])
def test_a_verdict_says_by_how_much(value, goal, at_most, verdict):
    assert ratios.judged(value, goal, at_most) == verdict


@pytest.mark.parametrize("ratio, cpu, ours, theirs, generator, verdict, decides", [
    # Both servers were the limit: the rates tell all.
    (0.96, 0.5, 0.99, 0.99, 0.9, "met", "throughput"),
    (0.90, 1.5, 0.99, 0.99, 0.9, "missed by 5.3 %", "throughput"),
    # A yardstick that could do more does not make ours any better than it looks ..
    (0.90, 1.5, 0.99, 0.50, 1.0, "missed by 5.3 %", "throughput"),
    # .. but it hides how much better it is itself: the CPU time has to agree.
    (0.99, 0.96, 0.99, 0.50, 1.0, "met", "both"),
    (0.99, 0.80, 0.99, 0.50, 1.0, "not decidable: generator at 100% of its core", None),
    # The same the other way round.
    (0.90, 0.90, 0.50, 0.99, 1.0, "missed by 5.3 %", "both"),
    (0.80, 0.90, 0.50, 0.99, 1.0, "missed by 5.3 %", "both"),  # the rate cannot say by how much
    (0.90, 1.20, 0.50, 0.99, 1.0, "not decidable: generator at 100% of its core", None),
    (0.90, 1.20, 0.50, 0.99, 0.6,
     "not decidable: neither end at its limit (server 50%, generator 60%)", None)])
def test_a_rate_that_the_generator_limited_does_not_decide(ratio, cpu, ours, theirs, generator,
                                                           verdict, decides):
    result = {"goal": 0.95, "ratio": ratio, "cpu_ratio": cpu}
    said = ratios.decide(result, [("server", ours), ("server", theirs)],
                         [("generator", generator)] * 2)
    assert (said, result.get("decides")) == (verdict, decides)


def test_a_report_has_each_row_and_the_machine(tmp_path):
    done = run("--only", "unfinished", "--pairs", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    row, = report["rows"]
    assert len(row["ratios"]) == 2 and row["least"] <= row["ratio"] <= row["most"]
    assert row["verdict"] == ratios.judged(row["ratio"], 2.3, True)
    assert report["machine"]["cores"] == os.cpu_count() and report["machine"]["compiler"]
    text = (tmp_path / "report.md").read_text()
    assert report["machine"]["processor"] in text and f"| {row['verdict']} |" in text
    assert text.splitlines()[-1] in done.stdout
    assert "[1/1] bytes of an unfinished line" in done.stderr
    if find_spec("matplotlib"):
        assert "bytes of an unfinished line" in (tmp_path / "report.svg").read_text()
        assert xml.parse(tmp_path / "report.svg").getroot().tag.endswith("svg")


def test_throughput_names_the_process_that_was_busy(tmp_path):
    done = run("--only", "lines, one at a time / raw_line", "--pairs", 1, "--seconds", 0.5,
               "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert row["ratio"] > 0 and row["cpu_ratio"] > 0
    for name in "server", "generator":
        assert all(0 < share <= 1 for share in row["busy"][name])


def test_every_goal_has_a_row():
    assert {row.number for row in ratios.ROWS if row.goal is not None} == set(range(1, 15))


@pytest.mark.skipif(not (shutil.which("redis-server") and shutil.which("redis-benchmark")),
                    reason="redis-server or redis-benchmark is not installed")
def test_redis_is_measured_beside_keyvalue(tmp_path):
    # Danger: it stays behind, or keeps its data in the folder where the benchmark was started.
    before = set(os.listdir())
    done = run("--only", "RESP GET, 16 in flight / redis-server", "--pairs", 1, "--seconds", 0.5,
               "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert "not measured" not in row["verdict"], row["verdict"]
    assert row["ratio"] > 0 and row["cpu_ratio"] > 0
    assert set(os.listdir()) == before
    with measuring.Redis() as server:
        measuring.ask(server, "SET", "key", "value")
        with pytest.raises(measuring.Failed):
            measuring.ask(server, "SET", "key")
        folder = server.folder.name
    assert server.process.returncode is not None and not os.path.exists(folder)


@pytest.mark.skipif(not shutil.which("valgrind"), reason="there is no valgrind here")
@pytest.mark.parametrize("words, answer, least, most", [
    (["PING"], b"+PONG\r\n", 0, 0.1),
    (["INCR"], b"-ERR unknown command 'INCR'\r\n", 1, 10)])  # a text is made for this one
def test_allocations_are_counted(words, answer, least, most):
    command = [BUILT.parent / "apps/keyvalue", "--listen", "127.0.0.1:0"]
    if not command[0].exists():
        pytest.skip("the apps are not built")
    assert least <= measuring.allocations(command, measuring.resp(*words), answer, 50) <= most


def test_uvloop_is_found_where_it_was_installed(tmp_path):
    assert not ratios.has_uvloop(tmp_path)
    (tmp_path / "lib/python3.11/site-packages/uvloop").mkdir(parents=True)
    assert ratios.has_uvloop(tmp_path)


def test_missing_programs_are_named(tmp_path):
    done = run("--build", tmp_path / "none", "--only", "raw_line", "--pairs", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert rows and all("not measured: not built" in row["verdict"] for row in rows)


@pytest.mark.parametrize("arguments, said", [
    (["--only", "nonsense"], "there is no such row"), (["--pairs", "0"], "--pairs must be"),
    (["--seconds", "0.1"], "--seconds 0.5")])
def test_wrong_usage(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2 and said in done.stderr


def test_each_line_of_a_broadcast_reaches_all_clients_of_all_processes():
    # Danger: a bus that delivers less costs less.
    command = [BUILT / "broadcast"]
    with measuring.Server([*command, "0"]) as alone:
        assert len(measuring.broadcast([alone], 3, 20, 0.001, over_bus=False)) == 1
    if not shutil.which("nats-server"):
        pytest.skip("nats-server is not installed")
    with measuring.Nats() as nats:
        over_bus = [*command, "--bus", nats.address, "0"]
        with measuring.Server(over_bus) as one, measuring.Server(over_bus) as other:
            assert len(measuring.broadcast([one, other], 3, 20, 0.001, over_bus=True)) == 2
