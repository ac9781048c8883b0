"""What is said of what cases wait for: what somebody is to give is told from a moment that comes by itself."""

import anyio
import pytest
from msgspec.structs import replace

from casework.actors.cli.reading import waits_told
from casework.actors.cli.standing import news, standing
from casework.runtime import Case
from casework.runtime.store.base import CaseRow, Wait, WaitKind
from tests.support.flow_scene import Ask, crew, runtime

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])
DAY = 86_400_000_000


async def parked(*waits: Wait) -> CaseRow:
    async def asks(case: Case, inputs: Ask) -> None:
        await case.park("paper", reason="r")

    with anyio.fail_after(5):
        async with runtime(crew(asks)) as machine:
            await machine.open("asks", "c1", Ask())
            return replace(await machine.wait("c1"), waits=waits)


async def test_moments_beside_what_somebody_is_to_give_are_told_as_moments_and_in_one() -> None:
    paper = Wait("paper", WaitKind.EVIDENCE, "it is missing")
    limits = [Wait(f"gather/{number}/check", WaitKind.TIMER, "", (number + 1) * DAY) for number in range(12)]
    assert waits_told(await parked(paper)) == "paper: it is missing"
    assert (
        waits_told(await parked(paper, limits[0]))
        == "paper: it is missing; gather/0/check until 1970-01-02 00:00:00.000"
    )
    told = "paper: it is missing; 12 moments from 1970-01-02 00:00:00.000 on"
    assert waits_told(await parked(*limits, paper)) == told


async def test_what_changed_does_not_name_the_moments_of_what_is_waited_for() -> None:
    async def holds(case: Case, inputs: Ask) -> None:
        async def nap() -> None:
            await case.sleep(3600)

        async def ask() -> None:
            await case.park("paper", reason="r")
            await case.park("stamp", reason="r")

        await case.gather(nap(), ask())

    with anyio.fail_after(5):
        async with runtime(crew(holds)) as machine:
            await machine.open("holds", "c1", Ask())
            assert len((await machine.wait("c1")).waits) == 2
            before = await standing(machine.store)
            await machine.deliver("paper", by="ann")
            await machine.wait_idle()
            (change,) = (await news(machine.store, before, await standing(machine.store))).changed
    assert (change.before, change.after) == ("parked, waits for paper", "parked, waits for stamp again")
