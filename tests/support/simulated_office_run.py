"""Runs of the office's crew: who opens and cancels cases, two people who disagree, and what must hold at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import (
    Cancel,
    CaseResult,
    Closed,
    Decided,
    Decision,
    Done,
    Entry,
    Fired,
    Intent,
    Noted,
    Review,
    ReviewAction,
    Undone,
)
from casework.protocols.wire import Completed
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.saga import PARTIAL_RULE
from casework.runtime.runtime import Runtime
from casework.runtime.simulation import SimulatedNode, Simulation
from casework.runtime.store.base import (
    CaseRow,
    CaseStatus,
    DecisionRefused,
    DecisionTaken,
    Delivered,
    ReviewRow,
    Store,
    WaitKind,
)
from casework.runtime.store.chain import broken_at
from tests.support.simulated_bank import Bank
from tests.support.simulated_money import check_money
from tests.support.simulated_office import STAMP_MICROS, STAMPS, Errand, Office, office_crew
from tests.support.simulated_service import SETTLED_SECONDS, Outsiders, Stuck, service

Opened = tuple[str, str, Errand]

#: Clients that open cases at the same time: most is to happen before a run is healed.
OPENERS = 3

#: What each run opens.
TRIPS: list[Opened] = [
    ("trip", "trip-0", Errand("t0")),
    ("trip", "trip-1", Errand("t1", fails=True)),
    ("trip", "trip-2", Errand("t2", fails=True)),
    ("trip", "trip-cancelled-0", Errand("t3")),
    ("trip", "trip-cancelled-1", Errand("t4")),
    ("tour", "tour-0", Errand("o0")),
    ("hasty", "hasty-0", Errand("h0")),
    ("hasty", "hasty-1", Errand("h1")),
    ("careless", "careless-0", Errand("c0")),
]
DESK: list[Opened] = [
    ("ask", "ask-0", Errand("a0")),
    ("ask", "ask-1", Errand("a1")),
    ("large", "large-0", Errand("l0")),
    ("large", "large-1", Errand("l1")),
    ("stamps", "stamps-0", Errand("s0")),
    ("stamps", "stamps-1", Errand("s1", fails=True)),
    ("letters", "letters-0", Errand("d0")),
    ("letters", "letters-1", Errand("d1")),
    ("seats", "seats-0", Errand("e0")),
    ("seats", "seats-1", Errand("e1")),
    ("tickets", "tickets-0", Errand("k0")),
    ("tickets", "tickets-1", Errand("k1")),
]
CROWD: list[Opened] = [
    *(("pay", f"pay-{number}", Errand(f"p{number}")) for number in range(16)),
    *(("seats", f"seats-{number}", Errand(f"e{number}")) for number in range(8)),
    *(("tour", f"tour-{number}", Errand(f"o{number}")) for number in range(4)),
]
BOMBS: list[Opened] = [("errand", "errand-0", Errand("nobody")), ("bomb", "bomb-0", Errand("b0"))]


@dataclass
class People:
    """Two people who decide, and a client who cancels."""

    simulation: Simulation
    office: Office
    outsiders: Outsiders
    told: dict[str, set[ReviewAction]] = field(default_factory=dict)
    """What people were told that they had decided, by review."""

    async def decide_all(self, name: str) -> None:
        """Look now and then, and decide as this person does, however late."""
        chance = self.simulation.mischief.chance(name)
        while True:
            await anyio.sleep(chance.uniform(2.0, 12.0))
            for review in await self.outsiders.insist(lambda runtime: runtime.store.reviews(state="open")):
                await anyio.sleep(chance.uniform(0.0, 3.0))
                action = self._opinion(name, review)
                if action is not None:
                    await self._say(name, review, action)

    def _opinion(self, name: str, review: ReviewRow) -> ReviewAction | None:
        entry, case_id = decode_entry(review.frame), review.key.case_id
        assert isinstance(entry, Review)
        if entry.rule == "effect.unknown":
            age = self.simulation.loop.time() - (review.opened_at / 1e6 - 1_767_225_600)
            if age < SETTLED_SECONDS:
                return None
            happened = entry.title.split()[1] in self.office.of(case_id)
            return ReviewAction.APPROVE if happened else ReviewAction.REJECT
        if entry.rule == PARTIAL_RULE:
            return ReviewAction.REJECT
        if entry.rule == "large":
            return ReviewAction.REJECT if case_id.endswith("1") else ReviewAction.APPROVE
        return ReviewAction.APPROVE if name == "ann" else ReviewAction.REJECT

    async def _say(self, name: str, review: ReviewRow, action: ReviewAction) -> None:
        given = await self.outsiders.insist(lambda runtime: runtime.decide(review.id, action, by=name))
        if isinstance(given, DecisionTaken):
            self.told.setdefault(review.id, set()).add(action)
        else:
            assert not isinstance(given, DecisionRefused) or given.why != "absent", "what is open is there"

    async def let_go_on(self, row: CaseRow) -> None:
        """Have a stopped task tried again, once nobody is asked any more what became of its writes."""
        asked = await self.simulation.disk.inner.reviews(state="open")
        stopped = [wait.key for wait in row.waits if wait.key.startswith(STOPPED_TASK)]
        if stopped and not any(review.key == row.key for review in asked):
            message_id = f"again:{stopped[0]}:{row.next_seq}"
            await self.outsiders.insist(
                lambda runtime: runtime.deliver(row.key.case_id, by="operator", key=stopped[0], message_id=message_id)
            )

    async def cancel(self, opened: Sequence[Opened]) -> None:
        """Cancel what is to be cancelled, at some moment, until it was taken or comes too late."""
        chance, disk = self.simulation.mischief.chance("canceller"), self.simulation.disk.inner
        for _, case_id, _ in opened:
            if "cancelled" in case_id:
                await anyio.sleep(chance.uniform(0.0, 8.0))
                taken: object = None
                while not isinstance(taken, Delivered) and case_id not in await _closed(disk):
                    taken = await self.outsiders.insist(lambda runtime, c=case_id: runtime.cancel(c, by="client"))  # type: ignore[misc]
                    await anyio.sleep(1.0)

    async def open(self, opened: Sequence[Opened]) -> None:
        """Open what is to be opened, one after the other."""
        chance = self.simulation.mischief.chance("opener")
        for flow, case_id, inputs in opened:
            await self.outsiders.insist(lambda runtime, a=flow, b=case_id, c=inputs: runtime.open(a, b, c))  # type: ignore[misc]
            await anyio.sleep(chance.uniform(0.0, 2.0))


async def trips_run(simulation: Simulation) -> dict[str, str]:
    """Run cases that undo, cancel, open others, end early and do not replay."""
    return await office_run(simulation, TRIPS)


async def desk_run(simulation: Simulation) -> dict[str, str]:
    """Run cases that ask people and have agents work."""
    return await office_run(simulation, DESK)


async def crowd_run(simulation: Simulation) -> dict[str, str]:
    """Run many cases that do one thing only: pay, have a seat booked, wait for children."""
    return await office_run(simulation, CROWD)


async def bombs_run(simulation: Simulation) -> dict[str, str]:
    """Run a case that ends its process, and one that does not."""
    return await office_run(simulation, BOMBS)


async def office_run(simulation: Simulation, opened: list[Opened]) -> dict[str, str]:
    """Run cases on three nodes until everything has come to its end, and check it; gives their results."""
    office = Office()
    crew = office_crew(office, simulation)
    nodes: list[SimulatedNode[Runtime]] = [simulation.node(name, service(crew)) for name in ("a", "b", "c")]
    people = People(simulation, office, Outsiders(simulation, nodes, Bank()))
    simulation.begin()
    async with anyio.create_task_group() as jobs:
        for name in ("ann", "bob"):
            jobs.start_soon(people.decide_all, name)
        async with anyio.create_task_group() as clients:
            for number in range(OPENERS):
                clients.start_soon(people.open, opened[number::OPENERS])
            clients.start_soon(people.cancel, opened)
        rows = await _ended(simulation, people, opened)
        jobs.cancel_scope.cancel()
    for row in rows:
        records = await simulation.disk.inner.records(row.key)
        assert broken_at(row, records) is None, (row.key.case_id, broken_at(row, records))
        steps = [(record.step_id, decode_entry(record.frame)) for record in records]
        try:
            check(row, steps, people)
            if not simulation.mischief.happened:
                asked = [entry.rule for _, entry in steps if isinstance(entry, Review)]
                assert "effect.unknown" not in asked, "nothing went wrong, and nobody knows what became of a write"
        except AssertionError as error:
            error.add_note("\n".join(f"  {step} {entry}"[:200] for step, entry in steps))
            raise
    stamped = sum(name == "stamp" for name, _, _ in office.done)
    await check_money(simulation.disk.inner, stamped * STAMP_MICROS)
    for node in nodes:
        if node.service is not None:
            node.service.node._system.check_conservation()
    return {row.key.case_id: row.result or "operator" for row in rows}


def check(row: CaseRow, steps: list[tuple[str, Entry]], people: People) -> None:
    """Say what must be true of a case that has ended; raises AssertionError."""
    case_id, office = row.key.case_id, people.office
    done = office.of(case_id)
    entries = [entry for _, entry in steps]
    assert "wire" not in done, "what the policy denies was done"
    keys = [key for _, case, key in office.done if case == case_id]
    assert len(keys) == len(set(keys)), f"one key, and done more than once: {done}"
    if row.status is not CaseStatus.CLOSED:
        return
    fired = [step for step, entry in steps if isinstance(entry, Fired)]
    assert len(fired) == len(set(fired)), f"a timer fired twice: {fired}"
    open_writes = {step for step, entry in steps if isinstance(entry, Intent)} - {
        split_mark(step)[0] for step, entry in steps if isinstance(entry, Done | Undone)
    }
    assert not open_writes, f"closed, and nobody knows what became of {open_writes}"
    closed = entries[-1]
    assert isinstance(closed, Closed)
    cancelled = any(isinstance(entry, Cancel) for entry in entries)
    assert (closed.result is CaseResult.CANCELLED) == cancelled, f"{closed.result}, cancelled: {cancelled}"
    for entry in entries:
        if isinstance(entry, Decided):
            told = people.told.get(entry.review_id, set())
            assert told <= {entry.action}, f"people were told {told}, and {entry.action} counts"
    CHECKS.get(row.flow, _nothing)(case_id, closed, steps, done)


def _trip(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    if closed.result is CaseResult.COMPLETED:
        assert done == ["flight.book", "hotel.book"], done
        return
    stands: list[str] = []
    for each in done:
        thing, _, what = each.partition(".")
        if what == "book":
            stands.append(thing)
        else:
            assert stands, f"undone, and not done before: {done}"
            assert stands.pop() == thing, f"not undone newest first: {done}"
    assert not stands, f"{closed.result}, and {stands} stands"


def _tour(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert unpack(closed.value, int) == 2, "a postcard came twice, and another one never"


def _hasty(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert done in ([], ["card.pay"]), done


def _pay(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert done == ["card.pay"], done


def _ask(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    decided, *_ = [entry for _, entry in steps if isinstance(entry, Decided)]
    wanted = [] if decided.action is ReviewAction.REJECT else ["card.pay"]
    assert done == wanted, f"{decided.action}, and done: {done}"


def _large(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    wanted = [] if case_id.endswith("1") else ["card.large"]
    assert done == wanted, f"wanted was {wanted}, and done: {done}"


def _stamps(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert len(done) <= STAMPS, f"{len(done)} stamps were made, and {STAMPS} allowed"


def _letters(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    again = sum(split_mark(step)[1] == "retry" for step, entry in steps if isinstance(entry, Decision))
    for _, entry in steps:
        if isinstance(entry, Completed):
            assert entry.attempt == 1 + again, f"attempt {entry.attempt} counted, and {again} were given up"


def _seats(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert len(done) <= 1, f"it wrote, and was tried again: {done}"


def _tickets(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    assert done == ["ticket.buy"], f"it wrote, and an operator had it tried again: {done}"


def _careless(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    noted, *_ = [entry for _, entry in steps if isinstance(entry, Noted)]
    assert noted.text == f"whim {unpack(closed.value, int)}", f"{noted.text}, and it ended with {closed.value!r}"


def _nothing(case_id: str, closed: Closed, steps: list[tuple[str, Entry]], done: list[str]) -> None:
    """Ask nothing more of other cases."""


CHECKS = {
    "trip": _trip,
    "tour": _tour,
    "hasty": _hasty,
    "pay": _pay,
    "ask": _ask,
    "large": _large,
    "stamps": _stamps,
    "letters": _letters,
    "seats": _seats,
    "tickets": _tickets,
    "careless": _careless,
}
#: How the key begins under which a stopped task is tried again.
STOPPED_TASK = "retry:"
#: What a case waits for an operator for when it has misbehaved as it should.
MISBEHAVED = {"careless-0": "ReplayMismatch", "bomb-0": "poison"}


def _has_ended(row: CaseRow) -> bool:
    why = MISBEHAVED.get(row.key.case_id)
    halted = [wait.reason for wait in row.waits if wait.kind is WaitKind.OPERATOR]
    return row.status is CaseStatus.CLOSED or (bool(halted) and why is not None and halted[0].startswith(why))


async def _ended(simulation: Simulation, people: People, opened: list[Opened]) -> list[CaseRow]:
    """Wait until every case has come to its end, and what a plan made look like poison was released."""
    stuck = Stuck(simulation)
    while True:
        rows = list(await simulation.disk.inner.cases())
        unended = [row for row in rows if not _has_ended(row)]
        for row in unended:
            await people.let_go_on(row)
        if simulation.mischief.healed:
            if {case_id for _, case_id, _ in opened} <= {row.key.case_id for row in rows} and not unended:
                return rows
            for row in unended:
                if not any(wait.key.startswith(STOPPED_TASK) for wait in row.waits):
                    await people.outsiders.release(row)
        stuck.look(unended)
        await anyio.sleep(20.0)


async def _closed(disk: Store) -> set[str]:
    return {row.key.case_id for row in await disk.cases(status=CaseStatus.CLOSED)}
