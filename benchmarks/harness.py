"""How every benchmark here is measured: warm-up, interleaved repetitions, median and spread, as a record.

The contenders of one question take turns within each repetition, so a busy moment of the machine hits them alike
and ratios can be trusted where absolute times cannot. It does not know what is measured.
"""

import argparse
import gc
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

import msgspec
from msgspec import Struct


class Measure(Struct, frozen=True, kw_only=True):
    """What one contender took for one operation."""

    name: str
    micros: float
    """Median over the repetitions."""
    spread: float
    """(slowest - fastest) / median."""
    ratio: float
    """Share of the floor's speed: 1.0 is as fast as the floor."""


class Report(Struct, frozen=True, kw_only=True):
    """The answer to one question."""

    question: str
    python: str
    operations: int
    repetitions: int
    measures: tuple[Measure, ...]


def measure(
    question: str, contenders: Mapping[str, Callable[[int], None]], *, floor: str, operations: int, repetitions: int
) -> Report:
    """Time each contender (it does the given number of operations) against the one named `floor`."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender(max(operations // 10, 1))
    for _ in range(repetitions):
        for name, contender in contenders.items():
            gc.collect()
            begun = perf_counter()
            contender(operations)
            times[name].append((perf_counter() - begun) / operations * 1e6)
    base = statistics.median(times[floor])
    return Report(
        question=question,
        python=sys.version.split()[0],
        operations=operations,
        repetitions=repetitions,
        measures=tuple(_measure(name, taken, base) for name, taken in times.items()),
    )


def main(answer: Callable[[int, int], list[Report]]) -> None:
    """Run a benchmark file from the command line: `--operations`, `--repetitions`, `--json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    reports = answer(options.operations, options.repetitions)
    if options.json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
        return
    for report in reports:
        print(f"{report.question} ({report.operations} operations, median of {report.repetitions})")
        for one in report.measures:
            print(f"  {one.name:<24}{one.micros:9.2f} us  spread {one.spread:5.0%}  {one.ratio:6.1%} of the floor")


def _measure(name: str, taken: list[float], base: float) -> Measure:
    median = statistics.median(taken)
    return Measure(name=name, micros=median, spread=(max(taken) - min(taken)) / median, ratio=base / median)
