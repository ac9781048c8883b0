"""A runtime is entered once; what is asked of it before or after, and who still waits then, hears that it stops."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import ReviewAction
from casework.runtime.errors import EnteredBefore, Stopping
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import Ask, crew, runtime, until
from tests.support.pool_floor import Floor
from tests.support.small_staff import SmallStaff


async def parks(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


async def works(case: Case, inputs: Ask) -> None:
    await case.delegate("work", {}, returns=str, goal="work")


async def never(inputs: object, call: object) -> None:
    await anyio.sleep_forever()


#: Everything that may be asked of a runtime.
ASKED: dict[str, Callable[[Runtime], Awaitable[object]]] = {
    "open": lambda machine: machine.open("parks", "c2", Ask()),
    "deliver": lambda machine: machine.deliver("c1", key="go", by="ann"),
    "deliver to what it waits for": lambda machine: machine.deliver("c1", by="ann", data=b"bytes"),
    "cancel": lambda machine: machine.cancel("c1", by="ann"),
    "migrate": lambda machine: machine.migrate("c1", to="2", by="ann"),
    "decide": lambda machine: machine.decide("r1", ReviewAction.APPROVE, by="ann"),
    "wait": lambda machine: machine.wait("c1"),
    "closed": lambda machine: machine.closed("c1"),
    "wait_idle": lambda machine: machine.wait_idle(),
}
#: Of these, what brings something in from outside.
BRINGS = ("open", "deliver", "deliver to what it waits for", "cancel", "migrate", "decide")


@pytest.fixture(params=["memory", "given", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | MemoryStore:
    kinds: dict[str, str | MemoryStore] = {
        "memory": "memory:",
        "given": MemoryStore(),
        "sqlite": f"sqlite:///{tmp_path}/cases.db",
    }
    return kinds[request.param]


@pytest.mark.promise("KERNEL-10")
async def test_a_second_entry_is_refused_and_the_first_goes_on(store: str | MemoryStore) -> None:
    machine = runtime(crew(parks), store)
    with anyio.fail_after(5):
        async with machine:
            await machine.open("parks", "c1", Ask(1))
            await machine.wait("c1")
            with pytest.raises(EnteredBefore, match="crew 'small' was entered before") as refused:
                await machine.__aenter__()
            assert refused.value.crew == "small"
            await machine.deliver("go", by="ann")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
        with pytest.raises(EnteredBefore):
            await machine.__aenter__()


@pytest.mark.promise("KERNEL-10")
async def test_an_entry_that_failed_is_not_tried_again_on_what_is_left_of_it() -> None:
    machine = runtime(crew(parks), "sqlite:////nowhere/at/all/cases.db")
    with pytest.raises(Exception, match="does not exist"):
        await machine.__aenter__()
    with pytest.raises(EnteredBefore):
        await machine.__aenter__()
    with pytest.raises(Stopping):
        await machine.wait("c1")


@pytest.mark.promise("KERNEL-10")
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_before_and_after_its_block_a_runtime_refuses_everything(
    store: str | MemoryStore, asked: Callable[[Runtime], Awaitable[object]]
) -> None:
    machine = runtime(crew(parks), store)
    with anyio.fail_after(5):
        with pytest.raises(Stopping):
            await asked(machine)
        async with machine:
            await machine.open("parks", "c1", Ask(1))
            await machine.wait("c1")
        with pytest.raises(Stopping):
            await asked(machine)
        for look in (lambda: machine.store, lambda: machine.node, lambda: machine.staff, machine.statistics):
            with pytest.raises(Stopping):
                look()


@pytest.mark.promise("KERNEL-10")
async def test_while_a_runtime_is_left_it_takes_nothing_more_and_who_waits_hears_of_it_at_the_end(
    store: str | MemoryStore,
) -> None:
    heard: list[str] = []
    staff = crew(parks, works, doers={"work": never})
    machine = runtime(staff, store)

    async def hears(name: str) -> None:
        with pytest.raises(Stopping):
            await ASKED[name](machine)
        heard.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, machine:
            full = machine.node.drain

            async def drain(timeout_seconds: float) -> None:
                assert heard == []
                for name in BRINGS:
                    await hears(name)
                await full(0.01)

            machine.node.drain = drain  # type: ignore[method-assign]
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
            for name in ("wait", "wait_idle"):
                group.start_soon(hears, name)
            await anyio.wait_all_tasks_blocked()
    assert heard[: len(BRINGS)] == list(BRINGS)
    assert sorted(heard[len(BRINGS) :]) == ["wait", "wait_idle"]


@pytest.mark.promise("KERNEL-10")
async def test_who_waits_for_a_case_that_rests_while_the_runtime_is_left_is_told_so(store: str | MemoryStore) -> None:
    go_on, rows = anyio.Event(), list[CaseStatus]()

    async def slow(inputs: object, call: object) -> str:
        await go_on.wait()
        return "done"

    staff = crew(works, doers={"work": slow})
    machine = runtime(staff, store)

    async def wait() -> None:
        rows.append((await machine.wait("c1")).status)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, machine:
            full = machine.node.drain

            async def drain(timeout_seconds: float) -> None:
                go_on.set()
                await full(timeout_seconds)

            machine.node.drain = drain  # type: ignore[method-assign]
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
    assert rows == [CaseStatus.CLOSED]


@pytest.mark.promise("KERNEL-10")
async def test_a_cancel_that_comes_while_a_runtime_is_left_waits_for_nobody_that_it_has_ended() -> None:
    staff, seconds = crew(works, doers={"work": never}), list[float]()
    machine = runtime(staff)
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with machine:
            full = machine.node.drain

            async def drain(timeout_seconds: float) -> None:
                seconds.append(timeout_seconds)
                scope.cancel()
                await full(timeout_seconds)

            machine.node.drain = drain  # type: ignore[method-assign]
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
    assert seconds[-1] == 0.0


async def test_the_numbers_of_a_runtime_that_was_left_tell_that_nothing_works_and_keep_nothing_of_it() -> None:
    go_on = anyio.Event()

    async def slow(inputs: object, call: object) -> str:
        await go_on.wait()
        return "done"

    telemetry, staff = Telemetry(metrics=True), crew(works, doers={"work": slow})
    machine = Runtime(staff, telemetry=telemetry)
    with anyio.fail_after(30):
        async with machine:
            node = weakref.ref(machine.node)
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
            pool = machine.node._system.spawn_pool("p", Floor().hand, workers=1)
            pool.tell_nowait(b"x")
            shown = telemetry.expose()
            assert b"casework_cases_open 1.0" in shown
            assert b'casework_mailbox_depth{actor="p"} 1.0' in shown
            go_on.set()
    del machine, pool
    gc.collect()
    assert node() is None
    shown = telemetry.expose()
    assert b"casework_cases_open 0.0" in shown
    assert b'casework_mailbox_depth{actor="p"} 0.0' in shown


class WatchingStaff(SmallStaff):
    """Notes whether what its block is left by leads back to itself."""

    def __init__(self) -> None:
        super().__init__({})
        self.circles: list[bool] = []

    def staff(self, *what: Any) -> Any:
        return self

    async def __aenter__(self) -> SmallStaff:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.circles.append(circles(error))


def circles(error: BaseException | None) -> bool:
    met = list[BaseException]()
    while error is not None:
        if any(error is each for each in met):
            return True
        met.append(error)
        error = error.__context__
    return False


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})])
async def test_an_error_is_never_its_own_context_however_often_a_runtime_is_cancelled_past_every_shield() -> None:
    # Every cancel scope that such an error passes follows its contexts to their end.
    staff, drains = WatchingStaff(), anyio.Event()
    machine = runtime(staff)

    async def drain(timeout_seconds: float) -> None:
        drains.set()
        await anyio.sleep_forever()

    async def life() -> None:
        try:
            async with machine:
                machine.node.drain = drain  # type: ignore[method-assign]
                await anyio.sleep_forever()
        except asyncio.CancelledError as error:
            staff.circles.append(circles(error))

    with anyio.fail_after(5):
        living = asyncio.ensure_future(life())
        await until(machine, lambda: machine._node is not None)
        await anyio.wait_all_tasks_blocked()
        living.cancel()
        await drains.wait()
        await anyio.wait_all_tasks_blocked()
        living.cancel()
        await living
    assert staff.circles == [False, False]
