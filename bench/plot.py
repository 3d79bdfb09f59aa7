#!/usr/bin/env python3
"""Draws what ice-bench measured: latency by percentile, rate over time, or several runs compared.

Reads files of ice-bench --json; for percentiles also those of --hdr, which HdrHistogram's own
tools write too. The ending of the output's name decides its form: .svg or .png."""
import argparse
import itertools
import json
import statistics
import sys
from pathlib import Path

# Okabe and Ito's colours, which all eyes tell apart; on paper the dashes do.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
DASHES = ["-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 1.5, 2)), (0, (4, 4)), (0, (1, 2)), "-"]
PERCENTILES = ["50", "90", "99", "99.9", "99.99"]
DPI = 100


class Unusable(Exception):
    """A file or a request of the user's that cannot be drawn; its text says why."""


# --- Reading


def read(file):
    """An ice-bench/1 document, or {"hdr": points} of a percentile file."""
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if text.split()[:2] == ["Value", "Percentile"]:
        return {"hdr": hdr_points(file, text)}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unusable(f"{file} is neither JSON ({error}) nor a file of --hdr") from None
    if not isinstance(found, dict) or found.get("schema") != "ice-bench/1":
        raise Unusable(f"{file} was not written by ice-bench --json: "
                       'it has no "schema": "ice-bench/1"')
    if not found.get("runs"):
        raise Unusable(f"{file} has no run in it")
    return found


def hdr_points(file, text):
    points = []
    for number, line in enumerate(text.splitlines()[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            value, part, count = (float(word) for word in line.split()[:3])
        except ValueError:
            raise Unusable(f"{file}:{number}: not a line of a percentile file: {line}") from None
        points.append((count if part == 1 else 1 / (1 - part), value * 1000))
    if not points:
        raise Unusable(f"{file} has no percentile in it")
    return points


def percentile_points(file, document):
    """[(1/(1-q), us)] of all runs together: so much latency do all but one in 1/(1-q) have."""
    if "hdr" in document:
        return document["hdr"]
    counts = sorted(itertools.chain.from_iterable(
        run["latency_us"]["counts"] for run in document["runs"]))
    total = sum(times for _, times in counts)
    if total == 0:
        raise Unusable(f"{file} has no reply in it")
    points, seen = [(1, counts[0][0])], 0
    for value, times in counts:
        seen += times
        points.append((total / (total - seen) if seen < total else total, value))
    return points


def described(document):
    """What was done, in a few words; empty for a file of --hdr, which does not tell."""
    if "hdr" in document:
        return ""
    options = document["options"]
    words = [document["mode"], f"{options['connections']} connections"]
    if options["depth"] > 1:
        words.append(f"{options['depth']} in flight on each")
    words.append(f"{options['rate']:,.0f}/s asked" if document["loop"] == "open" else "closed loop")
    return ", ".join(words)


def labels_of(files, documents, wanted):
    """What the legend says for each file, and what is common to all, for the title."""
    if wanted and len(wanted) != len(files):
        raise Unusable(f"{len(files)} files, but {len(wanted)} labels: give --label once for each")
    names = wanted or [Path(file).stem for file in files]
    if len(set(names)) < len(names):
        names = list(files)
    about = [described(document) for document in documents]
    if len(set(about)) == 1:
        return names, about[0]
    return [f"{n}: {a}" if a else n for n, a in zip(names, about, strict=True)], ""


# --- Drawing


def pyplot():
    """matplotlib, set to the look of all pictures of bench/."""
    try:
        import matplotlib
    except ImportError:
        raise Unusable("matplotlib is needed: apt-get install python3-matplotlib, "
                       "and /usr/bin/python3 to run this") from None
    matplotlib.use("agg")
    matplotlib.rcParams.update({
    "font.size": 11, "axes.titlesize": 13, "axes.titleweight": "bold",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.8,
        "lines.linewidth": 1.8, "figure.constrained_layout.use": True,
        "svg.fonttype": "none",      # text stays text: it can be found and copied
        "svg.hashsalt": "ice-bench"  # the same data makes the same file
    })
    from matplotlib import pyplot as found
    return found


def shown_time(us, _=None):
    if us == 0:
        return "0"
    for limit, factor, unit in ((1e3, 1, "µs"), (1e6, 1e3, "ms")):
        if us < limit * 0.9995:
            return f"{us / factor:.3g} {unit}"
    return f"{us / 1e6:.3g} s"


def shown_count(n, _=None):
    for limit, factor, unit in ((1e3, 1, ""), (1e6, 1e3, "k")):
        if n < limit * 0.9995:
            return f"{n / factor:.3g}{unit}"
    return f"{n / 1e6:.3g}M"


def time_axis(axes, values, what):
    """Logarithmic where the values need it, with ticks that one can read either way."""
    from matplotlib import ticker
    low, high = min(values), max(values)
    axes.set_ylabel(what)
    if low > 0 and high / low > 12:
        axes.set_yscale("log")
        decades = 1 + sum(low < 10.0 ** n < high for n in range(-3, 10))
        axes.yaxis.set_major_locator(
            ticker.LogLocator(subs=(1, 2, 5) if decades < 4 else (1,), numticks=20))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    else:
        axes.set_ylim(0, high * 1.08 or 1)
    axes.yaxis.set_major_formatter(shown_time)


def style(i):
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def head(figure, title, about, entries):
    """Title, what was done, and the legend: above the axes, so that it covers no line."""
    width, height = figure.get_size_inches() * DPI
    longest = max(len(label) for _, label in entries)
    columns = max(1, min(len(entries), int(width / (8.5 * longest + 70))))
    top = 12
    for text, size, look in ((title, 22, {"fontsize": 14, "fontweight": "bold"}),
                             (about, 18, {"color": "#555555"})):
        if text:
            figure.text(12 / width, 1 - top / height, text, va="top", **look)
            top += size + 4
    figure.legend(*zip(*entries, strict=True), loc="upper left", ncol=columns, frameon=False,
                  bbox_to_anchor=(12 / width, 1 - top / height), borderaxespad=0, borderpad=0,
                  handlelength=2.6)
    top += 8 + 21 * -(-len(entries) // columns)
    figure.get_layout_engine().set(rect=(0.005, 0.01, 0.985, 0.99 - top / height))


def draw_percentiles(figure, files, documents, labels, about, title):
    from matplotlib import ticker
    axes = figure.subplots()
    entries, values, most = [], [], 10
    for i, (file, document) in enumerate(zip(files, documents, strict=True)):
        x, y = zip(*percentile_points(file, document), strict=True)
        # --hdr has samples of the curve, --json each step of it.
        line, = axes.plot(x, y, drawstyle="default" if "hdr" in document else "steps-pre",
                          **style(i))
        axes.plot(x[-1], y[-1], marker="o", markersize=5, color=line.get_color(), clip_on=False)
        entries.append((line, f"{labels[i]} (max {shown_time(y[-1])})"))
        if "hdr" not in document and document["loop"] == "open":
            rows = {}
            for run in document["runs"]:
                for p, us in run["uncorrected_us"]["percentiles"].items():
                    rows.setdefault(float(p), []).append(us)
            line, = axes.plot([1 / (1 - p / 100) for p in rows],
                              [statistics.median(us) for us in rows.values()], linestyle="none",
                              marker="x", color=line.get_color())
            entries.append((line, f"{labels[i]}, uncorrected"))
        values += y
        most = max(most, x[-1])
    axes.set_xscale("log")
    axes.set_xlim(1, most * 1.15)
    ticks = [2] + [10 ** n for n in range(1, 10) if 10 ** n <= most * 1.15]
    axes.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(
        lambda x, _: f"{100 * (1 - 1 / x):.{max(0, len(str(int(x))) - 3)}f} %")
    axes.set_xlabel("percentile q of the requests (logarithmic in 1/(1-q))")
    time_axis(axes, values, "latency")
    head(figure, title or "Latency by percentile", about, entries)


def draw_rate(figure, files, documents, labels, about, title):
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    entries, latencies, high, wrong, due = [], [], 0, None, None
    for i, (file, document) in enumerate(zip(files, documents, strict=True)):
        if "hdr" in document:
            raise Unusable(f"{file} is a file of --hdr, which knows no time: use that of --json")
        runs = [run["series"] for run in document["runs"] if run["series"]]
        if not runs:
            raise Unusable(f"{file} has no full second in it: measure with -d 2s or more")
        for series in runs:
            edges = range(len(series) + 1)
            rate = [second["rate"] for second in series]
            p99 = [second["p99"] for second in series]
            shown = {**style(i), "linewidth": 1.8, "alpha": 1 if len(runs) == 1 else 0.6}
            line = top.stairs(rate, edges, baseline=None, **shown)
            bottom.stairs(p99, edges, baseline=None, **shown)
            bad = [n for n, second in enumerate(series) if second["errors"]]
            if bad:
                wrong = top.scatter([n + 0.5 for n in bad], [rate[n] for n in bad], marker="X",
                                    s=60, color="#cc3311", zorder=3)
            latencies += p99
            high = max(high, *rate)
        many = f" ({len(runs)} runs)" if len(runs) > 1 else ""
        entries.append((line, labels[i] + many))
        if document["loop"] == "open":
            asked = document["options"]["rate"]
            due = top.axhline(asked, color="black", linewidth=1, linestyle=":", zorder=3)
            high = max(high, asked)
    if due:
        entries.append((due, "asked"))
    if wrong:
        entries.append((wrong, "a second with errors"))
    top.set_ylim(0, high * 1.08 or 1)
    top.yaxis.set_major_formatter(shown_count)
    top.set_ylabel("right replies per second")
    time_axis(bottom, latencies, "p99 latency")
    bottom.set_xlabel("seconds since the end of the warm-up")
    bottom.set_xlim(left=0)
    figure.align_ylabels()
    head(figure, title or "Rate over time", about, entries)


def draw_compare(figure, files, documents, labels, about, title):
    if hdr := [f for f, d in zip(files, documents, strict=True) if "hdr" in d]:
        raise Unusable(f"{hdr[0]} is a file of --hdr, which has no rate: use that of --json")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2, 3]})
    entries, values = [], []
    width = 0.8 / len(files)
    for i, document in enumerate(documents):
        colour = COLOURS[i % len(COLOURS)]
        rates = [run["rate"] for run in document["runs"]]
        middle = statistics.median(rates)
        bar = left.bar(i, middle, 0.72, color=colour, alpha=0.85)
        left.scatter([i] * len(rates), rates, s=16, color="black", zorder=3)
        left.annotate(shown_count(middle), (i, max(rates)), xytext=(0, 5), ha="center",
                      textcoords="offset points")
        entries.append((bar, labels[i]))
        for n, p in enumerate(PERCENTILES + ["max"]):
            each = [run["latency_us"]["max"] if p == "max" else run["latency_us"]["percentiles"][p]
                    for run in document["runs"]]
            at = n + (i - (len(files) - 1) / 2) * width
            right.plot([at, at], [min(each), max(each)], color=colour, linewidth=2)
            right.plot(at, statistics.median(each), marker="osD^vPX"[i % 7], color=colour)
            values += each
    left.set_xticks([])
    left.grid(axis="x", visible=False)
    left.set_ylim(0, left.get_ylim()[1] * 1.06)
    left.yaxis.set_major_formatter(shown_count)
    left.set_ylabel("right replies per second")
    left.set_xlabel("median, and each run")
    right.set_xticks(range(len(PERCENTILES) + 1), [f"p{p}" for p in PERCENTILES] + ["max"])
    right.grid(axis="x", visible=False)
    time_axis(right, values, "latency")
    right.set_xlabel("median, least and most of the runs")
    head(figure, title or "Comparison", about, entries)


# --- The program


def parsed():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: plot.py percentiles before.json after.json -o latency.svg")
    parser.add_argument("what", choices=["percentiles", "rate", "compare"],
                        help="percentiles: latency, all runs of a file together, on an axis of "
                        "1/(1-q); rate: replies and p99 of each second; compare: rate and "
                        "percentiles of several files, with the spread of their runs")
    parser.add_argument("files", nargs="+", metavar="FILE", help="of ice-bench --json (or --hdr)")
    parser.add_argument("-o", "--output", required=True, action="append", metavar="FILE",
                        help="NAME.svg or NAME.png; may be given more than once")
    parser.add_argument("-l", "--label", action="append", metavar="TEXT",
                        help="what the legend says, once for each file (default: its name)")
    parser.add_argument("--title", help="default: what is drawn")
    parser.add_argument("--size", default="900x540", metavar="WxH",
                        help="pixels (default: %(default)s)")
    options = parser.parse_args()
    for name in options.output:
        if not name.endswith((".svg", ".png")):
            parser.error(f"{name}: the output's name must end in .svg or .png")
    try:
        options.size = [int(n) for n in options.size.split("x")]
        width, height = options.size
    except ValueError:
        parser.error(f"--size {options.size}: looks like 900x540")
    if not (300 <= width <= 10_000 and 200 <= height <= 10_000):
        parser.error(f"--size {width}x{height}: from 300x200 to 10000x10000")
    return options


def save(figure, output):
    # No date: the same data makes the same file.
    metadata = {"Date": None} if output.endswith(".svg") else {"Software": None}
    try:
        figure.savefig(output, dpi=DPI, metadata=metadata)
    except OSError as error:
        raise Unusable(f"cannot write {output}: {error.strerror}") from None


def draw(options):
    documents = [read(file) for file in options.files]
    figure = pyplot().figure(figsize=[n / DPI for n in options.size])
    how = {"percentiles": draw_percentiles, "rate": draw_rate, "compare": draw_compare}
    try:
        labels, about = labels_of(options.files, documents, options.label)
        how[options.what](figure, options.files, documents, labels, about, options.title)
    except (KeyError, TypeError) as error:
        raise Unusable(f"a file lacks what bench/schema.json asks for: {error}") from None
    for output in options.output:
        save(figure, output)


def main():
    options = parsed()
    try:
        draw(options)
    except Unusable as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
