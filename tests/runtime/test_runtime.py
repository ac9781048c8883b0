"""The runtime as a service embeds it: what it accepts, when it says that all is at rest, how it ends."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from casework.protocols.codec import pack
from casework.protocols.records import Halted
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.errors import FlowUnknown, NotAwaited
from casework.runtime.flow.case import Case
from casework.runtime.flow.opening import about, first_entry, opening
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseKey,
    CaseOpened,
    CaseStatus,
    Unavailable,
    WaitKind,
)
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime, steps, until, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore


class Other(Struct, frozen=True):
    word: str = ""


async def parks(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/cases.db"


@pytest.mark.promise("STORE-1")
async def test_opening_a_case_again_changes_nothing(url: str) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks), url) as machine:
            assert await machine.open("parks", "c1", Ask(1)) == await machine.open("parks", "c1", Ask(2)) == KEY
            await machine.wait("c1")
            await machine.deliver("go", by="test")
            await machine.wait("c1")
            assert await value(machine.store) == 1


@pytest.mark.promise("STORE-1")
async def test_what_cannot_be_opened_is_refused_with_its_reason() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks)) as machine:
            with pytest.raises(FlowUnknown, match="crew small has parks"):
                await machine.open("absent", "c1", Ask())
            with pytest.raises(ValueError, match="case id 'no spaces'"):
                await machine.open("parks", "no spaces", Ask())
            with pytest.raises(ValueError, match="takes Ask, not Other"):
                await machine.open("parks", "c1", Other())
            with pytest.raises(KeyError):
                await machine.wait("c1")
    for tenant in ("", " ann", "a\xa0b", "a\udc80", "a" * 201):
        with pytest.raises(ValueError, match=r"^tenant "):
            Runtime(crew(parks), tenant=tenant)


async def test_a_case_of_a_tenant_that_cannot_be_printed_ends_no_node() -> None:
    store, name = MemoryStore(), CaseKey("a\xa0\\b\n", "c1")
    known = crew(parks)
    first = first_entry(
        known.flows["parks"], pack(Ask(1)), about("parks", "", ""), crew="small", policy_hash="", trace=""
    )
    assert isinstance(await store.open_case(opening(name, first, 0)), CaseOpened)
    with anyio.fail_after(5):
        async with runtime(known, store) as machine:
            await machine.wait_idle()
            row = await store.case(name)
            assert row is not None
            assert [wait.key for wait in row.waits] == ["go"]


@pytest.mark.promise("FLOW-25")
async def test_waiting_after_a_delivery_sees_what_became_of_it(url: str) -> None:
    with anyio.fail_after(30):
        async with runtime(crew(parks), url) as machine:
            for n in range(50):
                await machine.open("parks", f"c{n}", Ask(n))
                assert (await machine.wait(f"c{n}")).status is CaseStatus.PARKED
                await machine.deliver(f"c{n}", by="test", value="nobody asked for this")
                await machine.deliver("go", by="test", message_id=f"go-{n}")
                if n % 2:
                    await machine.wait_idle()
                    row = await machine.store.case(CaseKey("default", f"c{n}"))
                else:
                    row = await machine.wait(f"c{n}")
                assert row is not None
                assert row.status is CaseStatus.CLOSED


@pytest.mark.promise("FLOW-25")
async def test_waiting_in_a_new_process_sees_what_came_before_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"
    with anyio.fail_after(5):
        async with runtime(crew(parks), url) as machine:
            await machine.open("parks", "c1", Ask(1))
            await machine.wait("c1")
            machine.node._arrivals = lambda keys: None  # type: ignore[method-assign]
            machine.store.on_arrival(lambda keys: None)
            await machine.deliver("go", by="test")
        async with runtime(crew(parks), url) as machine:
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


@pytest.mark.promise("NODE-6")
async def test_a_released_case_keeps_no_actor_and_no_cell() -> None:
    clock = ManualClock()
    with anyio.fail_after(5):
        async with runtime(crew(parks), "memory:", clock) as machine:
            empty = len(machine.node._system.addresses)
            for n in range(30):
                await machine.open("parks", f"c{n}", Ask(n))
            await machine.wait_idle()
            await anyio.wait_all_tasks_blocked()
            clock.advance(1.5)
            await anyio.wait_all_tasks_blocked()
            node = machine.node
            assert len(node._system.addresses) == empty
            assert [
                *node._cells,
                *node._poison._failures,
                *node._expected,
                *node._sought,
                *node._lost,
                *node._starting,
            ] == []


@pytest.mark.promise("KERNEL-10")
async def test_leaving_a_runtime_whose_store_is_away_is_bounded() -> None:
    def away(count: int, append: Append) -> AppendResult:
        return Unavailable("gone for good")

    store, clock = OddStore(), ManualClock()
    store.answers = away
    with anyio.fail_after(5):
        async with runtime(crew(parks), store, clock) as machine:
            await machine.open("parks", "c1", Ask())
            await until(machine, lambda: bool(store.appends))
            full = machine.node.drain
            machine.node.drain = lambda timeout_seconds: full(0.01)  # type: ignore[method-assign]


async def huge(case: Case, inputs: Ask) -> str:
    if inputs.n == 1:
        await case.note("x" * (1 << 20))
    if inputs.n == 2:
        await case.sleep(float("inf"))
    if inputs.n == 3:
        await case.open("absent", "kid", Ask())
    return "x" * (1 << 20)


@pytest.mark.promise("NODE-3")
@pytest.mark.parametrize(
    ("n", "why"), [(0, "FrameTooLarge"), (1, "FrameTooLarge"), (2, "ValueError"), (3, "FlowUnknown")]
)
async def test_what_cannot_be_written_parks_its_case_with_the_reason_and_no_other(n: int, why: str) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(huge, parks)) as machine:
            await machine.open("huge", "c1", Ask(n))
            await machine.open("parks", "c2", Ask())
            row = await machine.wait("c1")
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert why in row.waits[0].reason
            assert len(await entries(machine.store, Halted)) == 1
            assert ("child", "open") not in await steps(machine.store)
            assert (await machine.wait("c2")).waits[0].key == "go"


@pytest.mark.promise("NODE-4")
async def test_two_runtimes_in_one_process_share_nothing() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks)) as one, runtime(crew(parks)) as other:
            await one.open("parks", "c1", Ask(1))
            await one.wait("c1")
            assert await other.store.cases() == []


@pytest.mark.promise("FLOW-25")
async def test_a_thing_is_delivered_with_its_bytes_kept_by_their_hash(url: str) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks_for_bytes), url) as machine:
            await machine.open("parks_for_bytes", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("paper", by="ann", data=b"bytes", label="paper.pdf")
            await machine.wait("c1")
            ref, label = await value(machine.store)
            assert label == "paper.pdf"
            assert await machine.store.artifact(ref.removeprefix("artifact:")) == b"bytes"


async def parks_for_bytes(case: Case, inputs: Ask) -> Any:
    evidence = (await case.park("paper", reason="waits")).evidence
    assert evidence is not None
    return [evidence.ref, evidence.label]


@pytest.mark.promise("FLOW-25")
async def test_a_thing_for_a_case_is_what_the_case_waits_for() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks, parks_twice)) as machine:
            await machine.open("parks", "c1", Ask(7))
            await machine.wait("c1")
            await machine.deliver("c1", by="ann")
            await machine.wait("c1")
            assert await value(machine.store) == 7


async def test_a_thing_for_a_case_that_waits_for_several_is_refused_until_one_is_named() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(parks, parks_twice)) as machine:
            await machine.open("parks_twice", "c1", Ask())
            await machine.wait("c1")
            with pytest.raises(NotAwaited, match="name one: left, right") as refused:
                await machine.deliver("c1", by="ann")
            assert refused.value.keys == ("left", "right")
            await machine.deliver("c1", key="left", by="ann")
            await machine.wait("c1")
            await machine.deliver("c1", by="ann")
            await machine.wait("c1")
            assert await value(machine.store) == ["left", "right"]


async def parks_twice(case: Case, inputs: Ask) -> Any:
    arrived = await case.gather(case.park("left", reason="waits"), case.park("right", reason="waits"))
    return [each.key for each in arrived]


@pytest.mark.promise("KERNEL-10")
async def test_a_runtime_that_is_cancelled_from_outside_ends_without_waiting_for_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("casework.runtime.runtime.ActorSystem", partial(ActorSystem, grace_seconds=0.01))

    async def never(inputs: object, call: object) -> None:
        await anyio.sleep_forever()

    async def works(case: Case, inputs: Ask) -> None:
        await case.delegate("work", {}, returns=str, goal="work")

    staff, waited = crew(works, doers={"work": never}), list[float]()
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with runtime(staff) as machine:
            full = machine.node.drain

            async def drain(timeout_seconds: float) -> None:
                waited.append(timeout_seconds)
                await full(0.01)

            machine.node.drain = drain  # type: ignore[method-assign]
            await machine.open("works", "c1", Ask())
            await until(machine, lambda: bool(staff.sent))
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert waited == [0.0]
