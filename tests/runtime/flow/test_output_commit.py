"""Output commit: whatever leaves a case waits until everything written before it is durable.

One test for each kind of thing. In each the store's appends are held: the case has gone as far as it can without them,
and the thing has not left; then they are let go, and it has.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from casework.protocols.wire import RiskTier
from casework.runtime.export import export_case
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.staff import CallRequest, Ruling
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus
from tests.support.flow_scene import KEY, Ask, crew, runtime, steps
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Caller, SmallStaff, SmallTool

pytestmark = pytest.mark.promise("FLOW-10")

OTHER = CaseKey("default", "other")


async def ok(arguments: object) -> object:
    return "done"


class Held:
    """A runtime whose store can keep appends from becoming durable."""

    def __init__(self, machine: Runtime, store: OddStore, clock: ManualClock) -> None:
        self.machine = machine
        self.store = store
        self.clock = clock

    async def open(self, flow: str, key: CaseKey = KEY) -> None:
        """Open a case, and wait until nobody can go on."""
        await self.machine.open(flow, key.case_id, Ask())
        await anyio.wait_all_tasks_blocked()

    async def deliver(self, key: str, case: CaseKey = KEY) -> None:
        """Deliver a thing to a case, and wait until nobody can go on."""
        await self.machine.deliver(case.case_id, key=key, by="test")
        await anyio.wait_all_tasks_blocked()

    async def lets_go(self) -> None:
        """Let what is held become durable, and everybody go on as far as they can."""
        self.store.let_go()
        await self.machine.wait_idle()
        await anyio.wait_all_tasks_blocked()

    async def row(self, key: CaseKey = KEY) -> CaseRow:
        row: CaseRow | None = await self.store.case(key)
        assert row is not None
        return row

    async def inbox(self, key: CaseKey) -> list[str]:
        return [item.kind for item in await self.store.inbox(key)]


@asynccontextmanager
async def holding(staff: SmallStaff) -> AsyncIterator[Held]:
    """Run with appends that are held from the first on."""
    store, clock = OddStore(), ManualClock()
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            store.hold()
            try:
                yield Held(machine, store, clock)
            finally:
                store.let_go()


async def pays(case: Case, inputs: Ask) -> None:
    await case.note("before")
    await case.call("pay", {}, returns=str)


@pytest.mark.promise("FLOW-9")
async def test_a_write_is_not_made_before_all_that_stands_before_it_is_durable() -> None:
    staff = crew(pays, tools={"pay": SmallTool(ok, RiskTier.REVERSIBLE)})
    async with holding(staff) as held:
        await held.open("pays")
        assert held.store.appends
        assert staff.performed == []
        await held.lets_go()
        assert [name for name, _, _ in staff.performed] == ["pay"]
        assert (await steps(held.store))[:3] == [("opened", "case"), ("noted", "note"), ("intent", "pay")]


class Priced(SmallStaff):
    """Says of every call that it costs something."""

    def rule(self, request: CallRequest) -> Ruling:
        return msgspec.structs.replace(super().rule(request), micros_max=1)


async def test_a_call_that_costs_something_is_not_made_before_its_intent_is_durable() -> None:
    plain = crew(pays, tools={"pay": SmallTool(ok)})
    staff = Priced(plain.flows, tools=plain.tools)
    async with holding(staff) as held:
        await held.open("pays")
        assert staff.performed == []
        await held.lets_go()
        assert [name for name, _, _ in staff.performed] == ["pay"]


async def test_a_call_that_only_reads_and_costs_nothing_goes_ahead() -> None:
    staff = crew(pays, tools={"pay": SmallTool(ok)})
    async with holding(staff) as held:
        await held.open("pays")
        assert [name for name, _, _ in staff.performed] == ["pay"]
        assert await steps(held.store) == [("opened", "case")]


async def asks(case: Case, inputs: Ask) -> None:
    await case.review("look", {"n": 1}, rule="test")


@pytest.mark.parametrize("flow", ["asks", "pays"])
async def test_a_person_is_not_asked_before_the_question_is_durable(flow: str) -> None:
    staff = crew(asks, pays, tools={"pay": SmallTool(ok, RiskTier.REVERSIBLE, "Pay this?")})
    async with holding(staff) as held:
        await held.open(flow)
        assert await held.store.reviews() == []
        await held.lets_go()
        assert [review.state for review in await held.store.reviews()] == ["open"]


async def takes_back(case: Case, inputs: Ask) -> None:
    await case.first(case.review("look", {"n": 1}, rule="test"), case.park("go", reason="or this"))
    await case.park("end", reason="then this")


async def test_a_question_is_not_taken_back_before_that_is_durable() -> None:
    async with holding(crew(takes_back)) as held:
        await held.open("takes_back")
        await held.lets_go()
        held.store.hold()
        await held.deliver("go")
        assert [review.state for review in await held.store.reviews()] == ["open"]
        await held.lets_go()
        assert [review.state for review in await held.store.reviews()] == ["withdrawn"]


async def returns(case: Case, inputs: Ask) -> int:
    return 7


async def test_nobody_hears_that_a_case_ended_before_that_is_durable() -> None:
    heard: list[str] = []
    async with holding(crew(returns)) as held, anyio.create_task_group() as group:

        async def wait() -> None:
            heard.append((await held.machine.wait(KEY.case_id)).result)

        await held.open("returns")
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        assert await held.machine.closed(KEY.case_id) is None
        await held.lets_go()
        assert heard == ["completed"]
        assert await held.machine.closed(KEY.case_id) is not None


async def parks(case: Case, inputs: Ask) -> None:
    await case.park("key", reason="needs a thing")


async def test_nobody_hears_that_a_case_waits_before_that_is_durable() -> None:
    heard: list[str] = []
    async with holding(crew(parks)) as held, anyio.create_task_group() as group:

        async def wait() -> None:
            heard.extend(wait.key for wait in (await held.machine.wait(KEY.case_id)).waits)

        await held.open("parks")
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        await held.lets_go()
        assert heard == ["key"]


async def begets(case: Case, inputs: Ask) -> None:
    await case.open("parks", OTHER.case_id, Ask())
    await case.park("on", reason="until told")
    await case.cancel(OTHER.case_id, reason="not needed")
    await case.park("end", reason="until told")


async def test_a_child_is_not_opened_before_that_is_durable() -> None:
    async with holding(crew(begets, parks)) as held:
        await held.open("begets")
        assert await held.store.case(OTHER) is None
        await held.lets_go()
        assert (await held.row(OTHER)).parent == KEY.case_id


async def test_a_child_is_not_cancelled_before_that_is_durable() -> None:
    async with holding(crew(begets, parks)) as held:
        await held.open("begets")
        await held.lets_go()
        held.store.hold()
        await held.deliver("on")
        assert await held.inbox(OTHER) == []
        await held.lets_go()
        assert (await held.row(OTHER)).result == "cancelled"


async def sends(case: Case, inputs: Ask) -> None:
    await case.send(OTHER.case_id, "key", "value")


async def test_a_message_does_not_reach_another_case_before_it_is_durable() -> None:
    async with holding(crew(sends, parks)) as held:
        await held.open("parks", OTHER)
        await held.lets_go()
        held.store.hold()
        await held.open("sends")
        assert await held.inbox(OTHER) == []
        await held.lets_go()
        assert (await held.row(OTHER)).status is CaseStatus.CLOSED


async def hears(case: Case, inputs: Ask) -> str:
    await case.open("parks", OTHER.case_id, Ask())
    first = await case.next_report()
    second = await case.next_report()
    return f"{first.status} {second.result}"


@pytest.mark.parametrize("told", ["parked", "closed"])
async def test_a_parent_does_not_hear_of_its_child_before_that_is_durable(told: str) -> None:
    async with holding(crew(hears, parks)) as held:
        held.store.answers = lambda number, append: held.store.let_go() if number == 1 else held.store.hold()
        await held.open("hears")
        held.store.answers = lambda number, append: None
        if told == "closed":
            await held.lets_go()
            held.store.hold()
            await held.deliver("key", OTHER)
        assert (await held.row(OTHER)).status is (CaseStatus.OPEN if told == "parked" else CaseStatus.PARKED)
        assert await held.inbox(KEY) == []
        before = [kind for kind, _ in await steps(held.store)].count("reported")
        assert before == (told == "closed")
        await held.lets_go()
        assert [kind for kind, _ in await steps(held.store)].count("reported") == before + 1


async def sleeps(case: Case, inputs: Ask) -> None:
    await case.sleep(10)
    await case.send(OTHER.case_id, "key", "value")


async def test_a_timer_is_not_there_before_it_is_durable_and_what_follows_it_waits_for_its_end() -> None:
    async with holding(crew(sleeps, parks)) as held:
        await held.open("parks", OTHER)
        await held.lets_go()
        held.store.hold()
        await held.open("sleeps")
        assert (await held.row()).waits == ()
        await held.lets_go()
        assert [wait.kind for wait in (await held.row()).waits] == ["timer"]
        held.store.hold()
        held.clock.advance(11)
        await anyio.wait_all_tasks_blocked()
        assert (await steps(held.store))[-1][0] == "timer"
        assert await held.inbox(OTHER) == []
        await held.lets_go()
        assert [kind for kind, _ in await steps(held.store)][-3:] == ["fired", "sent", "closed"]


async def test_a_case_does_not_hear_of_a_delivered_thing_before_its_bytes_are_durable() -> None:
    kept = anyio.Event()
    async with holding(crew(parks)) as held, anyio.create_task_group() as group:
        held.store.let_go()
        await held.open("parks")
        store: Any = held.store
        keep = store.inner.put_artifact

        async def put_artifact(sha256: str, data: bytes) -> None:
            await kept.wait()
            await keep(sha256, data)

        async def deliver() -> None:
            await held.machine.deliver(KEY.case_id, key="key", by="test", data=b"a paper")

        store.put_artifact = put_artifact
        group.start_soon(deliver)
        await anyio.wait_all_tasks_blocked()
        assert await held.inbox(KEY) == []
        assert (await held.row()).status is CaseStatus.PARKED
        kept.set()
        while (await held.row()).status is not CaseStatus.CLOSED:
            await anyio.lowlevel.checkpoint()


async def outward(case: Case, inputs: Ask) -> None:
    await case.delegate("work", {"n": 1}, returns=str, goal="work", tools=("read",))
    await case.open("parks", OTHER.case_id, Ask())
    await case.review("look", {"n": 1}, rule="test")


async def work(inputs: object, call: Caller) -> object:
    return await call("read", {"n": 1})


async def test_delegated_work_and_its_reads_go_ahead_and_nothing_else_does() -> None:
    staff = crew(outward, parks, doers={"work": work}, tools={"read": SmallTool(ok)})
    async with holding(staff) as held:
        await held.open("outward")
        assert [name for name, _, _ in staff.sent] == ["work"]
        assert [name for name, _, _ in staff.performed] == ["read"]
        assert await held.store.reviews() == []
        assert len(await held.store.cases()) == 1
        await held.lets_go()
        assert len(await held.store.reviews(state="open")) == 1
        assert len(await held.store.cases()) == 2


async def writes(case: Case, inputs: Ask) -> None:
    await case.note("nobody may see this yet")
    await case.park("key", reason="needs a thing")


async def test_an_export_shows_nothing_that_is_not_durable() -> None:
    async with holding(crew(writes)) as held:
        await held.open("writes")
        seen = await export_case(held.store.inner, "memory:", KEY)
        assert b"nobody may see" not in seen
        await held.lets_go()
        assert b"nobody may see" in await export_case(held.store.inner, "memory:", KEY)
