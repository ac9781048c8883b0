"""A case sends to one that is not there or has closed: its log says so, whatever happens, and its flow goes on."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import Cancel, Noted
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from casework.runtime.telemetry import Telemetry
from tests.runtime.flow.test_chapters import dying_at
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, closed, crashing, crew, entries, runtime, steps, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore

NOT_SENT = "nobody took page: case {} is not there or has closed"
NOT_STOPPED = "nobody was there to be stopped: case {} is not there or has closed"


async def done(case: Case, inputs: Ask) -> int:
    return inputs.n


async def sends_last(case: Case, inputs: Ask) -> str:
    await case.send("other", "page", inputs.n)
    return "sent"


async def stops_last(case: Case, inputs: Ask) -> str:
    await case.cancel("other", reason="over")
    return "asked"


async def sends_and_waits(case: Case, inputs: Ask) -> str:
    await case.send("other", "page", inputs.n)
    await case.park("go", reason="waits")
    return "sent"


async def turns(case: Case, inputs: Ask) -> str:
    if inputs.n == 0:
        await case.send("other", "page", 1)
        await case.next_chapter(Ask(1))
    return "sent"


async def opens_last(case: Case, inputs: Ask) -> str:
    await case.open("done", "other", Ask(2))
    return "opened"


FLOWS = (done, sends_last, stops_last, sends_and_waits, turns, opens_last)


async def warnings(store: Any, key: CaseKey = KEY) -> list[str]:
    return [noted.text for noted in await entries(store, Noted, key) if noted.level == "warning"]


@pytest.mark.promise("STORE-6")
@pytest.mark.parametrize("there", [False, True], ids=["absent", "closed"])
@pytest.mark.parametrize(
    ("flow", "told"),
    [(sends_last, NOT_SENT), (stops_last, NOT_STOPPED), (turns, NOT_SENT)],
    ids=["sent", "stopped", "sent before a chapter"],
)
async def test_what_a_case_sends_as_it_ends_is_in_its_log_as_taken_by_nobody(flow: Any, told: str, there: bool) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(*FLOWS)) as machine:
            if there:
                await machine.open("done", "other", Ask())
                await machine.wait("other")
            await machine.open(flow.__name__, "c1", Ask())
            row = await machine.wait("c1")
            assert (row.status, row.result) == (CaseStatus.CLOSED, "completed")
            assert await warnings(machine.store) == [told.format("other")]
            assert await verify(machine.store) == []


async def test_a_parked_case_hears_that_nobody_took_its_message_and_waits_on() -> None:
    store, telemetry = MemoryStore(), Telemetry(metrics=True)
    machine = runtime(crew(*FLOWS), store)
    machine._telemetry = telemetry
    with anyio.fail_after(5):
        async with machine:
            await machine.open("sends_and_waits", "c1", Ask())
            await machine.wait_idle()
            assert await warnings(store) == [NOT_SENT.format("other")]
            assert b'casework_messages_untaken_total{flow="sends_and_waits"} 1.0' in telemetry.expose()
            row = await store.case(KEY)
            assert row is not None
            assert (row.status, [wait.key for wait in row.waits]) == (CaseStatus.PARKED, ["go"])
            await machine.deliver("go", by="ann")
            await closed(store)
        assert await value(store) == "sent"


async def test_a_case_whose_message_is_taken_closes_without_a_word_of_it() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(*FLOWS)) as machine:
            await machine.open("sends_and_waits", "other", Ask())
            await machine.wait("other")
            for number, flow in enumerate((sends_last, stops_last)):
                await machine.open(flow.__name__, f"c{number}", Ask())
                key = (await machine.wait(f"c{number}")).key
                assert await warnings(machine.store, key) == []
            assert len(await entries(machine.store, Cancel, CaseKey("default", "other"))) == 1


async def test_a_case_that_ends_with_opening_one_of_somebody_elses_says_that_it_heard_of_it_too_late() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(*FLOWS)) as machine:
            await machine.open("done", "other", Ask())
            await machine.wait("other")
            await machine.open("opens_last", "c1", Ask())
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            assert await warnings(machine.store) == ["1 messages were not read before the case closed"]


@pytest.mark.promise("STORE-6")
@pytest.mark.promise("FLOW-35")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("flow", [sends_last, turns])
async def test_killed_at_every_append_a_case_says_once_that_nobody_took_its_message(flow: Any, after: bool) -> None:
    for killed_at in range(1, 5):
        inner, clock = MemoryStore(), ManualClock()
        with anyio.fail_after(5):
            store = OddStore(inner)
            store.answers, store.dead_after = dying_at(store, killed_at), after
            async with crashing(runtime(crew(*FLOWS), store, clock)) as machine:
                await machine.open(flow.__name__, "c1", Ask())
                while not store.dead and (await inner.case(KEY)).status is not CaseStatus.CLOSED:  # type: ignore[union-attr]
                    await anyio.lowlevel.checkpoint()
            clock.advance(LEASE_OVER)
            async with runtime(crew(*FLOWS), inner, clock) as machine:
                await closed(inner)
        assert await warnings(inner) == [NOT_SENT.format("other")], (killed_at, await steps(inner))
        assert await value(inner) == "sent"
