"""How a case is read back: its flow is found, its log decoded, and a fresh engine led through it.

Whatever stands in the way (no such flow, another version or source, a record that cannot be read, a flow that does
something else than its log) comes back as a reason; nothing is raised, for the case is to say why it rests. Reading
changes nothing, so it can be done for a trial as well.
It does not know who reads, nor what becomes of a case that cannot go on.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from casework.protocols.codec import digest, unpack
from casework.protocols.errors import CaseworkError
from casework.protocols.records import Chapter, Decision, Opened
from casework.runtime.errors import FlowUnknown
from casework.runtime.flow.asides import set_aside, taken
from casework.runtime.flow.carrying import missing
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.entries import Setting
from casework.runtime.flow.operations import Delegate, Draw
from casework.runtime.flow.remainder import Remainder
from casework.runtime.flow.replay import Logged, decode_log, given, replay
from casework.runtime.flow.saga import Accounts
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow, InboxItem, Record

#: Claims in a row without a new record after which a case has killed its process often enough: the last two of them
#: alone on its node. With one alone, somebody who kills processes at random parked a bystander now and then.
CLAIMS_MAX: Final = 4


class Reading(Struct, frozen=True, eq=False):
    """A case as its log tells it."""

    opened: Opened
    """Its first record, or that of its chapter, as far as it could be read."""
    chapter: int = 0
    """Number of the chapter, 0 for the first one."""
    hasty: int = 0
    """How many chapters before it, in a row, waited for nothing."""
    identity: bytes = b""
    """What ids of its tasks and reviews grow from."""
    engine: Engine | None = None
    """Stands where the log ends; None if the case cannot go on."""
    inner: Sequence[Logged] = ()
    """Records of what happened inside tasks and calls."""
    reason: str = ""
    """Why there is no engine."""
    lacks: str = ""
    """The version of its flow that it waits for, if that is why."""
    remainder: Remainder = field(default_factory=Remainder)
    """What the case may still give out, where the engine stands."""
    doomed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why tasks that were under way are not given out again, by step: each process that worked on them ended."""
    flow: Flow | None = None
    """What the case runs, of the version that it is pinned to; None if the case cannot go on."""
    blamed: Decision | None = None
    """Sets the message aside that was being taken when each process ended."""


class Reader(Struct, frozen=True, eq=False):
    """What reading takes: the flows there are, and the world for what goes beyond the log."""

    flows: Mapping[str, Flow]
    world: World
    policy_hash: str

    def read(self, row: CaseRow, records: Sequence[Record], inbox: Sequence[InboxItem] = ()) -> Reading:
        """Lead a fresh engine through a case's log; `inbox` holds what it may take next."""
        opened, chapter, identity, hasty, accounts = unread(row), 0, b"", 0, Accounts()
        engine: Engine | None = None
        try:
            log = decode_log(records)
            first, identity = log[0].entry, log[0].record.hash
            if isinstance(first, Chapter):
                opened, chapter, identity = reopened(first), first.number, first.identity.encode()
                hasty, accounts.earlier = first.hasty, first.partial
            elif isinstance(first, Opened):
                opened = first
            flow = known_flow(self.flows, row)
            declared: type[object] = flow.inputs
            remainder = Remainder(opened.mandate)
            setting = self._setting(row, opened, identity, log, remainder)
            case, inputs = Case(*row.key, opened.mandate, accounts), unpack(opened.inputs, declared)
            engine = Engine(case.run(flow.function, inputs), setting)
            inner = replay(engine, log)
            reading = Reading(opened, chapter, hasty, identity, engine, inner, remainder=remainder, flow=flow)
            return spare(row, reading, inbox, self.policy_hash)
        except (CaseworkError, IndexError) as error:
            if engine is not None:
                engine.close()
            lacks = missing(row) if isinstance(error, FlowUnknown) else ""
            return Reading(opened, reason=f"{type(error).__name__}: {error}", lacks=lacks)

    def _setting(
        self, row: CaseRow, opened: Opened, identity: bytes, log: Sequence[Logged], remainder: Remainder
    ) -> Setting:
        world, first = self.world, log[0].entry

        def fresh(operation: Draw, waited: int) -> object:
            if operation.kind == "random":
                return world.randomness.stream("flow").random()
            if operation.kind == "id":
                return world.ids.new()
            now = world.clock.wall_micros()
            # The clock may be behind the one by which the case waited, and what it waited for comes once.
            return now if operation.after is None else operation.after(max(now, waited))

        return Setting(
            key=row.key,
            flow=opened.flow,
            purpose=opened.purpose or opened.flow,
            trace=opened.trace,
            policy_hash=self.policy_hash,
            identity=identity,
            now=world.clock.wall_micros,
            draw=fresh,
            given=given(log),
            remainder=remainder,
            waited=first.waited if isinstance(first, Chapter) else 0,
        )


def killing(row: CaseRow) -> str:
    """Say what a case has done to its processes; empty if it may run again as it is."""
    killed = f"{row.claims - 1} processes that worked on it ended before it had a new record"
    return f"poison: {killed}" if row.claims > CLAIMS_MAX else ""


def spare(row: CaseRow, reading: Reading, inbox: Sequence[InboxItem], policy_hash: str) -> Reading:
    """Let a case that has ended its processes go on without what may have done it.

    That is the message that it was about to take; if there is none, or not even that could be written, the tasks that
    were under way. Without any it was the case itself, which goes no further.
    """
    why, engine = killing(row), reading.engine
    if not why or engine is None:
        return reading
    item_id = taken(engine.pending, reading.inner, row, inbox) if row.claims == CLAIMS_MAX + 1 else ""
    if item_id:
        return replace(reading, blamed=set_aside(item_id, why, policy_hash))
    tasks = [each.step_id for each in engine.pending.values() if isinstance(each.operation, Delegate)]
    if tasks:
        return replace(reading, doomed=dict.fromkeys(tasks, why))
    engine.close()
    return Reading(reading.opened, reason=f"{why}; none of them left a word why")


def unread(row: CaseRow) -> Opened:
    """Say of a case whose log was not read what its row says."""
    return Opened(flow=row.flow, version=row.version, source_hash=row.source_hash, crew="")


def next_chapter(reading: Reading, row: CaseRow, state: Raw, inputs: type[object]) -> Chapter:
    """Make the record that begins the next chapter of a case.

    Raises:
        FrameInvalid: the state is not what the flow takes as its inputs.
    """
    unpack(state, inputs)
    number, opened, engine = reading.chapter + 1, reading.opened, reading.engine
    return Chapter(
        number=number,
        identity=digest(reading.identity + b"chapter %d" % number).hex(),
        flow=opened.flow,
        version=row.version,
        source_hash=row.source_hash,
        crew=opened.crew,
        state=state,
        policy_hash=opened.policy_hash,
        parent=opened.parent,
        trace=opened.trace,
        purpose=opened.purpose,
        project=opened.project,
        user=opened.user,
        mandate=reading.remainder.left,
        hasty=reading.hasty + 1 if engine is not None and engine.hasty else 0,
        partial=engine is not None and engine.partial,
        waited=engine.waited if engine is not None else 0,
    )


def reopened(chapter: Chapter) -> Opened:
    """Give what a chapter says as if the case had been opened with it."""
    return Opened(
        flow=chapter.flow,
        version=chapter.version,
        source_hash=chapter.source_hash,
        crew=chapter.crew,
        inputs=chapter.state,
        policy_hash=chapter.policy_hash,
        parent=chapter.parent,
        trace=chapter.trace,
        purpose=chapter.purpose,
        project=chapter.project,
        user=chapter.user,
        mandate=chapter.mandate,
    )


def known_flow(flows: Mapping[str, Flow], row: CaseRow) -> Flow:
    """Find the flow that a case is pinned to.

    Raises:
        FlowUnknown: there is none of that name, or only of another version or source; the text names both.
    """
    flow = flows.get(row.flow)
    if flow is None:
        raise FlowUnknown(row.flow, row.version, "the crew has no flow of that name")
    for other in flows.values():
        if (other.name, other.version, other.source_hash) == (row.flow, row.version, row.source_hash):
            return other
    was, now = f"{row.version}/{row.source_hash}", f"{flow.version}/{flow.source_hash}"
    raise FlowUnknown(row.flow, row.version, f"the case was opened with {was}, the crew now has {now}")
