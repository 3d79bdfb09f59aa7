"""bench/plot.py: its pictures contain the data, and it reports input that it cannot draw. These
tests do not check what a picture looks like."""
import contextlib
import io
import json
import struct
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

from yardsticks_test import ROOT

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
sys.path.insert(0, str(ROOT / "bench"))
import plot as drawing  # noqa: E402


def program(*arguments):
    return subprocess.run([sys.executable, ROOT / "bench/plot.py", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def plot(*arguments):
    """What the program does, within this process: matplotlib takes a second to start."""
    out, error, told = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["plot.py", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = drawing.main()
    except SystemExit as ended:  # of argparse
        code = ended.code
    finally:
        sys.argv = told
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def run(rate, counts, failed=0):
    values = sorted(v for v, times in counts for _ in range(times))
    percentiles = {p: values[min(len(values) - 1, int(float(p) / 100 * len(values)))]
                   for p in ("50", "75", "90", "95", "99", "99.9", "99.99")}
    latencies = {"min": values[0], "mean": sum(values) / len(values), "deviation": 1,
                 "max": values[-1], "percentiles": percentiles}
    second = {"rate": rate, "p50": percentiles["50"], "p99": percentiles["99"], "max": values[-1]}
    return {"seconds": 2, "rate": rate, "latency_us": {**latencies, "counts": counts},
            "uncorrected_us": latencies,
            "series": [{**second, "errors": 0}, {**second, "errors": failed}]}


@pytest.fixture
def file(tmp_path):
    def write(name, rates=(50_000, 52_000), counts=((100, 90), (1000, 9), (7000, 1)), loop="closed",
              failed=0):
        content = {"schema": "ice-bench/1", "mode": "line", "loop": loop,
                   "options": {"connections": 50, "depth": 16, "rate": 60_000},
                   "runs": [run(rate, list(counts), failed) for rate in rates]}
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name
    return write


HDR = """       Value     Percentile TotalCount 1/(1-Percentile)

       0.100 0.000000000000         90           1.00
       0.100 0.900000000000         90          10.00
       7.000 1.000000000000        100
#[Mean    =        0.250, StdDeviation   =        0.700]
"""


def texts(file):
    """Every text of a picture; this also fails if the file is not well-formed."""
    root = xml.parse(file).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("what, said", [
    ("percentiles", ["Latency by percentile", "before (max 7 ms)", "after (max 7 ms)", "latency",
                     "percentile q of the requests (logarithmic in 1/(1-q))", "99 %", "1 ms"]),
    ("rate", ["Rate over time", "before (2 runs)", "after (2 runs)", "right replies per second",
              "p99 latency", "seconds since the end of the warm-up", "60k"]),
    ("compare", ["Comparison", "before", "after", "right replies per second", "p99.9", "max",
                 "51k", "61k"])])
def test_an_svg_has_the_texts_of_its_picture(file, tmp_path, what, said):
    out = tmp_path / "out.svg"
    done = plot(what, file("before.json"), file("after.json", rates=(60_000, 61_000, 62_000)),
                "-o", out)
    if what == "rate":
        said = [text.replace("after (2", "after (3") for text in said]
    assert (done.returncode, done.stderr) == (0, "")
    found = texts(out)
    assert "line, 50 connections, 16 in flight on each, closed loop" in found
    for text in said:
        assert text in found, found


def test_the_program_draws_a_png_of_the_size_asked_for(file, tmp_path):
    outs = [tmp_path / "out.png", tmp_path / "out.svg"]
    done = program("rate", file("a.json"), "--size", "700x400", "-o", outs[0], "-o", outs[1])
    assert (done.returncode, done.stderr) == (0, "")
    data = outs[0].read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (700, 400)
    assert outs[1].exists()


def test_labels_and_title_are_the_users(file, tmp_path):
    out = tmp_path / "out.svg"
    assert plot("compare", file("a.json"), file("b.json"), "-l", "one <&>", "-l", "two",
                "--title", "Mine", "-o", out).returncode == 0
    assert {"one <&>", "two", "Mine"} <= set(texts(out))


def test_an_open_loop_shows_the_requested_rate_and_uncorrected_latency(file, tmp_path):
    out = tmp_path / "out.svg"
    source = file("a.json", loop="open", failed=3)
    assert plot("percentiles", source, "-o", out).returncode == 0
    assert "a, uncorrected" in texts(out)
    assert plot("rate", source, "-o", out).returncode == 0
    assert {"asked", "a second with errors"} <= set(texts(out))


def test_the_same_data_makes_the_same_file(file, tmp_path):
    source, one, two = file("a.json"), tmp_path / "1.svg", tmp_path / "2.svg"
    for draw, out in (plot, one), (program, two):
        assert draw("percentiles", source, "-o", out).returncode == 0
    assert one.read_bytes() == two.read_bytes()


def test_points_of_the_curve(file, tmp_path):
    document = json.loads(file("a.json").read_text())
    points = drawing.percentile_points("a.json", document)
    assert [y for _, y in points] == [100, 100, 100, 1000, 1000, 7000, 7000]
    # Two runs of 100: 180 of the 200 are at most 100 us: that is q = 0.9.
    assert [round(x, 6) for x, _ in points[2:]] == [10, 18.181818, 100, 200, 200]
    (tmp_path / "h").write_text(HDR)
    read = drawing.read(tmp_path / "h")
    assert read == {"hdr": [(1, 100), (pytest.approx(10), 100), (100, 7000)]}
    assert plot("percentiles", tmp_path / "h", "-o", tmp_path / "h.svg").returncode == 0


def test_input_that_cannot_be_drawn_is_an_error(file, tmp_path):
    good, bad, out = file("a.json"), tmp_path / "bad", tmp_path / "out.svg"

    def said(*arguments):
        done = plot(*arguments)
        assert done.returncode == 2 and not out.exists()
        return done.stderr

    assert "No such file" in said("rate", tmp_path / "none", "-o", out)
    assert "must end in .svg or .png" in said("rate", good, "-o", "out.gif")
    assert "2 files, but 1 labels" in said("rate", good, good, "-l", "x", "-o", out)
    assert "looks like 900x540" in said("rate", good, "--size", "big", "-o", out)
    assert "from 300x200" in said("rate", good, "--size", "0x0", "-o", out)
    assert "invalid choice" in said("pie", good, "-o", out)
    assert "cannot write" in said("rate", good, "-o", tmp_path / "none/out.svg")
    for content, words in [
            ("nonsense", "neither JSON"), ("{}", "not written by ice-bench"), ("[]", "not written"),
            ('{"schema": "ice-bench/1", "runs": []}', "no run in it"),
            ('{"schema": "ice-bench/1", "runs": [{}]}', "bench/schema.json"),
            ("Value Percentile TotalCount 1/(1-Percentile)\n", "no percentile"),
            ("Value Percentile TotalCount 1/(1-Percentile)\n\n1 x 3 4\n", "bad:3: not a line")]:
        bad.write_text(content)
        assert words in said("percentiles", bad, "-o", out)
    bad.write_bytes(b"\xff\xfe\xff")
    assert "cannot read" in said("percentiles", bad, "-o", out)
    bad.write_text(HDR)
    assert "knows no time" in said("rate", bad, "-o", out)
    assert "has no rate" in said("compare", bad, "-o", out)
    short = json.loads(good.read_text())
    for each in short["runs"]:
        each["series"] = each["latency_us"]["counts"] = []
    bad.write_text(json.dumps(short))
    assert "no full second" in said("rate", bad, "-o", out)
    assert "no reply" in said("percentiles", bad, "-o", out)
