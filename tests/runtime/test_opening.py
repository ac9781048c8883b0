"""Opening a case while somebody else opens it, or it exists: whoever waits is woken, and no case is left alone."""

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseStatus, Opening, OpenResult, Unavailable
from tests.support.flow_scene import LEASE_OVER, Ask, crew, runtime, until
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import SmallTool

KEY = CaseKey("default", "c1")


async def simple(case: Case, inputs: Ask) -> int:
    return inputs.n


class Slow(OddStore):
    """Holds those openings that take the case at once."""

    def __init__(self) -> None:
        super().__init__()
        self.taking = anyio.Event()
        self.go = anyio.Event()
        self.answer: OpenResult | None = None

    async def open_case(self, opening: Opening) -> OpenResult:
        if opening.node and opening.key == KEY:
            self.taking.set()
            await self.go.wait()
            if self.answer is not None:
                return self.answer
        result: OpenResult = await self.inner.open_case(opening)
        return result


async def looked(machine: Runtime, clock: ManualClock) -> None:
    """Let the node have taken what was there when it began, and look as late as it ever does by itself."""
    await machine.open("simple", "first", Ask())
    await machine.wait("first")
    clock.advance(LEASE_OVER)
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("answer", [None, Unavailable("busy")], ids=["exists", "unavailable"])
async def test_a_case_that_another_opened_meanwhile_is_worked_on(answer: OpenResult | None) -> None:
    store, clock = Slow(), ManualClock()
    store.answer = answer
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine, anyio.create_task_group() as group:
            await looked(machine, clock)

            async def opens() -> None:
                if answer is None:
                    await machine.open("simple", "c1", Ask())
                else:
                    with pytest.raises(StoreUnavailable):
                        await machine.open("simple", "c1", Ask())

            group.start_soon(opens)
            await store.taking.wait()
            await machine.open("simple", "c1", Ask())
            store.go.set()
            while (await store.case(KEY)).status is not CaseStatus.CLOSED:
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("waiting", ["wait", "wait_idle"])
async def test_who_waits_while_a_case_is_opened_again_is_woken(waiting: str) -> None:
    store, clock = Slow(), ManualClock()
    woken = anyio.Event()
    with anyio.fail_after(5):
        async with runtime(crew(simple), store, clock) as machine, anyio.create_task_group() as group:
            await looked(machine, clock)
            store.go.set()
            await machine.open("simple", "c1", Ask())
            await machine.wait("c1")
            store.taking, store.go = anyio.Event(), anyio.Event()

            async def waits() -> None:
                await (machine.wait("c1") if waiting == "wait" else machine.wait_idle())
                woken.set()

            group.start_soon(machine.open, "simple", "c1", Ask())
            await store.taking.wait()
            group.start_soon(waits)
            await anyio.wait_all_tasks_blocked()
            store.go.set()
            await woken.wait()


async def halting(case: Case, inputs: Ask) -> None:
    async def asks() -> None:
        await case.park("go", reason="waits")
        await case.open("nobody", "c9", Ask())

    await case.gather(case.sleep(1.0), asks())


async def test_a_halted_case_rests_although_the_moment_of_one_of_its_alarms_passes() -> None:
    store, clock = OddStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(halting), store, clock) as machine:
            await machine.open("halting", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("go", by="ann")
            await until(machine, lambda: any(append.records[-1:] for append in store.appends[1:]))
            clock.advance(0.5)
            await machine.deliver("c1", key="more", by="ann")
            clock.advance(0.6)
            assert (await machine.wait("c1")).waits[0].reason.startswith("FlowUnknown")
            await machine.wait_idle()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_flow_that_raises_a_cancellation_of_nobody_stops_no_timer_of_the_others() -> None:

    async def bad(case: Case, inputs: Ask) -> None:
        await case.sleep(0.1)
        raise asyncio.CancelledError

    async def sleeps(case: Case, inputs: Ask) -> None:
        await case.sleep(0.2)

    async def given(arguments: object) -> object:
        return arguments

    clock, tools = ManualClock(), dict[str, Any](read=SmallTool(given))
    store = OddStore()
    with anyio.fail_after(5):
        async with runtime(crew(bad, sleeps, tools=tools), store, clock) as machine:
            await machine.open("bad", "c0", Ask())
            await machine.open("sleeps", "c1", Ask())
            for name in ("c0", "c1"):
                await machine.wait(name)
            clock.advance(0.15)
            await anyio.wait_all_tasks_blocked()
            clock.advance(0.15)
            while (await store.case(KEY)).status is not CaseStatus.CLOSED:
                await anyio.lowlevel.checkpoint()


@pytest.mark.promise("GUARD-7")
async def test_a_tenant_that_has_nothing_at_work_need_not_wait_until_another_tenants_backlog_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("casework.runtime.node.ACTIVE_MAX", 2)
    began, go = list[str](), anyio.Event()

    async def hold(arguments: Any) -> object:
        began.append(arguments["case"])
        await go.wait()
        return None

    async def holds(case: Case, inputs: Ask) -> None:
        await case.call("hold", {"case": case.id}, returns=type(None))

    async def opened(machine: Runtime, tenant: str, *case_ids: str) -> None:
        monkeypatch.setattr(machine, "_tenant", tenant)
        for case_id in case_ids:
            await machine.open("holds", case_id, Ask())
        await anyio.wait_all_tasks_blocked()

    with anyio.fail_after(5):
        async with runtime(crew(holds, tools={"hold": SmallTool(hold)}), clock=ManualClock()) as machine:
            await anyio.wait_all_tasks_blocked()
            await opened(machine, "noisy", "n1", "n2", "n3", "n4")
            await opened(machine, "quiet", "q1", "q2")
            await opened(machine, "third", "t1")
            # One each beyond the places; what comes after that waits in its order, behind the backlog.
            assert began == ["n1", "n2", "q1", "t1"]
            go.set()
            await machine.wait_idle()
    assert sorted(began[4:]) == ["n3", "n4", "q2"]
