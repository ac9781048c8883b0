"""A flow with every kind of step, killed at each of its appends, ends the same way with the same effects."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.store.base import Append, AppendResult, CaseKey, CaseStatus
from casework.runtime.store.chain import broken_at
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, runtime, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, SmallStaff, SmallTool


async def leaf(case: Case, inputs: Ask) -> int:
    return inputs.n


async def ten_steps(case: Case, inputs: Ask) -> list[object]:
    told: list[object] = []
    await case.note("begin")
    told.append(await case.call("read", {"n": 1}, returns=int))
    result = await case.delegate("work", {}, returns=int, goal="work", tools=("read", "book"), tier=RiskTier.REVERSIBLE)
    told.append(result.value)
    told.append(await case.call("book", {"n": 2}, returns=int))

    async def asks() -> object:
        return (await case.review("look", {"n": 3}, rule="test")).by

    async def waits() -> object:
        return (await case.park("paper", reason="paper")).by

    told.append(await case.gather(asks(), waits()))
    await case.sleep(10)
    await case.open("leaf", "kid", Ask(5))
    told.append((await case.next_report()).status)
    index, _ = await case.first(case.park("never", reason="loses"), case.call("read", {"n": 4}, returns=int))
    told.append(index)
    await case.decide("end", ("a", "b"), "a", rule="test")
    return told


class Ledger:
    """The world outside: what was booked under which key, for good."""

    def __init__(self) -> None:
        self.booked: dict[int, int] = {}
        self.times = 0

    async def read(self, arguments: Any) -> int:
        return int(arguments["n"])

    async def book(self, arguments: Any) -> int:
        self.booked[arguments["n"]] = self.times
        self.times += 1
        return int(arguments["n"]) * 10

    async def look_up(self, arguments: Any) -> int:
        if arguments["n"] not in self.booked:
            raise Gone("it is not in the ledger")
        return int(arguments["n"]) * 10


async def work(inputs: object, call: Callable[[str, object], Awaitable[Any]]) -> int:
    return int(await call("read", {"n": 6})) + int(await call("book", {"n": 7}))


def staff(ledger: Ledger) -> SmallStaff:
    tools = {
        "read": SmallTool(ledger.read),
        "book": SmallTool(ledger.book, RiskTier.REVERSIBLE, lookup=ledger.look_up),
    }
    return crew(ten_steps, leaf, doers={"work": work}, tools=tools)


async def help_along(store: Any, machine: Any, clock: ManualClock, *, dying: OddStore | None = None) -> None:
    """Decide, deliver and let time pass as long as that is what the case waits for."""
    while dying is None or not dying.dead:
        await anyio.lowlevel.checkpoint()
        row = await store.case(KEY)
        if row is None or row.status is CaseStatus.CLOSED:
            return
        for review in await store.reviews(state="open"):
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
        if any(wait.key == "paper" for wait in row.waits):
            await machine.deliver("paper", by="bob")
        if any(wait.key == "timer" for wait in row.waits):
            clock.advance(11)


EXPECTED = [1, 76, 20, ["ann", "bob"], "closed", 1]


@pytest.mark.promise("FLOW-35")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_every_append_a_case_ends_with_the_same_result_and_the_same_effects(after: bool) -> None:
    killed_at, last = 0, 1
    while killed_at < last:
        killed_at += 1
        inner, clock, ledger = MemoryStore(), ManualClock(), Ledger()
        with anyio.fail_after(5):
            store = OddStore(inner)
            if killed_at > 1 or last > 1:
                kill_at(store, killed_at, after=after)
            async with crashing(runtime(staff(ledger), store, clock)) as machine:
                await machine.open("ten_steps", "c1", Ask())
                await help_along(store, machine, clock, dying=store)
            if last == 1:
                last, killed_at = len(store.appends), 0
                assert last > 8
                continue
            clock.advance(LEASE_OVER)
            async with runtime(staff(ledger), inner, clock) as machine:
                await help_along(inner, machine, clock)
        row = await inner.case(KEY)
        assert row is not None
        assert row.status is CaseStatus.CLOSED
        if row.result in {"failed", "partial"}:
            # A write that is known not to have happened: its failure is the flow's to handle, and it was not made.
            assert set(ledger.booked) != {2, 7}
            continue
        assert await value(inner) == EXPECTED, killed_at
        assert (set(ledger.booked), ledger.times) == ({2, 7}, 2), killed_at
        for key in (KEY, CaseKey("default", "kid")):
            known = await inner.case(key)
            assert known is not None
            assert broken_at(known, await inner.records(key)) is None


def kill_at(store: OddStore, number: int, *, after: bool) -> None:
    def answer(count: int, append: Append) -> AppendResult | None:
        if count >= number:
            store.dead = True
        return None

    store.answers = answer
    store.dead_after = after
