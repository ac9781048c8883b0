"""Messages that end each process that takes them, here a life of which nothing more is written: set aside, in turn."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.codec import encode, pack, unpack
from casework.protocols.records import Arrived, Cancel, Noted
from casework.runtime.errors import CaseCancelled
from casework.runtime.flow.asides import ASIDE_MAX
from casework.runtime.flow.case import Case
from casework.runtime.letters import dead_letters, drop, redrive
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseRow, CaseStatus, Delivered
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, closed, crashing, crew, entries, runtime, value
from tests.support.manual_clock import ManualClock

WORLD = World()


class Grave:
    """Has a store write nothing of a life in which a deadly message was taken."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.dead = self.mended = False
        self.lives = 0
        self._write = self.store.append
        self.store.append = self._append  # type: ignore[method-assign]

    async def _append(self, append: Append) -> AppendResult:
        if self.dead:
            await anyio.sleep_forever()
        return await self._write(append)


def scene(grave: Grave, papers: int) -> tuple[ManualClock, Any]:
    async def hears(case: Case, inputs: Ask) -> list[str]:
        taken: list[str] = []
        while len(taken) < papers:
            paper = unpack((await case.park("paper", reason="r")).value, str)
            grave.dead = grave.dead or (paper == "deadly" and not grave.mended)
            taken.append(paper)
        return taken

    async def heeds(case: Case, inputs: Ask) -> None:
        try:
            await case.park("never", reason="r")
        except CaseCancelled:
            grave.dead = True
            raise

    return ManualClock(), crew(hears, heeds)


async def opened(grave: Grave, clock: ManualClock, staff: Any, *papers: str, flow: str = "hears") -> None:
    async with runtime(staff, grave.store, clock) as machine:
        await machine.open(flow, "c1", Ask())
        await machine.wait("c1")
    for number, paper in enumerate(papers):
        frame = encode(Arrived(key="paper", message_id=f"{paper}-{number}", by="ben", value=pack(paper)))
        assert isinstance(await grave.store.deliver("default", "paper", f"{paper}-{number}", frame), Delivered)


async def lived(grave: Grave, clock: ManualClock, staff: Any) -> CaseRow:
    """Have it die and live again until it rests; give its row."""
    grave.dead = True
    while grave.dead:
        grave.dead = False
        async with crashing(runtime(staff, grave.store, clock)) as machine:
            while not grave.dead and not machine.node.idle:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
        grave.lives += 1
        clock.advance(LEASE_OVER)
    row = await grave.store.case(KEY)
    assert row is not None
    return row


@pytest.mark.promise("LETTER-1")
async def test_after_a_few_set_aside_in_a_row_the_case_parks_and_goes_on_once_an_operator_says_so() -> None:
    grave = Grave()
    store, (clock, staff) = grave.store, scene(grave, 1)
    with anyio.fail_after(20):
        await opened(grave, clock, staff, *["deadly"] * (ASIDE_MAX + 1))
        row = await lived(grave, clock, staff)
        assert row.status is CaseStatus.PARKED
        (letter,) = await dead_letters(store)
        assert (letter.kind, letter.error[:20]) == ("case", "poison: 4 processes ")
        await redrive(store, letter, by="ann", reason="r", world=WORLD)
        await lived(grave, clock, staff)
        letters = await dead_letters(store)
        assert [each.what for each in letters] == [f"deadly-{number}" for number in range(ASIDE_MAX + 1)]
        assert await verify(store) == []
        for each in letters:
            assert isinstance(await drop(store, each, by="ann", reason="r", world=WORLD), Delivered)
        await lived(grave, clock, staff)
        assert await dead_letters(store) == []
        async with runtime(staff, store, clock) as machine:
            await machine.deliver("paper", by="ben", value="good")
            await closed(store)
    assert await value(store, list[str]) == ["good"]
    assert await entries(store, Noted) == []
    assert await verify(store) == []


@pytest.mark.promise("LETTER-1")
async def test_a_message_that_is_redriven_and_ends_its_process_again_is_set_aside_again() -> None:
    grave = Grave()
    store, (clock, staff) = grave.store, scene(grave, 1)
    with anyio.fail_after(20):
        await opened(grave, clock, staff, "deadly")
        await lived(grave, clock, staff)
        (letter,) = await dead_letters(store)
        assert (letter.tries, grave.lives) == (1, 5)
        await redrive(store, letter, by="ann", reason="r", world=WORLD)
        await lived(grave, clock, staff)
        (again,) = await dead_letters(store)
        assert (again.key, again.tries) == (letter.key, 2)
        grave.mended = True
        await redrive(store, again, by="ann", reason="r", world=WORLD)
        await lived(grave, clock, staff)
    assert await value(store, list[str]) == ["deadly"]


async def test_a_cancel_that_ends_each_process_is_not_set_aside_for_nobody_would_cancel_again() -> None:
    grave = Grave()
    store, (clock, staff) = grave.store, scene(grave, 1)
    with anyio.fail_after(20):
        await opened(grave, clock, staff, flow="heeds")
        cancel = encode(Cancel(message_id="m1", by="ann"))
        assert isinstance(await store.deliver("default", "c1", "m1", cancel), Delivered)
        row = await lived(grave, clock, staff)
        assert row.waits[0].reason.startswith("poison: 4 processes")
        (letter,) = await dead_letters(store)
        assert letter.kind == "case"
