"""`make chaos`: every chaos run at its full size, one after the other, with a table of what was found.

    python -m tests.support.chaos_main [RUN ...] [--json FILE]

Ends with 1 if anything was lost, done twice, left with a gap or not asked about, or took longer than it may. The short
forms of these runs are tests, in `tests/chaos`. It does not know how a run does what it does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import anyio
from postgres_server import postgres_server

from tests.support import chaos_kill, chaos_machine, chaos_outage, chaos_zombie

HOME = Path(__file__).parents[2]
#: Seconds within which a backlog must be drained once the server is back.
DRAINED_SECONDS_MAX = 30.0
#: Seconds between two lines of progress.
PROGRESS_SECONDS = 5.0
POWER_LOSSES = 1_000
POWER_SECONDS_MAX = 600.0
POWER_TEST = "tests/runtime/store/test_sqlite_power_loss.py"
#: Orders of calls, and calls in each.
ORDERS, CALLS = 100, 40

Figures = dict[str, object]


class Result(NamedTuple):
    """One run, as the table and the file show it."""

    run: str
    what: str
    wrong: dict[str, object]  #: what must not be there and is
    figures: Figures
    seconds: float = 0.0


Tell = Callable[[str], None]


async def kill(folder: Path, tell: Tell) -> Result:
    """Kill a service on SQLite a hundred times."""
    plan = chaos_kill.KillPlan(cases=2_000, kills=100)
    seen = await chaos_kill.run(plan, folder, tell)
    what = f"SIGKILL {seen.kills} times in a run of {plan.cases} cases on SQLite"
    figures = {"kills": seen.kills, "before it was ready": seen.unready, "at rest": seen.at_rest}
    return Result("kill", what, {**seen.found.wrong}, {**figures, **seen.found._asdict()})


async def zombie(folder: Path, tell: Tell) -> Result:
    """Make zombies of services on PostgreSQL."""
    # More services at a time would be more connections than the server of the tests takes.
    plan = chaos_zombie.ZombiePlan(pairs=3, zombies=17, leases=3)
    with postgres_server() as server:
        seen = await chaos_zombie.run(plan, server, "zombie", folder, tell)
    what = f"SIGSTOP for {plan.leases:g} leases, {seen.zombies} times, two services on PostgreSQL"
    taken = seen.taken_over_seconds
    figures = {
        "held": seen.held,
        "fenced": seen.fenced,
        "stale": seen.stale,
        "taken over, median s": round(median(taken), 1),
        "taken over, longest s": round(max(taken), 1),
    }
    stale = {"stale": seen.stale} if seen.stale else {}
    return Result("zombie", what, {**seen.found.wrong, **stale}, {**figures, **seen.found._asdict()})


async def crash(folder: Path, tell: Tell) -> Result:
    """Crash PostgreSQL under load and start it again after a while."""
    return await _outage("crash", chaos_outage.OutagePlan(30.0, "crashed"), folder, tell)


async def freeze(folder: Path, tell: Tell) -> Result:
    """Stop PostgreSQL where it stands, under load."""
    return await _outage("freeze", chaos_outage.OutagePlan(30.0, "frozen"), folder, tell)


async def _outage(name: str, plan: chaos_outage.OutagePlan, folder: Path, tell: Tell) -> Result:
    with postgres_server() as server:
        seen = await chaos_outage.run(plan, server, name, folder, tell)
    late = {"drained s": seen.drained_seconds} if seen.drained_seconds > DRAINED_SECONDS_MAX else {}
    dead = {"services that ended": 2 - seen.survivors} if seen.survivors < 2 else {}
    figures = {
        "away s": round(seen.away_seconds, 1),
        "backlog": seen.backlog,
        "drained after s": round(seen.drained_seconds, 1),
    }
    what = f"PostgreSQL {plan.how} for {plan.seconds:g} s under load, two services"
    return Result(name, what, {**seen.found.wrong, **late, **dead}, {**figures, **seen.found._asdict()})


async def commits(folder: Path, tell: Tell) -> Result:
    """Cut connections to PostgreSQL about their commits, and compare with memory."""

    def tried() -> chaos_machine.Figures:
        with postgres_server() as server:
            return chaos_machine.run(server, ORDERS, CALLS, tell)

    seen = await anyio.to_thread.run_sync(tried)
    what = f"the cable to PostgreSQL cut at {seen.cuts} commits of {seen.calls} calls, compared with memory"
    return Result("commits", what, {}, seen._asdict())


async def power(folder: Path, tell: Tell) -> Result:
    """Let the power fail under SQLite."""
    environment = {**os.environ, "CASEWORK_POWER_LOSSES": str(POWER_LOSSES)}
    command = [sys.executable, "-m", "pytest", "-q", POWER_TEST, "-k", "no_power_loss"]

    def tried() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=HOME,
            env=environment,
            capture_output=True,
            text=True,
            timeout=POWER_SECONDS_MAX,
            check=False,
        )

    done = await anyio.to_thread.run_sync(tried)
    wrong = {"test": done.stdout[-2_000:]} if done.returncode else {}
    return Result("power", "the power fails at any call of SQLite", {**wrong}, {"losses": POWER_LOSSES})


RUNS: dict[str, Callable[[Path, Tell], Awaitable[Result]]] = {
    run.__name__: run for run in (kill, zombie, crash, freeze, commits, power)
}


class Progress:
    """Says now and then how far a run has come."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._next = 0.0

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            sys.stderr.write(f"  {self._run}: {line}\n")


async def chaos(names: Sequence[str]) -> list[Result]:
    """Do these runs, one after the other; one that fails altogether is a result as well."""
    results = []
    for name in names:
        begun = time.monotonic()
        sys.stderr.write(f"== {name}: {RUNS[name].__doc__}\n")
        with tempfile.TemporaryDirectory(prefix="casework-chaos-") as folder:
            try:
                result = await RUNS[name](Path(folder), Progress(name))
            except Exception as error:  # noqa: BLE001 - the other runs are told of all the same
                result = Result(name, RUNS[name].__doc__ or "", {"failed": _told(error)}, {})
        results.append(result._replace(seconds=round(time.monotonic() - begun, 1)))
        sys.stderr.write(f"{table(results[-1:])}\n")
    return results


def _told(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def table(results: Sequence[Result]) -> str:
    """Show results to a person."""
    lines = []
    for result in results:
        verdict = f"WRONG: {_listed(result.wrong)}" if result.wrong else "well"
        lines.append(f"{result.run:8} {verdict:8} {result.seconds:6.0f} s  {result.what}")
        lines.append(f"{'':27}{_listed(result.figures)}")
    return "\n".join(lines)


def _listed(figures: Figures) -> str:
    return ", ".join(f"{name} {figure}" for name, figure in figures.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print the table, and give the exit code."""
    parser = argparse.ArgumentParser(description="Chaos at its full size.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"some of {', '.join(RUNS)}; all if left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.runs if name not in RUNS]:
        parser.error(f"there is no run {unknown[0]!r}; there are {', '.join(RUNS)}")
    results = anyio.run(chaos, asked.runs or list(RUNS))
    print(table(results))
    if asked.json is not None:
        asked.json.write_text(json.dumps([each._asdict() for each in results], indent=2) + "\n", encoding="utf-8")
    return int(any(each.wrong for each in results))


if __name__ == "__main__":
    sys.exit(main())
