"""The node: what it does when the store says no, when a case breaks its cell, and when it has to end."""

from typing import NoReturn

import anyio
import anyio.lowlevel
import pytest
from store_support import opening

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Halted
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.flow.reading import Reader
from casework.runtime.runtime import Runtime
from casework.runtime.seams import MICROS
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseKey,
    CaseStatus,
    Conflict,
    Fenced,
    Unavailable,
    Unknown,
    WaitKind,
)
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, entries, runtime, until, value
from tests.support.manual_clock import ManualClock
from tests.support.mute import Mute
from tests.support.odd_stores import OddStore


async def rested(machine: Runtime, flow: str) -> None:
    """Open a case, and wait until all that it does at once is done."""
    await machine.open(flow, "c1", Ask(4))
    await machine.wait("c1")
    await anyio.wait_all_tasks_blocked()


async def simple(case: Case, inputs: Ask) -> int:
    await case.note("one")
    await case.park("go", reason="waits")
    return inputs.n


def answering(store: OddStore, number: int, answer: AppendResult) -> None:
    def answers(count: int, append: Append) -> AppendResult | None:
        return answer if count == number else None

    store.answers = answers


def refusing_a_claim(store: OddStore) -> None:
    store.claim_error = StoreUnavailable("memory:", "away")


@pytest.mark.promise("NODE-1")
@pytest.mark.parametrize("answer", [Conflict(9), Unknown("who knows")], ids=["conflict", "unknown"])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_case_whose_append_went_wrong_is_taken_again_and_goes_on(answer: AppendResult, number: int) -> None:
    store = OddStore()
    answering(store, number, answer)
    with anyio.fail_after(5):
        async with runtime(crew(simple), store) as machine:
            await machine.open("simple", "c1", Ask(3))
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            await machine.wait("c1")
            assert await value(store) == 3
            await machine.wait_idle()


@pytest.mark.promise("NODE-1")
async def test_a_fenced_case_is_dropped_for_whoever_owns_it_now() -> None:
    store = OddStore()
    answering(store, 1, Fenced(7))
    with anyio.fail_after(5):
        async with runtime(crew(simple), store) as machine:
            await machine.open("simple", "c1", Ask())
            await until(machine, lambda: bool(store.appends))
            await machine.wait_idle()
            assert machine.statistics().active == 0
            assert len(store.appends) == 1


@pytest.mark.promise("NODE-1")
async def test_a_fenced_case_that_an_unheard_claim_gave_back_to_its_node_goes_on() -> None:
    store, clock = OddStore(), ManualClock()
    store.hold()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await machine.open("simple", "c1", Ask(3))
            await anyio.wait_all_tasks_blocked()
            # Another one takes it and dies; then its first node takes it again, without hearing so.
            later = clock.wall_micros() + int(LEASE_OVER * MICROS)
            await store.inner.claim("other", limit=9, now=later)
            store.claim_unheard = StoreUnavailable("memory:", "away")
            store.heard([KEY._replace(case_id="somebody")])
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            await anyio.wait_all_tasks_blocked()
            store.let_go()
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            await machine.wait("c1")
            assert await value(store) == 3


@pytest.mark.promise("NODE-1")
async def test_an_append_to_a_store_that_is_away_is_tried_until_it_is_back() -> None:
    store, clock = OddStore(), ManualClock()
    answering(store, 1, Unavailable("the disk is full"))
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await machine.open("simple", "c1", Ask())
            await until(machine, lambda: len(store.appends) == 1)
            await anyio.wait_all_tasks_blocked()
            clock.advance(1)
            assert (await machine.wait("c1")).status is CaseStatus.PARKED


@pytest.mark.promise("NODE-1")
async def test_a_node_outlives_a_store_that_is_away_when_it_claims() -> None:
    store, clock = OddStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await machine.open("simple", "c1", Ask())
            await machine.wait("c1")
            clock.advance(1.5)
            await anyio.wait_all_tasks_blocked()
            refusing_a_claim(store)
            await store.inner.deliver(*KEY, "m1", encode(Arrived(key="go", message_id="m1", by="ann")))
            await anyio.wait_all_tasks_blocked()
            assert store.claim_error is None
            clock.advance(1)
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


class RefusingStore(OddStore):
    """Does not know whether it has what was appended first, and does not give some of the cases again."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = set(refused)
        self.answers = lambda _, append: Unknown("who knows") if append.epoch == 1 else None

    async def reclaim(self, node: str, key: CaseKey) -> Claimed | None:
        if key.case_id in self.refused:
            raise StoreUnavailable("memory:", "its page cannot be read")
        return await self.inner.reclaim(node, key)


@pytest.mark.promise("NODE-3")
async def test_a_case_that_the_store_does_not_give_again_keeps_no_other_from_going_on() -> None:
    store, clock = RefusingStore("c1", "c3"), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            for name in ("c1", "c2", "c3"):
                await machine.open("simple", name, Ask())
            await until(machine, lambda: len(store.appends) == 3)
            while (await store.case(KEY._replace(case_id="c2"))).status is not CaseStatus.PARKED:
                clock.advance(0.1)
                await anyio.wait_all_tasks_blocked()
            # Nor from being claimed: this one was opened by somebody else.
            await store.inner.open_case(opening(KEY._replace(case_id="c4")))
            while (await store.case(KEY._replace(case_id="c4"))).epoch == 0:
                clock.advance(0.1)
                await anyio.wait_all_tasks_blocked()
            store.refused.clear()
            clock.advance(1)
            for name in ("c1", "c3"):
                assert (await machine.wait(name)).status is CaseStatus.PARKED


@pytest.mark.promise("NODE-3")
@pytest.mark.parametrize("where", ["replay", "ruling"])
async def test_a_case_that_breaks_its_cell_three_times_parks_as_poison_and_others_go_on(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff, read = crew(simple, breaks), Reader.read
    if where == "replay":
        monkeypatch.setattr(
            Reader, "read", lambda self, row, *log: read(self, row, *log) if row.flow == "simple" else _raise()
        )
    else:
        staff.rule = _raise  # type: ignore[method-assign,assignment]
    with anyio.fail_after(5):
        async with runtime(staff) as machine:
            await machine.open("breaks", "c1", Ask())
            await machine.open("simple", "c2", Ask())
            row = await machine.wait("c1")
            assert row.status is CaseStatus.PARKED
            assert row.waits[0].kind is WaitKind.OPERATOR
            reason = "poison: it failed 3 times in a row, at last with ZeroDivisionError: a bug in the machine"
            assert row.waits[0].reason == reason
            assert len(await entries(machine.store, Halted)) == 1
            await machine.wait_idle()
            assert (await machine.wait("c2")).waits[0].key == "go"


@pytest.mark.promise("NODE-3")
async def test_a_case_that_breaks_its_cell_by_what_cannot_say_what_it_is_parks_as_poison_as_well() -> None:
    def mute(*_: object) -> NoReturn:
        raise Mute

    staff = crew(simple, breaks)
    staff.rule = mute  # type: ignore[method-assign,assignment]
    with anyio.fail_after(5):
        async with runtime(staff) as machine:
            await machine.open("breaks", "c1", Ask())
            row = await machine.wait("c1")
            assert row.waits[0].reason == "poison: it failed 3 times in a row, at last with Mute"
            await machine.open("simple", "c2", Ask())
            assert (await machine.wait("c2")).waits[0].key == "go"


async def breaks(case: Case, inputs: Ask) -> None:
    await case.call("tool", {}, returns=str)


def _raise(*_: object) -> NoReturn:
    raise ZeroDivisionError("a bug in the machine")


@pytest.mark.promise("NODE-5")
async def test_what_a_killed_node_held_is_taken_once_its_lease_is_over_though_nobody_says_so() -> None:
    store, clock = OddStore(), ManualClock()
    with anyio.fail_after(5):
        async with crashing(runtime(crew(simple), store, clock)) as machine:
            store.hold()
            await machine.open("simple", "c1", Ask())
            await until(machine, lambda: bool(store.appends))
        store.let_go()
        async with runtime(crew(simple), store, clock) as machine:
            await machine.wait_idle()
            assert (await store.case(KEY)).status is CaseStatus.OPEN
            await anyio.wait_all_tasks_blocked()
            clock.advance(LEASE_OVER)
            while (await store.case(KEY)).status is CaseStatus.OPEN:
                await anyio.lowlevel.checkpoint()


@pytest.mark.promise("NODE-5")
async def test_what_a_drained_node_leaves_is_free_at_once() -> None:
    store, clock = MemoryStore(), ManualClock()

    async def never(inputs: object, call: object) -> None:
        await anyio.sleep_forever()

    async def works(case: Case, inputs: Ask) -> None:
        await case.delegate("work", {}, returns=str, goal="work")

    staff = crew(works, doers={"work": never})
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
            full = machine.node.drain
            machine.node.drain = lambda timeout_seconds: full(0.01)  # type: ignore[method-assign]
        again = crew(works, doers={"work": never})
        async with runtime(again, store, clock) as machine:
            await until(machine, lambda: bool(again.sent))
            machine.node.drain = lambda timeout_seconds: full(0.01)  # type: ignore[method-assign]


@pytest.mark.promise("NODE-5")
async def test_a_drain_gives_parked_cases_back_and_keeps_nothing_of_them() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store) as machine:
            for n in range(20):
                await machine.open("simple", f"c{n}", Ask(n))
            await machine.wait_idle()
            node = machine.node
            assert node.statistics().parked == 20
        assert node.statistics()[:2] == (0, 0)
        assert {row.node for row in await store.cases()} == {""}


@pytest.mark.promise("NODE-6")
async def test_a_case_that_rests_is_released_and_comes_back_for_its_next_message() -> None:
    clock, store = ManualClock(), MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await rested(machine, "simple")
            clock.advance(1.5)
            await anyio.wait_all_tasks_blocked()
            assert machine.statistics()[:2] == (0, 0)
            row = await store.case(KEY)
            assert row is not None
            assert row.node == ""
            await machine.deliver("go", by="test")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


@pytest.mark.promise("NODE-6")
async def test_a_message_that_comes_while_a_case_is_given_back_is_not_lost() -> None:
    store, clock = OddStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await rested(machine, "simple")
            store.hold()
            clock.advance(1.5)
            await until(machine, lambda: store.appends[-1].release)
            await machine.deliver("go", by="test")
            await anyio.wait_all_tasks_blocked()
            store.let_go()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert await value(store) == 4


class Resting(OddStore):
    """Counts claims; the answer to an append that gives a case back can be held."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0
        self.given_back = anyio.Event()
        self.go = anyio.Event()
        self.go.set()

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        self.claims += 1
        return await super().claim(node, limit=limit, now=now)

    async def append(self, append: Append) -> AppendResult:
        answer = await super().append(append)
        if append.release:
            self.given_back.set()
            await self.go.wait()
        return answer


@pytest.mark.promise("NODE-6")
async def test_a_case_that_is_given_back_with_nothing_new_is_not_looked_for_again() -> None:
    clock, store = ManualClock(), Resting()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await rested(machine, "simple")
            before = store.claims
            clock.advance(1.5)
            await anyio.wait_all_tasks_blocked()
            assert machine.statistics()[:2] == (0, 0)
            assert store.claims == before


@pytest.mark.promise("NODE-6")
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("target", ["go", "c1"])
async def test_a_message_that_comes_before_or_after_a_case_is_given_back_is_not_lost(
    *, heard: bool, target: str
) -> None:
    clock, store = ManualClock(), Resting()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine:
            await rested(machine, "simple")
            if heard:
                # The store has let it go, and nobody knows so far.
                store.go = anyio.Event()
            else:
                store.deafen()
                await machine.deliver(target, key="go", by="test")
            clock.advance(1.5)
            await store.given_back.wait()
            if heard:
                await machine.deliver(target, key="go", by="test")
                store.go.set()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            store.hear()


async def timed(case: Case, inputs: Ask) -> int:
    await case.sleep(5)
    return inputs.n


@pytest.mark.promise("NODE-6")
async def test_a_case_that_is_given_back_with_a_timer_is_taken_when_that_is_due() -> None:
    clock, store = ManualClock(), Resting()
    with anyio.fail_after(5):
        async with runtime(crew(timed), store, clock) as machine:
            await rested(machine, "timed")
            clock.advance(1.5)
            await store.given_back.wait()
            await anyio.wait_all_tasks_blocked()
            assert machine.statistics()[:2] == (0, 0)
            clock.advance(4)
            await anyio.wait_all_tasks_blocked()
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
