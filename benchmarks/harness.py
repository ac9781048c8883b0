"""How every benchmark here is measured: a fresh process for each run, runs that take turns, medians, as a record.

Within each repetition the contenders of one question take turns, so a busy moment of the machine hits them alike, and
ratios, which are taken within a repetition, can be trusted where absolute times cannot. Each run is a fork of a parent
that has imported and done nothing, so no contender inherits another's heap; it warms up, collects garbage, and runs
with the collector on, as users have it. A peer is started by its own interpreter (`External`).
It does not know what is measured.
"""

import argparse
import gc
import os
import statistics
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import msgspec
from msgspec import Struct

#: A run does a tenth of its operations before the clock starts: caches, specialised bytecode, grown buffers.
WARM_UP_SHARE = 10
#: What the table says of a peer whose virtual environment is not there.
NOT_INSTALLED = "not installed: make bench-peers"

T = TypeVar("T")


class Run(Struct, frozen=True, kw_only=True):
    """What one run measured of itself, start-up and warm-up left out."""

    seconds: float
    operations: int
    figures: dict[str, float] = {}
    """What else it saw, by name."""


#: Does the given number of operations. The whole call is timed, unless it returns what it timed itself.
Contender = Callable[[int], "Run | float | None"]


@dataclass(frozen=True)
class External:
    """A contender that runs in a process of its own and measures itself: neither forked nor warmed up here."""

    run: Callable[[int], Run]


class Measure(Struct, frozen=True, kw_only=True):
    """What one contender took for one operation."""

    name: str
    micros: float
    """Median over the repetitions."""
    spread: float
    """(slowest - fastest) / median."""
    ratio: float
    """Share of the floor's speed, median of the repetitions: 1.0 is as fast as the floor."""
    taken: tuple[float, ...] = ()
    """Each repetition."""


class Figure(Struct, frozen=True, kw_only=True):
    """Something else than the time of one operation."""

    name: str
    """The contender."""
    what: str
    value: float
    """Median over the repetitions."""
    unit: str
    spread: float = 0.0
    taken: tuple[float, ...] = ()


class Reach(Struct, frozen=True, kw_only=True):
    """What a contender must reach. State one bound.

    Against another contender `at_least` is of speed (0.5: half as fast) and `at_most` is of the figure itself (2.0:
    twice as much). Against nobody both are of the figure itself.
    """

    contender: str
    what: str = ""
    """Which figure; empty for the time of one operation."""
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether it was reached."""

    required: str
    measured: float | None
    """In the terms of `required`; None when one of the two did not run."""
    reached: bool | None


class Report(Struct, frozen=True, kw_only=True):
    """The answer to one question."""

    question: str
    python: str
    floor: str = ""
    """The contender against which the others are held, if there is one."""
    operations: int
    repetitions: int
    measures: tuple[Measure, ...] = ()
    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()
    """Peers that are not installed."""
    reach: tuple[Reach, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""
    """What a reader must know beside the figures."""


def measure(
    question: str,
    contenders: Mapping[str, Contender | External | None],
    *,
    floor: str,
    operations: int,
    repetitions: int,
    reach: Sequence[Reach] = (),
    note: str = "",
) -> Report:
    """Time each contender (it does the given number of operations) against the one named `floor`.

    A contender that is None is listed as not installed. What a `Run` saw besides its time is left out: see `observe`.
    """
    there = {name: contender for name, contender in contenders.items() if contender is not None}
    times: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(repetitions):
        for name, contender in there.items():
            run = run_fresh(contender, operations)
            times[name].append(run.seconds / run.operations * 1e6)
    return judged(
        Report(
            question=question,
            python=sys.version.split()[0],
            floor=floor,
            operations=operations,
            repetitions=repetitions,
            measures=tuple(_measure(name, taken, times[floor]) for name, taken in times.items()),
            missing=tuple(name for name in contenders if name not in there),
            reach=tuple(reach),
            note=note,
        )
    )


def observe(
    question: str,
    contenders: Mapping[str, Contender | External | None],
    *,
    units: Mapping[str, str],
    floor: str = "",
    operations: int,
    repetitions: int,
    reach: Sequence[Reach] = (),
    note: str = "",
) -> Report:
    """Have each contender give figures of its own (`Run.figures`); `units` names those to show, in order."""
    there = {name: contender for name, contender in contenders.items() if contender is not None}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in there}
    for _ in range(repetitions):
        for name, contender in there.items():
            seen[name].append(run_fresh(contender, operations, warm_up=False).figures)
    return judged(
        Report(
            question=question,
            python=sys.version.split()[0],
            floor=floor,
            operations=operations,
            repetitions=repetitions,
            figures=tuple(
                _figure(name, what, unit, [run[what] for run in runs])
                for what, unit in units.items()
                for name, runs in seen.items()
                if what in runs[0]
            ),
            missing=tuple(name for name in contenders if name not in there),
            reach=tuple(reach),
            note=note,
        )
    )


def run_fresh(contender: Contender | External, operations: int, *, warm_up: bool = True) -> Run:
    """Run a contender once in a fresh process.

    Raises:
        RuntimeError: it failed; its traceback was printed.
    """
    if isinstance(contender, External):
        return contender.run(operations)
    return in_fork(lambda: _run_here(contender, operations, warm_up=warm_up), Run)


def in_fork(function: Callable[[], T], result: type[T]) -> T:
    """Call `function` in a fork of this process and bring its result over a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        status = 1
        try:
            with open(writer, "wb") as pipe:
                pipe.write(msgspec.json.encode(function()))
            status = 0
        except BaseException:  # noqa: BLE001 - the parent hears of it by the exit status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        sent = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("a contender failed; see its traceback above")
    return msgspec.json.decode(sent, type=result)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the value below which that share of the sorted values lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def resident_bytes() -> int:
    """Say how much memory this process holds now (RSS)."""
    with open("/proc/self/statm", encoding="ascii") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def judged(report: Report) -> Report:
    """Add the verdicts on what the report must reach."""
    return msgspec.structs.replace(report, verdicts=tuple(_verdict(report, reach) for reach in report.reach))


def required(report: Report, reach: Reach) -> str:
    """Say in words what must be reached."""
    bound = reach.at_most if reach.at_least is None else reach.at_least
    assert bound is not None, "a requirement has a bound"
    side = "at most" if reach.at_least is None else "at least"
    thing = f"{reach.contender}, {reach.what}:" if reach.what else f"{reach.contender}:"
    if not reach.against:
        unit = next((one.unit for one in report.figures if one.what == reach.what), "us")
        return f"{thing} {side} {bound:,g} {unit}".rstrip()
    if reach.at_least is None:
        return f"{thing} {side} {bound:g}x that of {reach.against}"
    share = f"{bound:.0%} of the speed" if bound < 1 else f"{bound:g}x the speed"
    return f"{thing} {side} {share} of {reach.against}"


def main(answer: Callable[[int, int], list[Report]], *, operations: int = 20_000, repetitions: int = 5) -> None:
    """Run a benchmark file from the command line: `--operations`, `--repetitions`, `--quick`, `--json`, `--plot`.

    Args:
        answer: measures, given operations and repetitions.
        operations: the full size.
        repetitions: as many for a median that one busy moment does not move.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=0, help=f"the full size is {operations}")
    parser.add_argument("--repetitions", type=int, default=0, help=f"the full number is {repetitions}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, three repetitions")
    parser.add_argument("--json", action="store_true", help="print the record instead of the table")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write a plot of each question there")
    options = parser.parse_args()
    if options.quick:
        operations, repetitions = max(operations // 10, 1), min(repetitions, 3)
    reports = answer(options.operations or operations, options.repetitions or repetitions)
    if options.plot is not None:
        # Imported late: it reads the records of this module.
        import plot

        plot.write_all(reports, options.plot)
    if options.json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
        return
    for report in reports:
        print(table(report))


def table(report: Report) -> str:
    """Give a report as a person reads it in a terminal."""
    lines = [f"{report.question} ({report.operations:,} operations, median of {report.repetitions})"]
    lines += [
        f"  {one.name:<30}{one.micros:12,.2f} us   spread {one.spread:5.0%}  {one.ratio:7.1%} of the floor"
        for one in report.measures
    ]
    for figure in report.figures:
        amount = f"{figure.value:14,.2f} {figure.unit}".rstrip()
        lines.append(f"  {figure.name:<30}{figure.what:<34}{amount:<20} spread {figure.spread:5.0%}")
    lines += [f"  {name:<30}{NOT_INSTALLED}" for name in report.missing]
    for verdict in report.verdicts:
        lines.append(f"  {said(verdict)}: {verdict.required}{measured(verdict)}")
    if report.note:
        lines.append(f"  {report.note}")
    return "\n".join(lines) + "\n"


def said(verdict: Verdict) -> str:
    """Give the verdict in a word or two."""
    if verdict.reached is None:
        return "not measured"
    return "reached" if verdict.reached else "NOT REACHED"


def measured(verdict: Verdict) -> str:
    """Give what was measured, in the terms of what was required."""
    if verdict.measured is None:
        return ""
    share = "% of the speed" in verdict.required
    times = "x the speed" in verdict.required or "x that of" in verdict.required
    amount = f"{verdict.measured:.0%}" if share else f"{verdict.measured:,.2f}{'x' if times else ''}"
    return f"; measured {amount}"


def _run_here(contender: Contender, operations: int, *, warm_up: bool) -> Run:
    if warm_up:
        contender(max(operations // WARM_UP_SHARE, 1))
    gc.collect()
    begun = perf_counter()
    told = contender(operations)
    whole = perf_counter() - begun
    if isinstance(told, Run):
        return told
    return Run(seconds=whole if told is None else told, operations=operations)


def _verdict(report: Report, reach: Reach) -> Verdict:
    words = required(report, reach)
    own = _taken(report, reach.contender, reach.what)
    other = _taken(report, reach.against, reach.what) if reach.against else (1.0,) * len(own)
    if not own or not other:
        return Verdict(required=words, measured=None, reached=None)
    pairs = list(zip(own, other, strict=True))
    if reach.at_least is not None:
        shares = [theirs / ours if reach.against else ours for ours, theirs in pairs]
        value = statistics.median(shares)
        return Verdict(required=words, measured=value, reached=value >= reach.at_least)
    value = statistics.median(ours / theirs for ours, theirs in pairs)
    assert reach.at_most is not None, "a requirement has a bound"
    return Verdict(required=words, measured=value, reached=value <= reach.at_most)


def _taken(report: Report, contender: str, what: str) -> tuple[float, ...]:
    """Give each repetition of one figure; nothing when the contender did not run."""
    if not what:
        return next((one.taken for one in report.measures if one.name == contender), ())
    return next((one.taken for one in report.figures if (one.name, one.what) == (contender, what)), ())


def _measure(name: str, taken: Sequence[float], base: Sequence[float]) -> Measure:
    median = statistics.median(taken)
    ratio = statistics.median(floor / own for floor, own in zip(base, taken, strict=True))
    return Measure(name=name, micros=median, spread=(max(taken) - min(taken)) / median, ratio=ratio, taken=tuple(taken))


def _figure(name: str, what: str, unit: str, taken: Sequence[float]) -> Figure:
    median = statistics.median(taken)
    spread = (max(taken) - min(taken)) / median if median else 0.0
    return Figure(name=name, what=what, value=median, unit=unit, spread=spread, taken=tuple(taken))
