"""How a case is read back: its flow is found, its log decoded, and a fresh engine led through it.

Whatever stands in the way (no such flow, another version or source, a record that cannot be read, a flow that does
something else than its log) comes back as a reason; nothing is raised, for the case is to say why it rests. Reading
changes nothing, so it can be done for a trial as well.
It does not know who reads, nor what becomes of a case that cannot go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from casework.protocols.codec import unpack
from casework.protocols.errors import CaseworkError
from casework.protocols.records import Opened
from casework.runtime.errors import FlowUnknown
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.entries import Setting
from casework.runtime.flow.replay import Logged, decode_log, recorded_draws, replay
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow, Record


@dataclass(slots=True, frozen=True, eq=False)
class Reading:
    """A case as its log tells it."""

    opened: Opened
    """Its first record, as far as it could be read."""
    identity: bytes = b""
    """What ids of its tasks and reviews grow from."""
    engine: Engine | None = None
    """Stands where the log ends; None if the case cannot go on."""
    inner: Sequence[Logged] = ()
    """Records of what happened inside tasks and calls."""
    reason: str = ""
    """Why there is no engine."""


@dataclass(slots=True, frozen=True, eq=False)
class Reader:
    """What reading takes: the flows there are, and the world for what goes beyond the log."""

    flows: Mapping[str, Flow]
    world: World
    policy_hash: str

    def read(self, row: CaseRow, records: Sequence[Record]) -> Reading:
        """Lead a fresh engine through a case's log."""
        opened = unread(row)
        engine: Engine | None = None
        try:
            log = decode_log(records)
            first = log[0].entry
            opened = first if isinstance(first, Opened) else opened
            flow = known_flow(self.flows, row)
            declared: type[object] = flow.inputs
            identity = log[0].record.hash
            setting = self._setting(row, opened, log)
            engine = Engine(flow.function(Case(*row.key), unpack(opened.inputs, declared)), setting)
            return Reading(opened, identity, engine, replay(engine, log))
        except (CaseworkError, IndexError) as error:
            if engine is not None:
                engine.close()
            return Reading(opened, reason=f"{type(error).__name__}: {error}")

    def _setting(self, row: CaseRow, opened: Opened, log: Sequence[Logged]) -> Setting:
        world = self.world

        def fresh(kind: str) -> object:
            if kind == "now":
                return world.clock.wall_micros()
            return world.randomness.stream("flow").random() if kind == "random" else world.ids.new()

        return Setting(
            key=row.key,
            flow=opened.flow,
            purpose=opened.purpose or opened.flow,
            trace=opened.trace,
            policy_hash=self.policy_hash,
            identity=log[0].record.hash,
            now=world.clock.wall_micros,
            draw=recorded_draws(log, fresh),
        )


def unread(row: CaseRow) -> Opened:
    """Say of a case whose log was not read what its row says."""
    return Opened(flow=row.flow, version=row.version, source_hash=row.source_hash, crew="")


def known_flow(flows: Mapping[str, Flow], row: CaseRow) -> Flow:
    """Find the flow that a case is pinned to.

    Raises:
        FlowUnknown: there is none of that name, or only of another version or source; the text names both.
    """
    flow = flows.get(row.flow)
    if flow is None:
        raise FlowUnknown(row.flow, row.version, "the crew has no flow of that name")
    if (flow.version, flow.source_hash) != (row.version, row.source_hash):
        was, now = f"{row.version}/{row.source_hash}", f"{flow.version}/{flow.source_hash}"
        raise FlowUnknown(row.flow, row.version, f"the case was opened with {was}, the crew now has {now}")
    return flow
