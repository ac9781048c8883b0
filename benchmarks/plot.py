"""One plot for each question, as SVG: horizontal bars, the peers side by side, what is required as a marked line.

The drawing is text and needs no library; its colours follow the reader's light or dark scheme. Where values differ
tenfold or more the scale is logarithmic, and says so. It does not know how anything was measured.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

import harness

WIDTH = 820
LABELS_END = 210
BARS_END = 570
ROW = 28
BAR = 16
PANEL_HEAD, PANEL_FOOT, BOUND_FOOT = 34, 28, 46
TITLE, MARGIN = 46, 20
#: From here on a bar for each would hide the small ones: the scale becomes logarithmic.
LOG_FROM = 10.0
OURS = "casework"
#: Units of what something costs; other figures, such as counts, are drawn where something is required of them.
COSTS = frozenset({"us", "ms", "bytes", "MB"})
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328;
  paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round; }
.paper { fill: #ffffff; stroke: #d1d9e0; }
.title { font-size: 17px; font-weight: 600; }
.panel { font-weight: 600; }
.quiet, .tick { fill: #59636e; }
.tick { font-size: 11px; }
.own { fill: #0969da; } .floor { fill: #818b98; } .peer { fill: #bf8700; }
.strong { font-weight: 600; }
.grid { stroke: #d1d9e0; }
.required { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 3; }
.bound { fill: #cf222e; font-size: 12px; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; stroke: #0d1117; }
.paper { fill: #0d1117; stroke: #3d444d; }
.quiet, .tick { fill: #9198a1; }
.own { fill: #4493f8; } .floor { fill: #656c76; } .peer { fill: #d29922; }
.grid { stroke: #2a313c; }
.required { stroke: #f85149; }
.bound { fill: #ff7b72; }
}
"""


@dataclass(frozen=True)
class Row:
    """One bar."""

    label: str
    value: float
    beside: str
    """What is said after the value."""
    kind: str
    """`own`, `floor` or `peer`: its colour."""


@dataclass(frozen=True)
class Panel:
    """Bars of one unit, on one scale."""

    title: str
    unit: str
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    bound: float | None = None
    """What our own bar must not pass."""

    @property
    def height(self) -> int:
        """How much room it takes."""
        foot = PANEL_FOOT if self.bound is None else BOUND_FOOT
        return PANEL_HEAD + ROW * (len(self.rows) + len(self.missing)) + foot


class Scale:
    """Where a value stands between the labels and the right end."""

    def __init__(self, values: Sequence[float]) -> None:
        above = [value for value in values if value > 0]
        self.high = max(above, default=1.0)
        self.log = bool(above) and self.high / min(above) >= LOG_FROM and len(above) == len(values)
        self.low = 10 ** math.floor(math.log10(min(above) * 0.8)) if self.log else 0.0

    def x(self, value: float) -> float:
        """Give the horizontal place."""
        share = math.log(value / self.low) / math.log(self.high / self.low) if self.log else value / self.high
        return LABELS_END + max(share, 0.0) * (BARS_END - LABELS_END)

    def ticks(self) -> list[float]:
        """Give the values that are marked."""
        if self.log:
            first, last = round(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        rough = self.high / 4
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        return [step * number for number in range(int(self.high / step + 1e-9) + 1)]


def write_all(reports: Iterable[harness.Report], folder: Path) -> list[Path]:
    """Write one file for each report."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for report in reports:
        path = folder / file_name(report)
        path.write_text(svg(report), encoding="utf-8")
        written.append(path)
    return written


def file_name(report: harness.Report) -> str:
    """Name the plot of a report: by its question, sizes left out, so that a quick run writes the same file."""
    words = re.findall(r"[a-z]+[a-z0-9]*", re.sub(r"\b[\d.,]+x?\b( s\b)?", " ", report.question.lower()))
    return "-".join(words) + ".svg"


def svg(report: harness.Report) -> str:
    """Draw a report."""
    shown = panels(report)
    height = TITLE + sum(panel.height for panel in shown) + MARGIN // 2
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(report.question, {chr(34): "&quot;"})}">'
        ),
        f"<style>{STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(MARGIN, 30, report.question, "title"),
        text(WIDTH - MARGIN, 30, size_of(report), "quiet", anchor="end"),
    ]
    top = TITLE
    for panel in shown:
        parts += draw(panel, top)
        top += panel.height
    return "\n".join([*parts, "</svg>"]) + "\n"


def panels(report: harness.Report) -> list[Panel]:
    """Say what is drawn: times, and figures of which something is required or that are of cost; else all figures."""
    drawn: list[Panel] = []
    if report.measures:
        ours = next((one.micros for one in report.measures if one.name.startswith(OURS)), None)
        rows = [
            Row(one.name, one.micros, compared(report, one, ours), kind(report, one.name)) for one in report.measures
        ]
        drawn.append(Panel("time of one operation", "us", tuple(rows), report.missing, bound(report, "")))
    every = {one.what: one.unit for one in report.figures}
    wanted = {reach.what for reach in report.reach}
    chosen = [what for what, unit in every.items() if what in wanted or unit in COSTS]
    for what in chosen or every:
        figures = [one for one in report.figures if one.what == what]
        rows = [Row(one.name, one.value, "", kind(report, one.name)) for one in figures]
        drawn.append(Panel(what, every[what], tuple(rows), bound=bound(report, what)))
    return [in_milliseconds(panel) if panel.unit == "us" else panel for panel in drawn]


def in_milliseconds(panel: Panel) -> Panel:
    """Change the unit where every bar is longer than a millisecond."""
    if any(row.value < 1_000 for row in panel.rows):
        return panel
    rows = tuple(replace(row, value=row.value / 1_000) for row in panel.rows)
    return replace(panel, unit="ms", rows=rows, bound=None if panel.bound is None else panel.bound / 1_000)


def kind(report: harness.Report, name: str) -> str:
    """Say what a contender is."""
    names = [*(one.name for one in report.measures), *(one.name for one in report.figures)]
    if name == report.floor:
        return "floor"
    return "own" if name.startswith(OURS) or not any(one.startswith(OURS) for one in names) else "peer"


def compared(report: harness.Report, one: harness.Measure, ours: float | None) -> str:
    """Say how a contender stands to us, and we to the floor."""
    if one.name == report.floor or ours is None:
        return ""
    if one.name.startswith(OURS):
        return f"{one.ratio:.0%} of the floor"
    times = one.micros / ours
    return f"{times:,.0f}x ours" if times >= 10 else f"{times:.2g}x ours"


def bound(report: harness.Report, what: str) -> float | None:
    """Give the strictest of what our own bar must not pass, in its unit; None when nothing is required."""
    bounds: list[float] = []
    for reach in report.reach:
        other = value_of(report, reach.against, what) if reach.against else 1.0
        if reach.what != what or other is None:
            continue
        if reach.at_most is not None:
            bounds.append(other * reach.at_most)
        elif reach.at_least is not None and reach.against:
            bounds.append(other / reach.at_least)
    return min(bounds, default=None)


def value_of(report: harness.Report, name: str, what: str) -> float | None:
    """Find what a contender measured."""
    if not what:
        return next((one.micros for one in report.measures if one.name == name), None)
    return next((one.value for one in report.figures if (one.name, one.what) == (name, what)), None)


def draw(panel: Panel, top: int) -> list[str]:
    """Draw one panel."""
    values = [row.value for row in panel.rows]
    scale = Scale([*values, *([panel.bound] if panel.bound else [])])
    floor = top + PANEL_HEAD + ROW * (len(panel.rows) + len(panel.missing))
    scaled = f"{panel.unit}, less is better{', logarithmic' if scale.log else ''}"
    parts = [text(MARGIN, top + 18, panel.title, "panel"), text(BARS_END, top + 18, scaled, "quiet", anchor="end")]
    for tick in scale.ticks():
        x = scale.x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top + PANEL_HEAD - 6}" y2="{floor}"/>')
        parts.append(text(x, floor + 14, shortly(tick), "tick", anchor="middle"))
    tops = [top + PANEL_HEAD + ROW * number for number in range(len(panel.rows) + len(panel.missing))]
    ends = [max(scale.x(row.value), LABELS_END + 1.5) for row in panel.rows]
    parts += [bar(row, x, y) for row, x, y in zip(panel.rows, ends, tops, strict=False)]
    if panel.bound is not None:
        x = scale.x(panel.bound)
        parts.append(f'<line class="required" x1="{x:.1f}" x2="{x:.1f}" y1="{top + PANEL_HEAD - 6}" y2="{floor + 2}"/>')
        words = f"required: at most {shortly(panel.bound)} {panel.unit}"
        parts.append(text(x, floor + 31, words, "bound", anchor="middle" if x < BARS_END - 40 else "end"))
    # Words come last: a line must not run through them.
    for row, x, y in zip(panel.rows, ends, tops, strict=False):
        parts += said(row, panel.unit, x, y)
    for name, y in zip(panel.missing, tops[len(panel.rows) :], strict=True):
        parts.append(text(LABELS_END - 10, y + BAR - 3, name, "quiet", anchor="end"))
        parts.append(text(LABELS_END + 8, y + BAR - 3, harness.NOT_INSTALLED, "quiet"))
    return parts


def bar(row: Row, end: float, top: int) -> str:
    """Draw one bar."""
    width = end - LABELS_END
    return f'<rect class="{row.kind}" x="{LABELS_END}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>'


def said(row: Row, unit: str, end: float, top: int) -> list[str]:
    """Write a bar's label and value."""
    style = "strong" if row.kind == "own" else "plain"
    after = f" · {row.beside}" if row.beside else ""
    return [
        text(LABELS_END - 10, top + BAR - 3, row.label, style, anchor="end"),
        text(end + 8, top + BAR - 3, f"{shortly(row.value)} {unit}{after}", style),
    ]


def text(x: float, y: float, words: str, style: str, *, anchor: str = "start") -> str:
    """Write words."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def shortly(value: float) -> str:
    """Give a number with three digits that matter."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def size_of(report: harness.Report) -> str:
    """Say how much was measured."""
    median = f"median of {report.repetitions}" if report.repetitions > 1 else "one run"
    return f"{report.operations:,} operations, {median}, Python {report.python}"
