"""What many seeds have shown, in numbers: cases, faults, points, and the seeds in which something did not hold.

However the seeds were spread over processes, the same seeds give the same tally, rates left out.
It does not know how a seed is run.
"""

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from typing import Final, final

from casework.actors.simulation.report import SeedReport

#: Failing seeds that are kept whole; more are only counted.
KEPT_MAX: Final = 100


@final
class Tally:
    """The sum of the seeds so far."""

    def __init__(self) -> None:
        self.seeds = 0
        self.case_runs = 0
        self.ends: Counter[str] = Counter()
        """How many cases ended how, or wait for what."""
        self.steps = 0
        self.virtual_seconds = 0.0
        self.cpu_seconds = 0.0
        self.faults: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        """In how many seeds each invariant did not hold."""
        self.failing = 0
        self.failures: list[SeedReport] = []
        """Failing seeds, the lowest first, and no more than so many."""

    def add(self, report: SeedReport, cpu_seconds: float) -> None:
        """Count a seed."""
        self.seeds += 1
        self.case_runs += report.case_runs
        self.ends.update(report.ends)
        self.steps += report.steps
        self.virtual_seconds += report.seconds
        self.cpu_seconds += cpu_seconds
        self.faults.update(report.faults)
        self.points.update(report.points)
        if report.violations:
            self.failing += 1
            self.broken.update({each.invariant for each in report.violations})
            insort(self.failures, report, key=lambda each: each.seed)
            del self.failures[KEPT_MAX:]

    def never_hit(self, known: Sequence[str]) -> list[str]:
        """Give the points that no seed has passed."""
        return [name for name in known if not self.points[name]]

    @property
    def case_runs_per_cpu_second(self) -> float:
        """Give how many cases were run to their end for each second of a processor."""
        return self.case_runs / self.cpu_seconds if self.cpu_seconds else 0.0
