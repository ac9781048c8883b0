"""Managers: somebody plans, workers do what was planned side by side, and so on in rounds until a bound is reached.

Calls and money are divided into equal shares before anything begins: each plan, each sub-task and the combining takes
one, so all of them together can never use more than the manager has. Of the time that is left each round gets its part.
A round that finds nothing which was not known before, by the hash of its bytes, has learnt nothing.
It does not know what is planned, nor what a finding is worth.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.bounds import Bounds, Progress, Stop, part_of_time, stop
from casework.actors.patterns.errors import PatternFailed
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.terms import Terms
from casework.protocols.codec import pack
from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case, Result
from casework.runtime.seams import MICROS

#: Shares that a round needs at least: one to plan with, one for a sub-task.
ROUND_SHARES: Final = 2


class Subtask(NamedTuple):
    """A piece of the work, for one worker."""

    worker: str
    given: Any


def digest(value: object) -> str:
    """Tell values apart by the hash of their bytes, in hex."""
    return hashlib.sha256(bytes(pack(value))).hexdigest()


@dataclass(slots=True, frozen=True, eq=False)
class Manager:
    """Plans, has workers work, and combines what they found, within four bounds."""

    name: str
    takes: Any
    gives: Any
    planner: Pattern
    workers: Mapping[str, Pattern]
    combiner: Pattern
    brief: Callable[[Any, Sequence[Result[Any]]], Any]
    """Makes what the planner is given of the work and the findings so far, each of which is there once."""
    split: Callable[[Any], Sequence[Subtask]]
    """Makes sub-tasks of what the planner gives; none of them: there is nothing left to do."""
    collect: Callable[[Any, Sequence[Result[Any]]], Any]
    """Makes what the combiner is given of the work and all findings."""
    bounds: Bounds
    kind: str = field(default="manager", init=False)

    @property
    def parts(self) -> Sequence[Edge]:
        """Give planner, workers and combiner."""
        workers = (Edge(worker, name) for name, worker in self.workers.items())
        return (Edge(self.planner, "plans"), *workers, Edge(self.combiner, "combines"))

    def flaws(self) -> Sequence[str]:
        """Name the bounds that are missing, and say so if nobody works."""
        who = f"manager {self.name!r}"
        nobody = f"{who} has no workers; give at least one, by the name that sub-tasks use"
        missing = () if self.workers else (nobody,)
        return (*missing, *self.bounds.flaws(who), *misfits(who, self.combiner, wanted=self.gives))

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Go on in rounds until a bound is reached, then combine what was found.

        Raises:
            PatternFailed: a plan names a worker that is not there (INVALID).
        """
        share = terms.shares([1.0] * self.bounds.shares)[0]
        until = min(terms.deadline, await case.now() + round(self.bounds.seconds * MICROS))
        progress = Progress(left=self.bounds.shares - 1)
        found: dict[str, Result[Any]] = {}
        while True:
            now = await case.now()
            ended = stop(self.bounds, progress, now=now, until=until, needed=ROUND_SHARES)
            if ended is None:
                rounds_left = self.bounds.rounds - progress.rounds
                within = share.narrowed(self.name, deadline=part_of_time(now, until, rounds_left))
                ended = await self._round(case, given, within, progress, found)
            if ended is not None:
                await self._record(case, "combine", ended, progress, found)
                return await self.combiner(case, self.collect(given, tuple(found.values())), share)

    async def _round(
        self, case: Case, given: object, within: Terms, progress: Progress, found: dict[str, Result[Any]]
    ) -> Stop | None:
        """Plan and work once; tell if there was nothing to do."""
        progress.rounds += 1
        progress.left -= 1
        planned = await self.planner(case, self.brief(given, tuple(found.values())), within)
        wanted = self.split(planned.value)
        if not wanted:
            return Stop.DONE
        tasks = wanted[: progress.left]
        progress.left -= len(tasks)
        self._check(tasks)
        await self._record(case, "work", None, progress, found, planned=wanted, given=tasks)
        results = await case.gather(*(self.workers[task.worker](case, task.given, within) for task in tasks))
        known = len(found)
        for result in results:
            found.setdefault(digest(result.value), result)
        progress.quiet = progress.quiet + 1 if len(found) == known else 0
        return None

    def _check(self, tasks: Sequence[Subtask]) -> None:
        for task in tasks:
            if task.worker not in self.workers:
                why = f"the plan names {task.worker!r}, and there is {', '.join(self.workers)}"
                raise PatternFailed(self.name, FailureKind.INVALID, why)

    async def _record(
        self,
        case: Case,
        chosen: str,
        ended: Stop | None,
        progress: Progress,
        found: Mapping[str, object],
        *,
        planned: Sequence[Subtask] = (),
        given: Sequence[Subtask] = (),
    ) -> None:
        cut = f", {len(planned) - len(given)} of {len(planned)} sub-tasks left out" if len(given) < len(planned) else ""
        await case.decide(
            self.name,
            ("work", "combine"),
            chosen,
            rule=ended or "planned",
            why=f"round {progress.rounds}, {len(found)} findings, {progress.left} shares left{cut}",
            inputs=sorted(found),
        )
