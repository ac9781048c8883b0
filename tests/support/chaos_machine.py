"""Any order of calls on two stores, one of them behind a cable that is cut at random commits: a Hypothesis machine.

Cases are few and so are nodes, ids and keys, so that calls meet. Time moves only between calls, and both stores are
told it. It does not know how the answers are compared.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import hypothesis.strategies as st
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from postgres_server import PostgresServer

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Decided, ReviewAction
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import (
    Append,
    CaseKey,
    CaseRow,
    CaseStatus,
    InboxItem,
    Opening,
    Record,
    ReviewRow,
    Store,
    Wait,
    WaitKind,
)
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_store
from tests.support.chaos_proxy import Cable, Cut
from tests.support.chaos_twins import UNANSWERED, Twins, as_seen, comparable, row_of

T = TypeVar("T")

NAMES = ("a", "b", "c", "d", "e", "f")
NODES = ("one", "other")
START = 1_800_000_000 * MICROS
LEASE = 4 * MICROS

#: Mostly nothing is cut.
CUTS = st.sampled_from((None, None, None, Cut.ANSWER, Cut.ANSWER, Cut.REQUEST))
#: What changes most is cut most.
MANY_CUTS = st.sampled_from((None, Cut.ANSWER, Cut.ANSWER, Cut.REQUEST))
CASES = st.sampled_from(NAMES)
#: Which of the cases; what is drawn never depends on what is stored, for a cut may hit one commit or the next.
PICKS = st.integers(0, 59)
RARELY = st.sampled_from((0, 0, 0, 1))
ENDS = st.sampled_from(("goes on", "goes on", "parks", "waits", "is reviewed", "sends", "closes", "lets go"))


class Figures(NamedTuple):
    """What all runs of the machine have seen."""

    calls: int
    happened: int
    absent: int
    cuts: int


class Ground(NamedTuple):
    """What all runs share: a loop in another thread, the cable to the server, and the counts so far."""

    server: PostgresServer
    portal: BlockingPortal
    cable: Cable
    port: int
    counts: dict[str, int]
    tell: Callable[[str], None]


class Machine(RuleBasedStateMachine):
    """One order of calls on two new stores."""

    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.reviews = 0
        self.counts = self.ground.counts
        self.counts["schemas"] += 1
        self.stores: list[Store] = []

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Run something on the loop of the stores, and give what it gives."""

        async def done() -> T:
            return await work

        return self.ground.portal.call(done)

    @initialize()
    def begin(self) -> None:
        """Make both stores, with some cases that are held."""
        ground, schema = self.ground, f"machine_{self.counts['schemas']}"

        async def opened() -> Twins:
            for port in (ground.port, 0):
                self.stores.append(await open_store(ground.server.url(schema, port=port), World()))
            by_cable, witness = self.stores
            return Twins(MemoryStore(), by_cable, witness, ground.cable)

        self.twins = self.do(opened())
        for name in NAMES[:3]:
            self.open(name, None)
        self.claim(NODES[0], len(NAMES), None, 0)

    def teardown(self) -> None:
        """Compare all there is, and let go."""

        async def ended() -> None:
            try:
                if self.stores:
                    await self.twins.compare()
            finally:
                for store in self.stores:
                    await store.aclose()

        self.do(ended())
        if self.stores:
            for name in ("calls", "happened", "absent"):
                self.counts[name] += getattr(self.twins, name)
            self.ground.tell(f"{self.counts['calls']} calls")

    @rule(seconds=st.sampled_from((1, 3, 6)))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds * MICROS

    @rule(name=CASES, cut=CUTS)
    def open(self, name: str, cut: Cut | None) -> None:
        """Open a case, again if nobody could say whether it is open."""
        opening = Opening(_key(name), Record(0, 0, "opened", "", self.now, b"opened"), "flow", "1", "abc", "crew")
        self.again_if_unanswered(lambda store: store.open_case(opening), cut)

    @rule(node=st.sampled_from(NODES), lives=st.booleans(), cut=CUTS)
    def renew(self, node: str, lives: bool, cut: Cut | None) -> None:
        """Say that a node lives, or has ended. Nothing shows whether it was heard, so it is said until it is."""
        until = self.now + LEASE if lives else 0
        self.again_if_unanswered(lambda store: store.renew(node, until=until), cut)

    @rule(node=st.sampled_from(NODES), limit=st.integers(1, 4), cut=MANY_CUTS, after=st.integers(0, 1))
    def claim(self, node: str, limit: int, cut: Cut | None, after: int) -> None:
        """Claim some cases for a node that lives."""
        now = self.now
        self.again_if_unanswered(lambda store: store.renew(node, until=now + LEASE))

        async def claimed(store: Store) -> object:
            return [comparable(each) for each in (await store.claim(node, limit=limit, now=now)).cases]

        self.do(self.twins.ask(claimed, cut, after=after))

    @rule(pick=PICKS, cut=CUTS)
    def reclaim(self, pick: int, cut: Cut | None) -> None:
        """Claim a case again for whoever holds it."""
        row = self.some_case(pick)
        self.again_if_unanswered(lambda store: _reclaimed(store, row.node or NODES[0], row.key), cut)

    @rule(pick=PICKS, end=ENDS, behind=RARELY, stale=RARELY, cut=MANY_CUTS)
    def append(self, pick: int, end: str, behind: int, stale: int, cut: Cut | None) -> None:
        """Append to a case, sometimes under an old epoch or at an old place; take it again if nobody knows."""
        row = self.some_case(pick)
        append = self.appending(row, end, max(row.epoch - stale, 0), max(row.next_seq - behind, 0))

        async def appended(store: Store) -> object:
            return await store.append(await as_seen(store, append))

        answer = self.do(self.twins.ask(appended, cut))
        if cut is not None and row.node:
            self.do(self.twins.ask(lambda store: _reclaimed(store, row.node, row.key)))
            if answer == UNANSWERED and not (behind or stale):
                anew = self.do(row_of(self.twins.memory, row.key))
                append = self.appending(anew, end, anew.epoch, anew.next_seq)
                self.do(self.twins.ask(appended))

    @rule(cut=MANY_CUTS)
    def append_to_all(self, cut: Cut | None) -> None:
        """Append to all cases that are held, within one commit."""
        rows = [row for row in self.rows() if row.node]
        if rows:
            appends = [self.appending(row, "goes on", row.epoch, row.next_seq) for row in rows]
            self.do(self.twins.append_all(appends, cut))

    @rule(receiver=st.sampled_from((*NAMES, "receipt")), number=st.integers(1, 4), cut=CUTS)
    def deliver(self, receiver: str, number: int, cut: Cut | None) -> None:
        """Deliver something, by name or to whoever waits for it; the same id again is delivered once."""
        frame = encode(Arrived(key="receipt", message_id=f"m{number}", by="ann"))
        self.again_if_unanswered(lambda store: store.deliver("studio", receiver, f"m{number}", frame), cut)

    @rule(number=st.integers(1, 4), action=st.sampled_from((ReviewAction.APPROVE, ReviewAction.REJECT)), cut=CUTS)
    def decide(self, number: int, action: ReviewAction, cut: Cut | None) -> None:
        """Decide a review, perhaps one that is not there yet, or was decided otherwise before."""
        name = f"r{number}"
        frame = encode(Decided(review_id=name, action=action, by="ann", proposal_hash="h1", at=self.now))
        self.again_if_unanswered(lambda store: store.decide(name, "h1", frame, self.now), cut)

    def again_if_unanswered(self, call: Any, cut: Cut | None = None) -> None:
        """Make a call, and once more where nobody can say whether it is there: together they happen once."""
        if self.do(self.twins.ask(call, cut)) == UNANSWERED or cut is not None:
            self.do(self.twins.ask(call))

    def appending(self, row: CaseRow, end: str, epoch: int, seq: int) -> Append:
        """Make an append of one record that ends in some way."""
        record = Record(seq, epoch, "noted", f"note#{seq}", self.now, end.encode())
        append = {"key": row.key, "epoch": epoch, "next_seq": seq, "records": (record,)}
        match end:
            case "parks":
                due = Wait("timer", WaitKind.TIMER, due=self.now + 2 * MICROS)
                append |= {"status": CaseStatus.PARKED, "waits": (due,), "release": True}
            case "waits":
                awaited = Wait("receipt", WaitKind.EVIDENCE, reason="missing")
                append |= {"status": CaseStatus.PARKED, "waits": (awaited,), "release": True}
            case "is reviewed":
                self.reviews += 1
                append |= {"reviews_opened": (_review(row.key, f"r{self.reviews}", self.now),)}
            case "sends":
                frame = encode(Arrived(key="receipt", message_id=f"s{seq}", by="case"))
                sends = [
                    InboxItem(
                        _key(name), f"s{seq}", "arrived", frame,
                        otherwise=InboxItem(row.key, f"no {name} {seq}", "arrived", frame),
                    )
                    for name in NAMES
                    if name != row.key.case_id
                ]  # fmt: skip
                append |= {"sends": tuple(sends), "consumed": ("m1", "m2")}
            case "closes":
                append |= {"status": CaseStatus.CLOSED, "result": "completed"}
            case "lets go":
                append |= {"release": True}
            case _:
                pass
        return Append(**append)  # type: ignore[arg-type]

    def rows(self) -> list[CaseRow]:
        """Give the cases as memory has them."""

        async def found() -> list[CaseRow]:
            return list(await self.twins.memory.cases())

        return self.do(found())

    def some_case(self, pick: int) -> CaseRow:
        """Pick a case that is there, mostly one that is held."""
        rows = self.rows()
        held = [row for row in rows if row.node]
        among = held if held and pick % 4 else rows
        return among[pick % len(among)]


async def _reclaimed(store: Store, node: str, key: CaseKey) -> object:
    return comparable(await store.reclaim(node, key))


def _key(name: str) -> CaseKey:
    return CaseKey("studio", name)


def _review(key: CaseKey, name: str, at: int) -> ReviewRow:
    return ReviewRow(name, key, "review", "Pay", "open", at, 0, "h1", b"asked")


def run(server: PostgresServer, examples: int, steps: int, tell: Callable[[str], None], *, first: int = 1) -> Figures:
    """Try so many orders of so many calls, beginning with a seed, and count what was seen."""
    counts = {"schemas": first * 100_000, "calls": 0, "happened": 0, "absent": 0}
    with start_blocking_portal("asyncio") as portal:
        cable = Cable(server.port)
        laid: AbstractContextManager[int] = portal.wrap_async_context_manager(cable.laid())
        with laid as port, _standing_on(Ground(server, portal, cable, port, counts, tell)):
            tried = settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            run_state_machine_as_test(seed(first)(Machine), settings=tried)
    return Figures(counts["calls"], counts["happened"], counts["absent"], cable.cuts)


@contextmanager
def _standing_on(ground: Ground) -> Iterator[None]:
    Machine.ground = ground
    try:
        yield
    finally:
        del Machine.ground
