"""Runs every benchmark, prints the tables, and keeps what was measured: records, plots, and the tables of the README.

Figures are never typed by hand: `results.json` is written here, and the README is filled from it between two markers.
With names (`run_all.py ask tell`) only those are run, and the records of the others stay. It knows no question.
"""

import argparse
import ast
import datetime as dt
import os
import platform
import subprocess
import sys
from pathlib import Path

import harness
import msgspec
import plot
from msgspec import Struct

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
PLOTS = FOLDER / "plots"
README = FOLDER / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
#: No benchmark takes as long; one that hangs must not hold up the others for ever.
BENCHMARK_SECONDS_MAX = 900


class Result(Struct, frozen=True, kw_only=True):
    """What one benchmark file measured, when and where."""

    name: str
    on: str
    """The day, UTC."""
    machine: str
    quick: bool
    reports: tuple[harness.Report, ...]


def names() -> list[str]:
    """Name the benchmarks."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def run(name: str, *, quick: bool) -> Result | None:
    """Run one benchmark in a process of its own; None, and its words, when it failed."""
    command = [sys.executable, str(FOLDER / f"bench_{name}.py"), "--json", *(["--quick"] if quick else [])]
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=BENCHMARK_SECONDS_MAX)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{name} failed: {error}\n", flush=True)
        return None
    reports = msgspec.json.decode(ended.stdout, type=tuple[harness.Report, ...])
    day = dt.datetime.now(dt.UTC).date().isoformat()
    return Result(name=name, on=day, machine=machine(), quick=quick, reports=reports)


def machine() -> str:
    """Say what was measured on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def read(path: Path) -> dict[str, Result]:
    """Read what was measured before."""
    if not path.exists():
        return {}
    return {one.name: one for one in msgspec.json.decode(path.read_bytes(), type=list[Result])}


def write(results: dict[str, Result], folder: Path) -> None:
    """Write records, plots and the README's tables."""
    kept = [results[name] for name in sorted(results)]
    (folder / RESULTS.name).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    plots = folder / PLOTS.name
    written = plot.write_all((report for one in kept for report in one.reports), plots)
    for stale in set(plots.glob("*.svg")) - set(written):
        stale.unlink()
    readme = folder / README.name
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n{markdown(kept)}\n{END}{after}", encoding="utf-8")


def markdown(results: list[Result]) -> str:
    """Give the README's part: first what is required, then question by question."""
    lines = ["### What is required", "", "| question | required | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {report.question} | {verdict.required} | {measured(verdict)} | {harness.said(verdict)} |"
        for one in results
        for report in one.reports
        for verdict in report.verdicts
    ]
    for one in results:
        lines += ["", f"### {question(one.name)}", ""]
        lines += [f"`bench_{one.name}.py`, {one.on}, {one.machine}{', a quick run' if one.quick else ''}."]
        for report in one.reports:
            lines += ["", f"![{report.question}]({PLOTS.name}/{plot.file_name(report)})", "", *table(report)]
    return "\n".join(lines)


def table(report: harness.Report) -> list[str]:
    """Give the rows of one report."""
    lines: list[str] = []
    if report.measures:
        lines += [f"| {report.question} | one operation | spread | of the floor |", "|---|---:|---:|---:|"]
        for one in report.measures:
            lines.append(f"| {one.name} | {one.micros:,.2f} us | {one.spread:.0%} | {one.ratio:.1%} |")
        lines += [f"| {name} | {harness.NOT_INSTALLED} | | |" for name in report.missing]
    if report.figures:
        lines += [""] if lines else []
        lines += [f"| {report.question} | | median | spread |", "|---|---|---:|---:|"]
        for figure in report.figures:
            lines.append(f"| {figure.name} | {figure.what} | {figure.value:,.2f} {figure.unit} | {figure.spread:.0%} |")
    if report.note:
        lines += ["", report.note]
    return lines


def measured(verdict: harness.Verdict) -> str:
    """Give what was measured, as the terminal's table says it, without its word for it."""
    return harness.measured(verdict).removeprefix("; measured ")


def question(name: str) -> str:
    """Give the question of a benchmark: the first line of its docstring."""
    tree = ast.parse((FOLDER / f"bench_{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or name).splitlines()[0]


def main() -> int:
    """Run those asked for, or all; return how many failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(names())}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, three repetitions")
    parser.add_argument("--dry", action="store_true", help="print the tables and write nothing")
    options = parser.parse_args()
    results = {name: kept for name, kept in read(RESULTS).items() if name in names()}
    failed = 0
    for name in options.names or names():
        result = run(name, quick=options.quick)
        if result is None:
            failed += 1
            continue
        results[name] = result
        for report in result.reports:
            print(harness.table(report), flush=True)
    if not options.dry:
        write(results, FOLDER)
        print(f"written: {RESULTS.name}, {PLOTS.name}/ and {README.name} in {FOLDER}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
