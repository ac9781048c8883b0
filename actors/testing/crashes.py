"""Crash anywhere: a flow is run once whole, then once for each of its appends with a crash before it and after it.

The opening of the case is such an append too. Before: the records are lost. After: they are durable, and nobody has
heard so. Each time another node goes on over the same store, and everything that matters must end as it did without a
crash. No virtual time passes in a crash. What became of a write that nobody saw end is asked of a person; unless the
test has one for that, the world itself answers with the truth.
It does not know what the flow is for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.testing.bench import CaseBench
from casework.actors.testing.ending import Ending, Seen, difference, ending_of
from casework.actors.testing.people import UNKNOWN_RULE, FakePerson
from casework.actors.testing.process import OPENING, Kill
from casework.actors.testing.tools import FakeTool
from casework.protocols.codec import decode_entry
from casework.protocols.records import Intent, Review, ReviewAction
from casework.runtime.flow.replay import split_mark
from casework.runtime.store.base import CaseStatus, ReviewRow, WaitKind

#: Settings of a run, or what makes them anew for each run.
Settings: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]

#: Turns of help that a run may need, at most: more is a flow that goes round in circles.
TURNS_MAX: Final = 10_000
#: How one crash is named: number of the append, and before or after.
_NAMED: Final = re.compile(rf"({OPENING}|[1-9]\d*)-(before|after)")


@dataclass(slots=True, frozen=True, kw_only=True)
class Trial:
    """What is tried, and what is around it."""

    crew: Crew
    flow: str
    inputs: Struct
    case_id: str = "crash"
    tools: Mapping[str, FakeTool] = field(default_factory=dict[str, FakeTool])
    people: Sequence[FakePerson] = ()
    deliveries: Mapping[str, object] = field(default_factory=dict[str, object])
    settings: Settings = field(default_factory=dict[str, str])
    fresh: Callable[[], None] | None = None
    watch: Callable[[], object] | None = None


async def crash_anywhere(
    crew: Crew,
    flow: str,
    inputs: Struct,
    *,
    case_id: str = "crash",
    tools: Mapping[str, FakeTool] | None = None,
    people: Sequence[FakePerson] = (),
    deliveries: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    fresh: Callable[[], None] | None = None,
    watch: Callable[[], object] | None = None,
    may_stop: bool = False,
    every: int = 1,
    only: str = "",
    again: Callable[[str], str] = "only={!r}".format,
) -> Ending:
    """Run a flow whole, then with a crash before and after its opening and every append, and compare how it ends.

    Args:
        crew, flow, inputs, case_id: the case.
        tools: fakes by tool; each run begins with unused plans and an unchanged world.
        people: who decides on reviews.
        deliveries: what arrives when a case waits for it, by key.
        settings: settings of the run; a callable makes new ones for each run, such as a new folder.
        fresh: called before each run, to put back what real tools changed.
        watch: called after each run; what it gives of the world outside must not differ.
        may_stop: where nobody saw the end of a write and its tool cannot say, a run may end otherwise, such as with
            an operator; but then too nothing happens that does not happen without a crash, and nothing twice.
        every: try only each N-th append, for long flows; the first, the last and the opening are always tried.
        only: try only this crash, such as `3-before` or `open-after`.
        again: says how this crash alone is run again, for the message of a failure.

    Returns how it ends when nothing is killed.

    Raises:
        AssertionError: a crash made a difference, or the flow does not end even without one.
        ValueError: `every` or `only` is not right.
    """
    __tracebackhide__ = True
    if every < 1:
        raise ValueError(f"every must be at least 1, not {every}")
    trial = Trial(
        crew=crew,
        flow=flow,
        inputs=inputs,
        case_id=case_id,
        tools=tools or {},
        people=people,
        deliveries=deliveries or {},
        settings=settings or {},
        fresh=fresh,
        watch=watch,
    )
    chosen = _kill(only) if only else None
    whole = await _run(trial, None)
    if not whole.result:
        raise AssertionError(f"the flow {flow!r} does not end even when nothing is killed: {whole.standing}")
    if chosen is not None and chosen.append > whole.appends:
        raise ValueError(f"{only!r} names no crash: flow {flow!r} has {whole.appends} appends")
    for kill in _kills(whole.appends, every) if chosen is None else [chosen]:
        found = difference(whole, await _run(trial, kill), may_stop=may_stop)
        if found:
            when = "after it was durable, before anybody heard so" if kill.durable else "before it was durable"
            place = f"at append {kill.append} of {whole.appends}" if kill.append else "as the case was opened"
            where = f"killed {place}, {when}"
            raise AssertionError(
                f"{where}, flow {flow!r} ends differently: {found}\nthis crash alone: {again(str(kill))}"
            )
    return whole


def _kill(name: str) -> Kill:
    found = _NAMED.fullmatch(name)
    if found is None:
        raise ValueError(
            f"{name!r} names no crash; write it as 3-before or 3-after, or {OPENING}-before or {OPENING}-after"
        )
    return Kill(0 if found[1] == OPENING else int(found[1]), durable=found[2] == "after")


def _kills(appends: int, every: int) -> list[Kill]:
    numbers = dict.fromkeys((*range(1, appends + 1, every), appends, 0))
    return [Kill(number, durable) for number in numbers for durable in (False, True)]


async def _run(trial: Trial, kill: Kill | None) -> Ending:
    if trial.fresh is not None:
        trial.fresh()
    settings = trial.settings() if callable(trial.settings) else trial.settings
    bench = CaseBench(trial.crew, tools=trial.tools, people=trial.people, settings=settings, kill=kill)
    async with bench:
        appends = bench.store.appends
        with anyio.CancelScope() as scope:
            bench.store.on_death = scope.cancel
            await _drive(bench, trial)
        bench.store.on_death = _nobody
        if not bench.store.alive:
            await bench.crash()
            await _drive(bench, trial)
        rows = sorted(bench.rows(), key=lambda row: row.key.case_id != trial.case_id)
        logs = [bench.log(row.key.case_id) for row in rows]
        watched = None if trial.watch is None else trial.watch()
        return ending_of(trial.crew, rows, logs, Seen(bench.outside, trial.tools, watched, len(appends)))


async def _drive(bench: CaseBench, trial: Trial) -> None:
    """Open the case, then give it what it waits for, and time only when it waits for nothing else."""
    await bench.open(trial.flow, trial.case_id, trial.inputs)
    for _ in range(TURNS_MAX):
        rows = bench.rows()
        ended = bench.row(trial.case_id).status is CaseStatus.CLOSED
        if ended and not any(row.status is CaseStatus.OPEN for row in rows):
            return
        if await _tell_truth(bench) or await _deliver(bench, trial.deliveries):
            continue
        due = bench.next_due()
        if due is None:
            return
        await bench.clock.move(due)
        await bench.settle()


def _nobody() -> None:
    """Hear of the end of a process that nobody waits for."""


async def _deliver(bench: CaseBench, deliveries: Mapping[str, object]) -> bool:
    waited = [wait.key for row in bench.rows() for wait in row.waits if wait.kind is WaitKind.EVIDENCE]
    for key in waited:
        if key in deliveries:
            await bench.deliver(key, deliveries[key])
            return True
    return False


async def _tell_truth(bench: CaseBench) -> bool:
    """Decide what became of a write that nobody saw end, by what the world has of it."""
    for review in bench.reviews():
        entry = decode_entry(review.frame)
        if isinstance(entry, Review) and entry.rule == UNKNOWN_RULE:
            happened = _happened(bench, review)
            await bench.decide(
                ReviewAction.APPROVE if happened else ReviewAction.REJECT, rule=entry.rule, by="the world"
            )
            return True
    return False


def _happened(bench: CaseBench, review: ReviewRow) -> bool:
    step_id, _ = split_mark(review.step_id)
    log = bench.log(review.key.case_id)
    for record, entry in zip(log.records, log.entries, strict=True):
        if record.step_id == step_id and isinstance(entry, Intent):
            return bench.outside.effect(entry.tool, entry.key) is not None
    return False
