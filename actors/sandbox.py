"""A sandbox: a crew that can do nothing to the world, and a fork of a case that goes on with it in memory.

A call that the case made from there on, of the same tool with the same arguments, comes to what its log says: the
world is as it was then. Any other is refused, unless it only reads, for free; such a call is made. The clock goes on
from the moment of the fork, and what people decided then they decide again where they are asked the same. So a fork
goes the way of its case until it does something else. Nothing is traced, and nothing of it is kept.
It does not know where the case came from, nor who looks.
"""

import copy
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, cast, final

from msgspec import Raw, Struct
from msgspec.structs import replace

from casework.actors.crew import Crew
from casework.actors.errors import FailedThen, KnownFailure
from casework.actors.tools import Tool, ToolContext, ToolRegistry
from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Call, Decided, Decision, Done, Intent, Review, Undone
from casework.protocols.wire import RiskTier
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.reserving import BUDGET, SWITCH
from casework.runtime.fold import entry_of
from casework.runtime.runtime import Runtime
from casework.runtime.seams import SystemClock, World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import DecisionTaken, Record
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.rules import OPEN
from casework.runtime.store.urls import wait_settled
from casework.runtime.telemetry import Telemetry

#: What a call is told that is not made.
REFUSED: Final = "a sandbox writes nothing and spends nothing, and the log has no such call"


@final
class _ClockSince(SystemClock):
    """The machine's clock, put back to a moment."""

    def __init__(self, micros: int) -> None:
        self._behind = super().wall_micros() - micros

    def wall_micros(self) -> int:
        """Give microseconds since the epoch, as if that moment had been when this clock was made."""
        return super().wall_micros() - self._behind


class _Answer(Struct):
    """What came of one call, as the log says."""

    key: str
    """Its idempotency key; empty for a read, and for a case that is opened again, whose keys are others then."""
    arguments: Raw
    end: Call | Done | Undone | None
    """None of a write that nobody saw end."""
    given_to: str | None = None
    """Key of the call to which it was given; empty for a read, None if it was not given."""


def sandboxed(crew: Crew, records: Sequence[Record], at: int, below: Iterable[Sequence[Record]] = ()) -> Crew:
    """Give a crew as it is, but for its calls: those after record `at`, or in a log of `below`, come to the same."""
    answers = _answers(records, at, below)
    alone = copy.copy(crew)
    alone.tools = ToolRegistry(_harmless(tool, answers.get(tool.name, ())) for tool in crew.tools)
    return alone


async def rehearse(
    crew: Crew,
    fork: Transfer,
    records: Sequence[Record],
    at: int,
    *,
    below: Iterable[Sequence[Record]] = (),
    artifacts: Sequence[tuple[str, bytes]] = (),
    settings: Mapping[str, str] | None = None,
) -> Transfer:
    """Let a fork go on until nothing can go on by itself, and give it as it stands then.

    Args:
        crew: whose case it is; it is sandboxed here.
        fork: as `casework.runtime.fork` makes it.
        records: the whole log of the case that was forked.
        at: number of the record after which it was forked.
        below: the logs of the cases below it, for those that the fork opens again.
        artifacts: pairs of (content hash, bytes) that it may read.
        settings: what tools may ask for by name, such as the folder `input`.

    If cancelled, nothing is left of it.
    """
    world, key = World(clock=_ClockSince(records[at].at)), fork.row.key
    store = MemoryStore()
    try:
        for name, data in artifacts:
            await store.put_artifact(name, data)
        await store.bring_in([fork])
        alone, off = sandboxed(crew, records, at, below), Telemetry.off()
        async with Runtime(alone, store, world=world, tenant=key.tenant, settings=settings, telemetry=off) as runtime:
            await wait_settled(store, runtime.wait_idle, world)
            while await _decided(store, records, world):
                await wait_settled(store, runtime.wait_idle, world)
        after = await store.transfer(key)
    finally:
        await store.aclose()
    assert after is not None, "it was taken in"
    return after


async def _decided(store: MemoryStore, records: Sequence[Record], world: World) -> bool:
    """Decide what is asked as people decided it then; tell whether anything was."""
    then = {entry.review_id: (entry, record) for record in records if isinstance(entry := entry_of(record), Decided)}
    taken = False
    for review in await store.reviews(state=OPEN):
        if review.id in then and not then[review.id][0].by_nobody:
            decision, record = then[review.id]
            answer = await store.decide(review.id, decision.proposal_hash, record.frame, world.clock.wall_micros())
            taken = taken or isinstance(answer, DecisionTaken)
    return taken


def _answers(records: Sequence[Record], at: int, below: Iterable[Sequence[Record]]) -> dict[str, list[_Answer]]:
    """Give what came of calls after record `at`, and of all calls of the logs below, by tool, as they were made."""
    answers: dict[str, list[_Answer]] = {}
    for tool, answer in _came_of(records, at):
        answers.setdefault(tool, []).append(answer)
    for log in below:
        for tool, answer in _came_of(log, -1):
            answers.setdefault(tool, []).append(replace(answer, key=""))
    return answers


def _came_of(records: Sequence[Record], at: int) -> Iterator[tuple[str, _Answer]]:
    """Give the tool and what came of it, for each call that had not ended at record `at`."""
    begun: dict[str, Intent] = {}
    for record in records:
        step, mark = split_mark(record.step_id)
        match entry_of(record):
            case Intent() as intent:
                begun[step] = intent
            case Decision() if mark in {BUDGET, SWITCH}:
                begun.pop(step, None)  # It was not made.
            case Call() as end if record.seq > at:
                yield end.tool, _Answer("", end.arguments, end)
            case Done() | Undone() as end if step in begun:
                intent = begun.pop(step)
                if record.seq > at:
                    yield intent.tool, _Answer(intent.key, intent.arguments, end)
            case Review() if mark == "unknown" and step in begun:
                intent = begun.pop(step)  # Only a person knew.
                if record.seq > at:
                    yield intent.tool, _Answer(intent.key, intent.arguments, None)
            case _:
                pass
    for intent in begun.values():
        yield intent.tool, _Answer(intent.key, intent.arguments, None)


def _harmless(tool: Tool, answers: Sequence[_Answer]) -> Tool:
    """Give a tool that says what the log says, and beyond that only reads, for free."""
    writes, returns = tool.tier is not RiskTier.READ_ONLY, cast("type[object]", tool.returns)

    async def answered(arguments: Struct, context: ToolContext) -> object:
        answer = _found(tool, answers, arguments, context.idempotency_key)
        if answer is None and not writes and not tool.micros_max:
            return await tool.body(arguments, context)
        if answer is None:
            raise KnownFailure(REFUSED)
        end = answer.end
        if end is None:
            raise TimeoutError("nobody saw it end")
        if isinstance(end, Undone):
            raise FailedThen(end.kind, end.message)
        if isinstance(end, Call) and end.failure is not None:
            raise FailedThen(end.failure, end.message)
        return unpack(end.value, returns)

    if not writes:
        return dataclasses.replace(tool, body=answered, micros_max=0)

    async def proven(arguments: Struct, value: object, context: ToolContext) -> bool:
        del arguments, value, context
        return True

    # The same key again comes to the same, so what became of a write is never waited for.
    return dataclasses.replace(
        tool, body=answered, verify=proven, lookup=None, keyed=True, key_window_seconds=math.inf, micros_max=0
    )


def _found(tool: Tool, answers: Sequence[_Answer], arguments: Struct, key: str) -> _Answer | None:
    """Give what came of exactly that call, at its own step if it was made there; each is given to one call alone."""
    same = [
        answer
        for answer in answers
        if (answer.given_to is None or (key and answer.given_to == key)) and _read(answer, tool) == arguments
    ]
    found = min(same, key=lambda answer: (answer.given_to != key, answer.key != key), default=None)
    if found is not None:
        found.given_to = key
    return found


def _read(answer: _Answer, tool: Tool) -> Struct | None:
    """Give the arguments of a call; None where the tool takes other ones by now."""
    try:
        return unpack(answer.arguments, tool.arguments)
    except ProtocolError:
        return None
