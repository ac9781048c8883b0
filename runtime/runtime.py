"""The runtime: what a service embeds, and what the command runs alone.

    async with Runtime(crew, store="sqlite:///cases.db") as runtime:
        await runtime.open("refund", "refund-17", inputs)

Entering it opens the store as its owner, gives the crew's agents their actors, starts a node that works on whatever
is open, and lets other processes deliver and decide through the store's socket; leaving it drains. Two runtimes in
one process share nothing. It does not know what a crew is made of: that is what `Staffing` asks for.
"""

import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from casework.protocols.codec import encode, pack, plain
from casework.protocols.records import Arrived, Cancel, Closed, Decided, ReviewAction
from casework.protocols.wire import NIL
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.at_work import at_work
from casework.runtime.delivery import awaited_key, check_fit, keep
from casework.runtime.errors import EnteredBefore, FlowUnknown, MigrationRefused, Stopping, StoreUnavailable
from casework.runtime.flow.case import case_id_fault
from casework.runtime.flow.household import household
from casework.runtime.flow.migration import tried, wished
from casework.runtime.flow.opening import about, first_entry, named, opening
from casework.runtime.flow.reading import Reader
from casework.runtime.node import Node, NodeStatistics
from casework.runtime.retention import ended_with
from casework.runtime.review import check_edit, check_person, view_of
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.staffing import Staffing
from casework.runtime.store.base import (
    CaseKey,
    CaseRow,
    CaseStatus,
    DecideResult,
    DecisionRefused,
    DeliverResult,
    Store,
    Unavailable,
    Unknown,
)
from casework.runtime.store.taking import Delivery
from casework.runtime.store.urls import door_server, open_store
from casework.runtime.switchboard import answer
from casework.runtime.switches import SETTING
from casework.runtime.telemetry import SHUTDOWN_SECONDS, Telemetry


class Runtime:
    """Runs the cases of one crew on one store; use it with `async with`, once.

    Whatever is asked of it before it is entered or after it was left raises `Stopping`, and while it is left, what
    would bring something in does; who still waits for a case, or for all to rest, hears that when it has drained.

    As from a task group, what the block raises comes out in an `ExceptionGroup`: catch it within, or by `except*`.
    """

    def __init__(
        self,
        crew: Staffing,
        store: str | Store = "memory:",
        *,
        world: World | None = None,
        tenant: str = "default",
        settings: Mapping[str, str] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Prepare; nothing happens before the block is entered.

        Args:
            crew: agents, tools, flows and policy that belong together.
            store: a URL (`memory:`, `sqlite:///file.db`) or a store that the caller opened and closes.
            world: clock, chance, ids and threads; the machine's own if left out.
            tenant: whose cases are opened here; ValueError is raised if it is no name.
            settings: what tools may ask for by name, such as folders.
            telemetry: as the standard environment variables say, if left out.
        """
        self._crew = crew
        self._given = store
        self._world = world or World()
        self._tenant = named("tenant", tenant)
        self._settings = dict(settings or {})
        self._telemetry = telemetry
        self._life: AbstractAsyncContextManager[None] | None = None
        self._store: Store | None = None
        self._node: Node | None = None
        self._staff: Staff | None = None
        self._leaving = False

    async def __aenter__(self) -> Self:
        """Open the store, staff the crew and begin to work.

        Raises:
            EnteredBefore: it was entered already, and perhaps left; it goes on as it was.
            StoreOwned, StoreNewer, StoreInvalid, StoreUnavailable: the store cannot be owned.

        If cancelled, everything that was opened is closed again.
        """
        if self._life is not None:
            raise EnteredBefore(self._crew.name)
        self._life = self._living()
        await self._life.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Drain: take nothing new, let working cases park or close, and give the store back."""
        assert self._life is not None, "use the runtime with `async with`"
        self._leaving = True
        return await self._life.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _living(self) -> AsyncGenerator[None, None]:
        # Actors and jobs stand in blocks of their own: a task group raises again what it is given, an exit stack may
        # make that its own context, and whoever looks for the first of two cancels goes round in a circle for ever.
        world = self._world
        async with AsyncExitStack() as stack:
            stack.callback(self._let_go)
            telemetry = self._telemetry
            if telemetry is None:
                telemetry = self._telemetry = Telemetry.from_environment(clock=world.clock, randomness=world.randomness)
                stack.push_async_callback(world.offload.run, telemetry.shutdown, SHUTDOWN_SECONDS)
            if isinstance(self._given, str):
                store = await open_store(self._given, world)
                stack.push_async_callback(store.aclose)
            else:
                store = self._given
            async with (
                ActorSystem(world, messages=telemetry if telemetry.tracing else None) as system,
                self._crew.staff(system, world, store, self._settings, telemetry) as staff,
            ):
                make = household(store, staff, self._crew.flows, self._crew.name, world, telemetry)
                node = Node(make, system)
                node.waiters.switched(await store.setting(SETTING) or "")
                # When the actors are gone as well, there is a last look.
                stack.callback(telemetry.before_expose(partial(_sample, telemetry, node, system, set())))
                self._store, self._staff, self._node = store, staff, node
                async with at_work(node) as jobs:
                    door = door_server(store)
                    if door is not None:
                        door.settled = node.wait_idle
                        door.told = partial(answer, self, world)
                        door.on_switch(node.waiters.switched)
                        await jobs.start(door.serve)
                    yield

    def _let_go(self) -> None:
        """Have nothing left to ask."""
        self._store = self._node = self._staff = None

    def _taking(self) -> Node:
        """Give the node to what comes from outside, which is refused as soon as the runtime is being left."""
        if self._leaving:
            raise Stopping
        return self.node

    @property
    def store(self) -> Store:
        """The store that this runtime owns."""
        if self._store is None:
            raise Stopping
        return self._store

    @property
    def node(self) -> Node:
        """The node that works here."""
        if self._node is None:
            raise Stopping
        return self._node

    @property
    def staff(self) -> Staff:
        """The crew at work, as its cases see it."""
        if self._staff is None:
            raise Stopping
        return self._staff

    @property
    def telemetry(self) -> Telemetry:
        """What this runtime records about itself."""
        if self._telemetry is None:
            raise Stopping
        return self._telemetry

    async def open(
        self, flow: str, case_id: str, inputs: msgspec.Struct, *, purpose: str = "", project: str = "", user: str = ""
    ) -> CaseKey:
        """Open a case; it is durable when this returns. Opening it again changes nothing.

        Its calls draw from the budgets of `project` and `user` too, where they are named.

        Raises:
            FlowUnknown: the crew has no such flow.
            ValueError: case id, project or user is no name, or the inputs are not what the flow takes.
            StoreUnavailable: nothing was opened, or it is not known whether it was; opening again is harmless.

        If cancelled, the case may have been opened or not.
        """
        node, known = self._taking(), self._crew.flows.get(flow)
        if known is None:
            raise FlowUnknown(flow, "", f"crew {self._crew.name} has {', '.join(sorted(self._crew.flows))}")
        if why := case_id_fault(case_id):
            raise ValueError(why)
        if not isinstance(inputs, known.inputs):
            raise ValueError(f"flow {flow!r} takes {known.inputs.__name__}, not {type(inputs).__name__}")
        world, key = self._world, CaseKey(self._tenant, case_id)
        what, policy_hash = about(purpose or known.name, project, user), self.staff.policy_hash
        trace = self.telemetry.case_opened(known.name, case_id, world.ids.new())
        opened = first_entry(known, pack(inputs), what, crew=self._crew.name, policy_hash=policy_hash, trace=trace)
        result = await node.open(opening(key, opened, world.clock.wall_micros()))
        if isinstance(result, Unavailable | Unknown):
            raise StoreUnavailable(self.store.url, result.why)
        return key

    async def deliver(
        self,
        target: str,
        *,
        by: str,
        key: str = "",
        value: object = None,
        data: bytes | None = None,
        label: str = "",
        message_id: str = "",
    ) -> DeliverResult:
        """Deliver a thing to a case, or to whatever waits for a key; the parked case resumes.

        Args:
            target: a case id or a key that a case waits for.
            by: who delivers it.
            key: with a case as target, the key meant; it is kept if the case does not wait for it yet. Left out, it
                is the one thing that the case waits for.
            value: the thing itself, if it is small.
            data: its bytes, kept as an artifact by content hash.
            label: what a person calls it, such as a file name.
            message_id: the same id again is delivered once; made from the content if left out. It has at most 1,000
                bytes of UTF-8 and no NUL, as a key has.

        Raises:
            NotAwaited: the target is a case that waits for several things, or for none; nothing was delivered.
            ValueError: `data` is too large, or no case waits for such a key and no message has such an id; nothing was
                delivered.
        """
        node = self._taking()
        check_fit(target, key or target, message_id)
        if not key:
            key = target = await awaited_key(self.store, CaseKey(self._tenant, target))
        evidence = None if data is None else await keep(self.store, data, label)
        content = evidence.sha256 if evidence else hashlib.sha256(pack(value)).hexdigest()
        item_id = message_id or f"delivered:{key}:{content[:32]}"
        raw = NIL if value is None else pack(value)
        arrived = Arrived(key=key, message_id=item_id, by=by, value=raw, evidence=evidence)
        return await node.deliver(Delivery(self._tenant, target, item_id, encode(arrived)))

    async def cancel(self, case_id: str, *, by: str, reason: str = "") -> DeliverResult:
        """Ask a case to stop; it hears so at once and may compensate."""
        item_id = f"cancel:{self._world.ids.new()}"
        frame = encode(Cancel(message_id=item_id, by=by, reason=reason))
        return await self._taking().deliver(Delivery(self._tenant, case_id, item_id, frame))

    async def migrate(self, case_id: str, *, to: str, by: str, reason: str = "", dry_run: bool = False) -> CaseRow:
        """Have a parked case go on with version `to` of its flow, and give its row as it is then.

        That version is led through the case's log first; with `dry_run` nothing else is done.

        Raises:
            KeyError, FlowUnknown: there is no such case, or no such version of its flow.
            MigrationRefused: the case is not parked, or that version differs from its log; the text says where first.
            StoreUnavailable: it is not known whether it was asked for.

        If cancelled, the case may be moved all the same.
        """
        node, key = self._taking(), CaseKey(self._tenant, case_id)
        row = await self.store.case(key)
        if row is None:
            raise KeyError(case_id)
        reader = Reader(self._crew.flows, self._world, self.staff.policy_hash)
        flow = await tried(self.store, reader, row, to)
        if dry_run:
            return row
        item_id = f"migrate:{self._world.ids.new()}"
        arrived = wished(case_id, item_id, to, by=by, reason=reason)
        result = await node.deliver(Delivery(self._tenant, case_id, item_id, encode(arrived)))
        if isinstance(result, Unavailable | Unknown):
            raise StoreUnavailable(self.store.url, result.why)
        row = await self.wait(case_id)
        if (row.version, row.source_hash) != (flow.version, flow.source_hash):
            raise MigrationRefused(case_id, to, "it went on before it could be moved; its log says more")
        return row

    async def decide(
        self,
        review_id: str,
        action: ReviewAction,
        *,
        by: str,
        reason: str = "",
        edited: object = None,
        proposal_hash: str = "",
    ) -> DecideResult:
        """Decide a review. `proposal_hash` is what the person saw; left out, it is what stands there now.

        Raises:
            DecisionInvalid: nobody decides, or an edit is not of the proposal's shape; nothing was decided.
        """
        self._taking()
        check_person(review_id, by)
        review = await self.store.review(review_id)
        if review is None:
            return DecisionRefused("absent")
        if action is ReviewAction.EDIT:
            check_edit(view_of(review), plain(pack(edited)))
        now = self._world.clock.wall_micros()
        decided = Decided(
            review_id=review_id,
            action=action,
            by=by,
            proposal_hash=proposal_hash or review.proposal_hash,
            reason=reason,
            edited=NIL if edited is None else pack(edited),
            at=now,
        )
        return await self.store.decide(review_id, decided.proposal_hash, encode(decided), now)

    async def wait(self, case_id: str) -> CaseRow:
        """Wait until a case is parked or closed, and give it as it stands then.

        Raises:
            KeyError: there is no such case.
            Stopping: the runtime was left before the case rested.
        """
        key, node = CaseKey(self._tenant, case_id), self.node
        known = node.knows(key)
        while True:
            rested = node.resting(key)
            if known and not rested:
                if (row := await node.watchers.wait_rested(key)) is not None:
                    return row
                continue
            known, changed = True, node.watchers.changed()
            row = await self.store.case(key)
            if row is None:
                raise KeyError(case_id)
            # Before and after: it may have worked and parked anew while its row was on the way.
            rests = row.status is CaseStatus.PARKED and rested and node.resting(key)
            if row.status is CaseStatus.CLOSED or rests:
                return row
            await changed.wait()

    async def closed(self, case_id: str) -> Closed | None:
        """Say how a case ended, with the value that its flow returned; None while it has not ended.

        Raises:
            KeyError: there is no such case.
            ContentsDropped: it has ended, and retention has dropped what it returned.
        """
        key = CaseKey(self._tenant, case_id)
        row = await self.store.case(key)
        if row is None:
            raise KeyError(case_id)
        if row.status is not CaseStatus.CLOSED:
            return None
        (last,) = await self.store.records(key, row.next_seq - 1)
        return ended_with(row, last)

    async def wait_idle(self) -> None:
        """Wait until no case can go on without something from outside; raises Stopping if it is left before."""
        await self.node.wait_idle()

    def statistics(self) -> NodeStatistics:
        """Count what works here."""
        return self.node.statistics()


def _sample(telemetry: Telemetry, node: Node, system: ActorSystem, kinds: set[str]) -> None:
    """Set the gauges, just before somebody looks; `kinds` are those of the actors that were seen so far."""
    telemetry.cases_open(node.statistics().active)
    waiting = system.waiting_by_kind()
    kinds.update(waiting)
    for kind in kinds:
        telemetry.mailbox_depth(kind, waiting.get(kind, 0))
