"""The sub-command simulate: a crew under seeded faults and virtual time, seed by seed, and what did not hold.

The seeds are spread over worker processes. Of many seeds the first that fails is run again with fewer faults, until
no fault is left that it does not need. It does not know what a run is, nor what must hold of it.
"""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, final

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.files import check_files, write_files
from casework.actors.cli.options import JsonOption
from casework.actors.cli.output import say, say_columns, say_json, tell
from casework.actors.cli.seed_worker import Ask
from casework.actors.cli.seeds import DEATHS_MAX, Crowd, Worker, cores
from casework.actors.cli.simulated import (
    Manner,
    Rates,
    Shrunk,
    failure_lines,
    holding_lines,
    seed_json,
    shrunk_json,
    shrunk_lines,
    summary_json,
    summary_lines,
    timeline,
)
from casework.actors.cli.tally import KEPT_MAX, Tally
from casework.actors.cli.working import Interrupts, interruptible
from casework.actors.crew import load_crew
from casework.actors.simulation.points import known_points
from casework.actors.simulation.report import SeedReport
from casework.actors.simulation.scenario import load_scenario
from casework.actors.simulation.sources import check_source
from casework.runtime.seams import World
from casework.runtime.simulation.kinds import struck_in_all
from casework.runtime.simulation.plan import FaultPlan
from casework.runtime.simulation.planfile import as_json, as_toml, load_plan, parse_plan
from casework.runtime.simulation.shrinking import RUNS_MAX, Shrinker

#: Seeds of a run that does not say how many.
SEEDS: Final = 100
SEEDS_MAX: Final = 10_000_000
#: Failing seeds of which everything is said; of the others, only which they are.
SEEDS_TOLD: Final = 3
JOBS_MAX: Final = 64
#: What is said of a seed that does not give the same run again.
UNSTEADY: Final = (
    "seed {seed} went another way when it was run again: something that the crew does depends on more than the seed, "
    "such as a clock, chance or the order of a set; have it come from `case` or the scenario's `randomness`"
)


@dataclass(slots=True, frozen=True)
class Wish:
    """What is to be run, and what is to be said of it."""

    manner: Manner
    ask: Ask
    jobs: int
    points: tuple[str, ...]
    one: bool
    """One seed, which somebody named."""
    shrink: bool
    save: Path | None
    all_points: bool
    json: bool


def simulate(
    crew: str,
    /,
    *,
    seeds: Annotated[int | None, Parameter(help=f"How many seeds; {SEEDS} if left out.")] = None,
    from_: Annotated[int | None, Parameter(name="--from", help="The first seed; 0 if left out.")] = None,
    seed: Annotated[int | None, Parameter(help="Run this one seed.")] = None,
    trace: Annotated[bool, Parameter(negative="", help="With --seed: print what happened.")] = False,
    shrink: Annotated[
        bool, Parameter(negative="", help="With --seed: find the fewest faults that still fail.")
    ] = False,
    jobs: Annotated[int | None, Parameter(help="Processes side by side; one for each core if left out.")] = None,
    faults: Annotated[
        str, Parameter(help="A plan of faults for every seed: a TOML or JSON file, or JSON itself.")
    ] = "",
    save: Annotated[Path | None, Parameter(help="Write the failing plan, as small as it got, to this file.")] = None,
    all_points: Annotated[bool, Parameter(negative="", help="End with 1 if a named point is never passed.")] = False,
    json_: JsonOption = False,
) -> int:
    """Run a crew in a simulated world, under seeded faults, and say what did not hold.

    Parameters
    ----------
    crew
        The crew, as module:attribute; it names its scenario.
    """
    _check_options(seeds, from_, seed, jobs, alone=trace or shrink)
    # Before the seeds, for they may take an hour.
    check_files(*([save] if save is not None else []))
    folder = Path.cwd()
    loaded = load_crew(crew, folder=folder)
    load_scenario(loaded)
    plan = _plan(faults)
    for found in check_source(crew.partition(":")[0]):
        tell("warning", str(found).removeprefix(f"{folder}/"))
    first, count = (seed, 1) if seed is not None else (from_ or 0, SEEDS if seeds is None else seeds)
    wish = Wish(
        manner=Manner(crew, faults),
        ask=Ask(first=first, count=count, plan=plan, keep=trace),
        jobs=min(jobs or cores(), JOBS_MAX, count),
        points=known_points(loaded),
        one=seed is not None,
        shrink=shrink or seed is None,
        save=save,
        all_points=all_points,
        json=json_,
    )

    async def work(interrupts: Interrupts) -> int:
        return await _work(wish, interrupts)

    return anyio.run(interruptible, work, "what was found so far is told")


def _check_options(seeds: int | None, first: int | None, seed: int | None, jobs: int | None, *, alone: bool) -> None:
    if seed is not None and (seeds is not None or first is not None):
        raise Quit(Exit.USAGE, "--seed names one seed, --seeds and --from many; leave out one or the other")
    if alone and seed is None:
        raise Quit(Exit.USAGE, "--trace and --shrink are about one seed; name it by --seed")
    if seeds is not None and not 1 <= seeds <= SEEDS_MAX:
        raise Quit(Exit.USAGE, f"--seeds {seeds}: how many is a number from 1 to {SEEDS_MAX}")
    if jobs is not None and not 1 <= jobs <= JOBS_MAX:
        raise Quit(Exit.USAGE, f"--jobs {jobs}: how many is a number from 1 to {JOBS_MAX}")
    for option, value in (("--seed", seed), ("--from", first)):
        if value is not None and not 0 <= value <= SEEDS_MAX**2:
            raise Quit(Exit.USAGE, f"{option} {value}: a seed is a number from 0 to {SEEDS_MAX**2}")


def _plan(faults: str) -> FaultPlan | None:
    if not faults:
        return None
    return parse_plan(faults, file="--faults") if faults.lstrip().startswith("{") else load_plan(Path(faults))


async def _work(wish: Wish, interrupts: Interrupts) -> int:
    clock, tally = World().clock, Tally()
    reports: list[SeedReport] = []
    crowd = Crowd(wish.manner.crew, Path.cwd(), wish.jobs)
    began, rates, complete = clock.monotonic(), Rates(0.0, wish.jobs), False
    shrinking: _Shrinking | None = None
    with interrupts.scope:
        with _bar("seeds", wish.ask.count) as advance:

            def heard(report: SeedReport, cpu_seconds: float) -> None:
                tally.add(report, cpu_seconds)
                if wish.one:
                    reports.append(report)
                advance(f"seeds ({tally.failing} failed)")

            try:
                complete = await crowd.run(wish.ask, heard)
            finally:
                rates = Rates(clock.monotonic() - began, wish.jobs)
        if tally.failures and wish.shrink:
            shrinking = _Shrinking(wish, tally.failures[0])
            await shrinking.run()
    shrunk = shrinking.shrunk() if shrinking is not None else None
    if wish.one and reports:
        _tell_seed(wish, reports[0], shrunk)
    else:
        _tell_all(wish, tally, rates, shrunk)
    if shrinking is not None and not shrinking.steady:
        tell("warning", UNSTEADY.format(seed=tally.failures[0].seed))
    if not complete and not interrupts.heard:
        tell("error", f"given up after {DEATHS_MAX} processes had ended before their seeds did")
    if wish.save is not None and tally.failures:
        plan = shrunk.report.plan if shrunk is not None else tally.failures[0].plan
        write_files((wish.save, as_toml(plan).encode()))
    return _code(wish, tally, interrupts)


def _code(wish: Wish, tally: Tally, interrupts: Interrupts) -> Exit:
    if interrupts.heard:
        return Exit.INTERRUPTED
    if tally.failing:
        return Exit.BROKEN
    if wish.all_points and tally.never_hit(wish.points):
        tell("error", f"no seed has passed {', '.join(tally.never_hit(wish.points))}")
        return Exit.WRONG
    return Exit.OK


@final
class _Shrinking:
    """The search for the fewest faults that break the same invariant; interrupted, the fewest so far stand."""

    def __init__(self, wish: Wish, failing: SeedReport) -> None:
        self._wish = wish
        self._failing = failing
        self._best = failing
        self._broken = failing.violations[0].invariant
        self.steady = True  #: whether the seed gave the same run again
        self._shrinker = Shrinker(failing.plan, struck_in_all(failing.faults))

    async def run(self) -> None:
        """Run the seed as it was, to see that it repeats, then with fewer and fewer faults, within a bound."""
        worker = Worker(self._wish.manner.crew, Path.cwd())
        with _bar("shrinking", RUNS_MAX) as advance:
            try:
                again = await self._tried(worker, self._failing.plan)
                self.steady = again.digest == self._failing.digest
                while (plan := self._shrinker.propose()) is not None:
                    report = await self._tried(worker, plan)
                    fails = any(each.invariant == self._broken for each in report.violations)
                    self._shrinker.hear(fails=fails, struck=struck_in_all(report.faults))
                    if self._shrinker.best is plan:
                        self._best = report
                    advance(f"shrinking ({self._broken})")
            finally:
                await worker.aclose()

    async def _tried(self, worker: Worker, plan: FaultPlan) -> SeedReport:
        """Run the seed with a plan; where a process died before it began, another one does."""
        reports: list[SeedReport] = []
        while not reports:
            ask = Ask(first=self._failing.seed, plan=plan, keep=True)
            await worker.run(ask, lambda report, _: reports.append(report))
        return reports[0]

    def shrunk(self) -> Shrunk:
        """Give what is left."""
        wish, best = self._wish, self._best
        faults = str(wish.save) if wish.save is not None else as_json(best.plan)
        again = Manner(wish.manner.crew, faults).again(best.seed)
        return Shrunk(best, self._failing.plan, self._shrinker.runs, again)


def _tell_seed(wish: Wish, report: SeedReport, shrunk: Shrunk | None) -> None:
    if wish.json:
        said = seed_json(report, wish.manner)
        say_json({**said, "shrunk": shrunk_json(shrunk)} if shrunk is not None else said)
        return
    if report.told:
        say_columns(list(timeline(report.told)))
    if report.violations:
        say(*failure_lines(report, wish.manner))
    else:
        say(*holding_lines(report))
    if shrunk is not None:
        say("", *shrunk_lines(shrunk))


def _tell_all(wish: Wish, tally: Tally, rates: Rates, shrunk: Shrunk | None) -> None:
    never = tally.never_hit(wish.points)
    if wish.json:
        said = summary_json(tally, rates, never, wish.manner)
        say_json({**said, "shrunk": shrunk_json(shrunk)} if shrunk is not None else said)
        return
    say(*summary_lines(tally, rates, never))
    for report in tally.failures[:SEEDS_TOLD]:
        say("", *failure_lines(report, wish.manner))
    more = [str(each.seed) for each in tally.failures[SEEDS_TOLD:]]
    if more:
        say("", f"more seeds that broke something: {', '.join(more)}{' ...' if tally.failing > KEPT_MAX else ''}")
    if shrunk is not None:
        say("", *shrunk_lines(shrunk))


@contextmanager
def _bar(what: str, total: int) -> Generator[Callable[[str], None], None, None]:
    """Show a progress bar if somebody looks at a terminal; what is given moves it on by one."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda description: progress.update(bar, advance=1, description=description)
