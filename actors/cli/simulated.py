"""What simulate says: the summary of many seeds, what did not hold in one, what is left of its faults, its timeline.

It does not know how seeds are run.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from casework.actors.cli.tally import Tally
from casework.actors.simulation.report import SeedReport
from casework.runtime.simulation.kinds import KINDS, Measure, kinds_on, struck
from casework.runtime.simulation.plan import FaultPlan
from casework.runtime.simulation.planfile import as_table

#: Lines of one kind at most; `--json` has more of them.
LINES_MAX: Final = 25
#: What a node asks of the store all the time, and is not worth a line.
HOUSEKEEPING: Final = frozenset({
    "awaiting", "case", "cases", "claim", "held", "inbox", "reclaim", "records", "remember", "renew", "review",
    "reviews", "setting",
})  # fmt: skip
#: Answers of the store that say that what was asked was done.
DONE: Final = frozenset({"Appended", "CaseOpened", "DecisionTaken", "Delivered"})

_UNITS: Final = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
_PROCESS: Final = re.compile(r"(\w+\.\d+) (.*)")
_CASE: Final = re.compile(r"CaseKey\(tenant=(.*), case_id='(.*)'\) (\d+) (\w+)")


@dataclass(slots=True, frozen=True)
class Manner:
    """How seeds are run, for whoever wants to run one again."""

    crew: str
    faults: str = ""
    """What `--faults` was; empty: each seed's own."""

    def again(self, seed: int, *more: str) -> str:
        """Give the command that runs a seed again, byte for byte."""
        faults = ("--faults", self.faults) if self.faults else ()
        return shlex.join(("casework", "simulate", self.crew, "--seed", str(seed), *faults, *more))


@dataclass(slots=True, frozen=True)
class Rates:
    """How fast it went."""

    elapsed_seconds: float
    jobs: int

    def seeds_per_second(self, tally: Tally) -> float:
        """Give seeds for each real second."""
        return tally.seeds / self.elapsed_seconds if self.elapsed_seconds else 0.0


@dataclass(slots=True, frozen=True)
class Shrunk:
    """The fewest faults with which a seed still fails."""

    report: SeedReport
    """The run with what is left."""
    before: FaultPlan
    runs: int
    again: str
    """The command that repeats it."""


def summary_lines(tally: Tally, rates: Rates, never: Sequence[str]) -> Iterator[str]:
    """Give the summary of the seeds that were run."""
    yield f"{_many(tally.seeds, 'seed')}, {_many(tally.case_runs, 'case-run')}, {_long(tally.virtual_seconds)}"
    yield (
        f"{rates.seeds_per_second(tally):.1f} seeds/s on {_many(rates.jobs, 'process', 'processes')}, "
        f"{tally.case_runs_per_cpu_second:.0f} case-runs per CPU-second"
    )
    yield f"cases in the end: {_counted(tally.ends)}"
    yield f"faults that struck: {_counted(tally.faults)}"
    passed = sum(1 for times in tally.points.values() if times)
    yield f"points that were passed: {passed}; never: {', '.join(never) or 'none'}"
    if not tally.failing:
        yield "every invariant held" if tally.seeds else "no seed was run to its end, so nothing is known"
        return
    yield f"{_many(tally.failing, 'seed')} broke an invariant:"
    for name, seeds in sorted(tally.broken.items()):
        first = next((each.seed for each in tally.failures if name in _broken(each)), None)
        yield f"  {name} in {_many(seeds, 'seed')}" + (f", first in seed {first}" if first is not None else "")


def failure_lines(report: SeedReport, manner: Manner) -> Iterator[str]:
    """Say what did not hold in a seed, and how to see it again."""
    yield f"seed {report.seed} broke {', '.join(_broken(report))}"
    for each in report.violations[:LINES_MAX]:
        yield f"  {each.invariant}: {each.sentence}"
    if len(report.violations) > LINES_MAX:
        yield f"  ... {len(report.violations) - LINES_MAX} more: --json"
    yield f"  digest: {report.digest or 'none, it broke off'}"
    yield f"  again:  {manner.again(report.seed)}"


def holding_lines(report: SeedReport) -> Iterator[str]:
    """Say that everything held in a seed, and how its cases ended."""
    yield f"seed {report.seed}: every invariant held in {report.seconds:.0f} s of virtual time"
    yield f"  cases:  {_counted(report.ends)}"
    yield f"  digest: {report.digest}"


def shrunk_lines(shrunk: Shrunk) -> Iterator[str]:
    """Say what is left of a failing seed's faults."""
    plan, report = shrunk.report.plan, shrunk.report
    runs = _many(shrunk.runs, "run")
    left, before = kinds_on(plan), kinds_on(shrunk.before)
    if not left:
        yield f"seed {report.seed}, shrunk in {runs}: it fails without any fault"
    else:
        kinds = f"{len(left)} of {_many(len(before), 'kind')} of fault left"
        yield f"seed {report.seed}, shrunk in {runs}: {kinds}, for {plan.heal_seconds:.3g} s"
    yield from (f"  {_left(report, name)}" for name in left)
    for each in report.violations[:LINES_MAX]:
        yield f"  {each.invariant}: {each.sentence}"
    yield f"  digest: {report.digest or 'none, it broke off'}"
    yield f"  again:  {shrunk.again}"


def _left(report: SeedReport, name: str) -> str:
    """Say of one kind of fault how hard it is, and how often it struck."""
    kind, value = KINDS[name], float(getattr(report.plan, name))
    how = {
        Measure.CHANCE: f"with a chance of {value:.3g} each time",
        Measure.LONGEST: f"up to {value:.3g} s",
        Measure.APART: f"once in {value:.3g} s",
        Measure.STEPS: f"once in {value:.3g} steps",
    }[kind.measure]
    times = struck(report.faults, name)
    text = f"{kind.what}, {how}" + ("" if times is None else f": {_times(times)}")
    if name == "crash_points":
        text += "".join(f"; at {place} {_times(count)}" for place, count in deaths(report.told).items())
    return text


def deaths(told: Sequence[str]) -> Mapping[str, int]:
    """Count at which named points processes died, by what a run told."""
    places = (line.partition(" died at ")[2] for line in told)
    return Counter(place for place in places if place and place != "an await")


def timeline(told: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Give (moment, process, what) for each event that says something; housekeeping of nodes is left out."""
    for line in told:
        moment, _, text = line.partition(" ")
        at = f"{float(moment):10.3f}"
        found = _PROCESS.fullmatch(text)
        who, what = found.groups() if found else ("", text)
        case = _CASE.fullmatch(text)
        if case is not None:
            yield at, "", f"{case[2]} has {case[3]} records, head {case[4][:12]}"
        elif what.endswith("!"):
            yield at, who, f"fault: {KINDS[what[:-1]].what}"
        elif not found:
            yield at, "", what
        elif what.partition(" ")[0] not in HOUSEKEEPING:
            yield at, who, _call(what)


def _call(what: str) -> str:
    """Put a call of the store as what was done, or what the answer was."""
    call, _, rest = what.partition(" ")
    answer, _, about = rest.partition(" ")
    if answer in DONE:
        return f"{call} {about}"
    return f"{call} {about}: {answer}" if answer[:1].isupper() else what


def summary_json(tally: Tally, rates: Rates, never: Sequence[str], manner: Manner) -> dict[str, object]:
    """Give what `--json` says of many seeds."""
    return {
        "crew": manner.crew,
        "seeds": tally.seeds,
        "case_runs": tally.case_runs,
        "ends": dict(sorted(tally.ends.items())),
        "steps": tally.steps,
        "virtual_seconds": tally.virtual_seconds,
        "elapsed_seconds": rates.elapsed_seconds,
        "cpu_seconds": tally.cpu_seconds,
        "seeds_per_second": rates.seeds_per_second(tally),
        "case_runs_per_cpu_second": tally.case_runs_per_cpu_second,
        "faults": dict(sorted(tally.faults.items())),
        "points": dict(sorted(tally.points.items())),
        "points_never_hit": list(never),
        "failing_seeds": tally.failing,
        "broken": dict(sorted(tally.broken.items())),
        "failures": [seed_json(each, manner) for each in tally.failures],
    }


def seed_json(report: SeedReport, manner: Manner) -> dict[str, object]:
    """Give what `--json` says of one seed; its `plan` can be fed back by `--faults`."""
    said: dict[str, object] = msgspec.to_builtins(report)
    if not report.told:
        del said["told"]
    return {**said, "plan": as_table(report.plan), "again": manner.again(report.seed)}


def shrunk_json(shrunk: Shrunk) -> dict[str, object]:
    """Give what `--json` says of what is left of a seed's faults."""
    report = shrunk.report
    return {
        "seed": report.seed,
        "runs": shrunk.runs,
        "plan": as_table(report.plan),
        "kinds_before": list(kinds_on(shrunk.before)),
        "kinds": list(kinds_on(report.plan)),
        "violations": msgspec.to_builtins(report.violations),
        "digest": report.digest,
        "again": shrunk.again,
    }


def _counted(times: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(times.items())) or "none"


def _broken(report: SeedReport) -> list[str]:
    return list(dict.fromkeys(each.invariant for each in report.violations))


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one}" if count == 1 else f"{count} {several or one + 's'}"


def _long(seconds: float) -> str:
    """Say how long that is, in the unit that fits."""
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= 2 * size), _UNITS[-1])
    return f"{seconds / size:.0f} {unit} of virtual time"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
