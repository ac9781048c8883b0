"""A sandbox: a crew that can do nothing to the world, and a fork of a case that goes on with it in memory.

A call that the case made from there on, of the same tool with the same arguments, comes to what its log says: the
world is as it was then. Any other is refused, unless it only reads, for free; such a call is made. The clock goes on
from the moment of the fork, and what people decided then they decide again where they are asked the same. So a fork
goes the way of its case until it does something else. Nothing is traced, and nothing of it is kept.
It does not know where the case came from, nor who looks.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast, final

from msgspec import Raw, Struct

from casework.actors.crew import Crew
from casework.actors.declared import takes_none
from casework.actors.errors import KnownFailure
from casework.actors.tools import Tool, ToolContext, ToolRegistry
from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Call, Decided, Done, Intent, Undone
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.fold import entry_of
from casework.runtime.runtime import Runtime
from casework.runtime.seams import SystemClock, World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import Record
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
    end: Call | Done | Undone
    given: bool = False


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
    """Decide what is asked as people decided it then; tell whether there was anything."""
    then = {entry.review_id: (entry, record) for record in records if isinstance(entry := entry_of(record), Decided)}
    asked = await store.reviews(state=OPEN)
    for review in asked:
        if review.id in then and not then[review.id][0].by_nobody:
            decision, record = then[review.id]
            await store.decide(review.id, decision.proposal_hash, record.frame, world.clock.wall_micros())
    return len(await store.reviews(state=OPEN)) < len(asked)


def _answers(records: Sequence[Record], at: int, below: Iterable[Sequence[Record]]) -> dict[str, list[_Answer]]:
    """Give what came of calls after record `at`, and of all calls of the logs below, by tool, as they were made."""
    answers: dict[str, list[_Answer]] = {}
    for log, first, keyed in [(records, at + 1, True), *((log, 0, False) for log in below)]:
        intents: dict[str, Intent] = {}
        for record in log:
            entry = entry_of(record)
            if isinstance(entry, Intent):
                intents[record.step_id] = entry
            elif record.seq >= first and isinstance(entry, Call):
                answers.setdefault(entry.tool, []).append(_Answer("", entry.arguments, entry))
            elif record.seq >= first and isinstance(entry, Done | Undone) and record.step_id in intents:
                intent = intents[record.step_id]
                key = intent.key if keyed else ""
                answers.setdefault(intent.tool, []).append(_Answer(key, intent.arguments, entry))
    return answers


def _harmless(tool: Tool, answers: Sequence[_Answer]) -> Tool:
    """Give a tool that says what the log says, and beyond that only reads, for free."""
    writes, returns = tool.tier is not RiskTier.READ_ONLY, cast("type[object]", tool.returns)

    async def answered(arguments: Struct, context: ToolContext) -> object:
        end = _found(tool, answers, arguments, context.idempotency_key)
        if end is None and not writes and not tool.micros_max:
            return await tool.body(arguments, context)
        if end is None:
            raise KnownFailure(REFUSED)
        if isinstance(end, Undone) or (isinstance(end, Call) and end.failure is not None):
            raise KnownFailure(end.message)
        return unpack(end.value, returns)

    if not writes:
        return dataclasses.replace(tool, body=answered, micros_max=0)

    async def known(arguments: Struct, context: ToolContext) -> object:
        end = _found(tool, answers, arguments, context.idempotency_key)
        return None if end is None or isinstance(end, Undone) else unpack(end.value, returns)

    async def proven(arguments: Struct, value: object, context: ToolContext) -> bool:
        del arguments, value, context
        return True

    lookup = None if takes_none(tool.returns) else known
    return dataclasses.replace(tool, body=answered, verify=proven, lookup=lookup, micros_max=0, settling_seconds=0.0)


def _found(tool: Tool, answers: Sequence[_Answer], arguments: Struct, key: str) -> Call | Done | Undone | None:
    """Give what came of exactly that call; of one without a key that was made more often, what came of it next."""
    for answer in answers:
        # What nobody knew the end of then, nobody knows here.
        unclear = isinstance(answer.end, Undone) and answer.end.kind is FailureKind.UNKNOWN
        other = answer.key != key if answer.key else answer.given
        if not unclear and not other and _read(answer, tool) == arguments:
            answer.given = True
            return answer.end
    return None


def _read(answer: _Answer, tool: Tool) -> Struct | None:
    """Give the arguments of a call; None where the tool takes other ones by now."""
    try:
        return unpack(answer.arguments, tool.arguments)
    except ProtocolError:
        return None
