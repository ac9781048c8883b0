"""A case that its node takes again before it has heard what became of it: it is worked on, by one cell, to its end."""

from collections import Counter
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import Append, AppendResult, CaseKey, DeliverResult, Opening, OpenResult, Unknown
from casework.runtime.store.claims import Claimed, Claims
from casework.runtime.store.taking import Delivery
from tests.support.flow_scene import KEY, Ask, closed, crew, runtime, until
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore

pytestmark = pytest.mark.promise("FLOW-25")


async def twice(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    await case.park("end", reason="waits")
    return inputs.n


async def thrice(case: Case, inputs: Ask) -> int:
    for key in ("a", "b", "c"):
        await case.park(key, reason="waits")
    return inputs.n


async def either(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    work = case.delegate("work", inputs, returns=int, goal="Work")
    await case.first(case.park("end", reason="waits"), work)
    return inputs.n


async def timed(case: Case, inputs: Ask) -> int:
    await case.first(case.park("go", reason="waits"), case.sleep(3_600))
    return inputs.n


async def work(inputs: Any, call: Any) -> int:
    await anyio.Event().wait()
    return 0


class LateStore(OddStore):
    """Answers late, where a test says so: what was asked for is durable by then."""

    def __init__(self) -> None:
        super().__init__()
        self.done = Counter[str]()
        self.breaks = False
        """Whether it is not known what became of a case that is given back."""
        self.asked: anyio.Event | None = None
        """What the next taking back waits for; its answer is lost."""
        self.quicker = ""
        """A node that claims whatever there is a moment before."""
        self._late: dict[str, anyio.Event] = {}

    def delay(self, what: str) -> anyio.Event:
        """Have the next answer wait for an event."""
        self._late[what] = anyio.Event()
        return self._late[what]

    async def _answer(self, what: str) -> None:
        self.done[what] += 1
        if what in self._late:
            await self._late.pop(what).wait()

    async def open_case(self, opening: Opening) -> OpenResult:
        opened: OpenResult = await self.inner.open_case(opening)
        await self._answer("open")
        return opened

    async def append(self, append: Append) -> AppendResult:
        appended = await super().append(append)
        if not append.release:
            return appended
        await self._answer("release")
        return Unknown("the connection broke") if self.breaks else appended

    async def deliver_and_claim(self, node: str, delivery: Delivery, *, now: int, taken: Any) -> DeliverResult:
        delivered: DeliverResult = await self.inner.deliver_and_claim(node, delivery, now=now, taken=taken)
        await self._answer("deliver")
        return delivered

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        if self.quicker:
            await self.inner.claim(self.quicker, limit=limit, now=now)
        claims = await super().claim(node, limit=limit, now=now)
        await self._answer("claim" if claims.cases else "look")
        return claims

    async def reclaim(self, node: str, key: CaseKey) -> Claimed | None:
        asked, self.asked = self.asked, None
        if asked is not None:
            await asked.wait()
        claimed: Claimed | None = await self.inner.reclaim(node, key)
        await self._answer("reclaim")
        if asked is not None:
            raise StoreUnavailable("odd:", "the answer was lost")
        return claimed


async def given_back(machine: Runtime, store: LateStore, clock: ManualClock, flow: str = "twice") -> anyio.Event:
    """Open a case and have it given back; its cell hears of that when it is let go."""
    await machine.open(flow, "c1", Ask(4))
    await machine.wait("c1")
    await anyio.wait_all_tasks_blocked()
    told = store.delay("release")
    clock.advance(1.5)
    await until(machine, lambda: store.done["release"] == 1)
    store.done.clear()
    return told


async def claimed_again(machine: Runtime, store: LateStore, clock: ManualClock) -> None:
    """Have something come for a case that was given back, and the node look for cases that nobody has."""
    await machine.deliver("c1", by="ann", key="go")
    clock.advance(LEASE_SECONDS)
    await until(machine, lambda: store.done["claim"] == 1)
    await anyio.wait_all_tasks_blocked()


async def comes(store: LateStore, key: str) -> None:
    """Have something come through another process, so that the node has to look for it."""
    await store.inner.deliver(*KEY, f"m-{key}", encode(Arrived(key=key, message_id=f"m-{key}", by="ann")))
    await anyio.wait_all_tasks_blocked()


async def opening_again(machine: Runtime, store: LateStore, flow: str, group: TaskGroup) -> anyio.CancelScope:
    """Have a client open the case once more and wait for an answer, until it gives up."""
    client = anyio.CancelScope()
    store.delay("open")

    async def open_again() -> None:
        with client:
            await machine.open(flow, "c1", Ask(4))

    group.start_soon(open_again)
    await anyio.wait_all_tasks_blocked()
    return client


def scene() -> tuple[LateStore, ManualClock, Any]:
    store, clock = LateStore(), ManualClock()
    return store, clock, runtime(crew(twice, either, doers={"work": work}), store, clock)


async def test_a_cell_that_gives_its_case_back_begins_nothing_with_what_comes_meanwhile() -> None:
    store, clock, staff = LateStore(), ManualClock(), crew(either, doers={"work": work})
    with anyio.fail_after(10):
        async with runtime(staff, store, clock) as machine:
            told = await given_back(machine, store, clock, "either")
            await machine.deliver("c1", by="ann", key="go")
            await anyio.wait_all_tasks_blocked()
            assert not staff.sent
            clock.advance(LEASE_SECONDS)
            await until(machine, lambda: len(staff.sent) == 1)
            told.set()
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("c1", by="ann", key="end")
            await closed(store)
    assert len(staff.sent) == 1


async def test_a_cell_that_ends_without_an_answer_leaves_its_case_to_the_one_that_has_it_by_then() -> None:
    store, clock, service = scene()
    store.breaks = True
    with anyio.fail_after(10):
        async with service as machine:
            told = await given_back(machine, store, clock)
            await claimed_again(machine, store, clock)
            told.set()
            await anyio.wait_all_tasks_blocked()
            assert (store.done["reclaim"], (await store.case(KEY)).epoch) == (0, 2)
            await machine.deliver("c1", by="ann", key="end")
            await closed(store)


async def test_a_case_that_a_delivery_takes_while_it_is_asked_for_again_is_worked_on() -> None:
    store, clock, service = scene()
    store.breaks = True
    with anyio.fail_after(10):
        async with service as machine:
            told = await given_back(machine, store, clock)
            reclaimed = store.delay("reclaim")
            told.set()
            await until(machine, lambda: store.done["reclaim"] == 1)
            store.breaks = False
            await machine.deliver("go", by="ann")
            reclaimed.set()
            await machine.deliver("c1", by="ann", key="end")
            await closed(store)


async def test_a_case_that_a_delivery_takes_while_it_is_opened_once_more_is_worked_on() -> None:
    store, clock, service = scene()
    with anyio.fail_after(10):
        async with service as machine, anyio.create_task_group() as jobs:
            (await given_back(machine, store, clock)).set()
            await machine.wait_idle()
            opened = store.delay("open")
            jobs.start_soon(machine.open, "twice", "c1", Ask(4))
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("go", by="ann")
            opened.set()
            await machine.deliver("c1", by="ann", key="end")
            await closed(store)


async def test_what_comes_while_a_case_is_claimed_again_is_heard_by_its_new_cell() -> None:
    store, clock, service = scene()
    with anyio.fail_after(10):
        async with service as machine:
            told = await given_back(machine, store, clock, "either")
            claimed = store.delay("claim")
            await claimed_again(machine, store, clock)
            await machine.deliver("c1", by="ann", key="end")
            claimed.set()
            await closed(store)
            told.set()


async def test_a_cell_that_ends_late_leaves_alone_what_is_known_of_the_one_that_came_after_it() -> None:
    store, clock, service = scene()
    with anyio.fail_after(10):
        async with service as machine:
            first = await given_back(machine, store, clock)
            await claimed_again(machine, store, clock)
            second = store.delay("release")
            clock.advance(1.5)
            await until(machine, lambda: store.done["release"] == 1)
            # The delivery takes it for the node, which has a cell of it still.
            await machine.deliver("end", by="ann")
            first.set()
            await anyio.wait_all_tasks_blocked()
            second.set()
            await closed(store)


@pytest.mark.parametrize("early", [True, False], ids=["before it hears of the claim", "when its cell works"])
async def test_who_gives_up_opening_a_case_once_more_takes_it_from_no_cell(early: bool) -> None:
    store, clock, staff = LateStore(), ManualClock(), crew(either, doers={"work": work})
    with anyio.fail_after(10):
        async with runtime(staff, store, clock) as machine, anyio.create_task_group() as group:
            (await given_back(machine, store, clock, "either")).set()
            await machine.wait_idle()
            claimed = store.delay("claim")
            client = await opening_again(machine, store, "either", group)
            await comes(store, "go")
            clock.advance(LEASE_SECONDS)
            await until(machine, lambda: store.done["claim"] == 1)
            if early:
                client.cancel()
                await anyio.wait_all_tasks_blocked()
            claimed.set()
            await until(machine, lambda: len(staff.sent) == 1)
            client.cancel()
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("c1", by="ann", key="end")
            await closed(store)
    assert (len(staff.sent), store.done["reclaim"]) == (1, 0)


async def test_what_comes_for_a_case_that_is_just_being_looked_for_is_not_forgotten() -> None:
    store, clock = LateStore(), ManualClock()
    with anyio.fail_after(10):
        async with runtime(crew(timed), store, clock) as machine:
            (await given_back(machine, store, clock, "timed")).set()
            # Given back with a timer, it is looked for.
            looked = store.delay("look")
            await until(machine, lambda: store.done["look"] == 1)
            found = store.delay("claim")
            await comes(store, "go")
            looked.set()
            await until(machine, lambda: store.done["claim"] == 1)
            assert not machine.node.resting(KEY)
            found.set()
            await closed(store)


async def test_a_case_that_another_node_was_quicker_to_take_is_not_looked_for_for_ever() -> None:
    store, clock = LateStore(), ManualClock()
    with anyio.fail_after(10):
        async with runtime(crew(twice), store, clock) as machine, anyio.create_task_group() as group:
            (await given_back(machine, store, clock)).set()
            await machine.open("twice", "c2", Ask(4))
            await machine.wait("c2")
            clock.advance(1.5)
            await until(machine, lambda: store.done["release"] == 1)
            await anyio.wait_all_tasks_blocked()
            await store.inner.renew("quicker", until=clock.wall_micros() + 10**9)
            delivering, store.quicker = store.delay("deliver"), "quicker"
            group.start_soon(partial(machine.deliver, "c2", by="ann", key="go"))
            await until(machine, lambda: store.done["deliver"] == 1)
            await comes(store, "go")
            delivering.set()
            await until(machine, lambda: machine.node.resting(KEY))
            row = await store.case(KEY)
            assert row.node == "quicker"
            group.cancel_scope.cancel()


async def test_a_case_whose_taking_back_was_not_answered_is_worked_on() -> None:
    store, clock = LateStore(), ManualClock()

    async def goes_on(seconds: int) -> None:
        for _ in range(seconds):
            clock.advance(1)
            await anyio.wait_all_tasks_blocked()

    async def looks(machine: Runtime) -> None:
        machine.node._wake.set()
        await anyio.wait_all_tasks_blocked()

    with anyio.fail_after(30):
        async with runtime(crew(thrice), store, clock) as machine, anyio.create_task_group() as group:
            await machine.open("thrice", "c1", Ask(4))
            await machine.wait("c1")
            await goes_on(3)
            client = await opening_again(machine, store, "thrice", group)
            await comes(store, "a")
            await looks(machine)
            looked = store.delay("look")
            await looks(machine)
            await goes_on(3)
            client.cancel()
            await anyio.wait_all_tasks_blocked()
            asked = store.asked = anyio.Event()
            looked.set()
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("c1", by="ann", key="b")
            asked.set()
            await goes_on(60)
            await machine.deliver("c1", by="ann", key="c")
            await goes_on(3)
            await closed(store)
