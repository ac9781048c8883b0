"""A case goes on with another version of its flow only when that version does all that its log says."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from msgspec import defstruct

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Chapter, Halted, Migrated, Noted
from casework.protocols.wire import RiskTier
from casework.runtime.errors import FlowUnknown, MigrationRefused
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.migration import wish_key, write_wish
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.chain import broken_at
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, entries, runtime, steps, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import SmallStaff, SmallTool


async def first(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    await case.park("go", reason="waits")
    return "first"


async def second(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    await case.park("go", reason="waits")
    await case.note("more than before")
    return "second"


async def other(case: Case, inputs: Ask) -> str:
    await case.note("another beginning")
    await case.park("go", reason="waits")
    return "other"


def staff(*versions: Any) -> SmallStaff:
    """Make a crew whose flow `keeps` has these versions, numbered from 1; new cases get the last one."""
    staff = crew()
    flows = [Flow.of(function, inputs=Ask, version=str(number)) for number, function in versions]
    named = [Flow("keeps", flow.version, flow.function, flow.inputs, flow.source_hash) for flow in flows]
    staff.flows = {f"keeps@{flow.version}": flow for flow in named} | {"keeps": named[-1]}
    return staff


async def does(arguments: Any) -> int:
    return 1


def paying(tools: Mapping[str, SmallTool], *versions: Any) -> SmallStaff:
    """Make such a crew with tools."""
    made = staff(*versions)
    made.tools = dict(tools)
    return made


async def opened(store: Any, *versions: Any) -> None:
    """Open a case with version 1 and let it park."""
    async with runtime(staff((1, first)), store) as machine:
        await machine.open("keeps", "c1", Ask())
        await machine.wait("c1")


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("known", [False, True], ids=["its version is gone", "its version is there"])
async def test_a_case_is_moved_to_a_version_that_does_what_its_log_says(known: bool) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        await opened(store)
        versions = [(1, first), (2, second)] if known else [(2, second)]
        async with runtime(staff(*versions), store) as machine:
            if not known:
                await machine.deliver("c1", key="odd", by="ann")
                assert (await machine.wait("c1")).waits[0].kind is WaitKind.OPERATOR
            tried = await machine.migrate("c1", to="2", by="ann", dry_run=True)
            assert tried.version == "1"
            row = await machine.migrate("c1", to="2", by="ann", reason="it says more")
            assert (row.version, row.waits[0].key) == ("2", "go")
            await machine.deliver("go", by="bob")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
        assert await value(store) == "second"
        (moved,) = await entries(store, Migrated)
        assert (moved.version_before, moved.version, moved.by, moved.reason) == ("1", "2", "ann", "it says more")
        kept = await store.case(KEY)
        assert kept is not None
        assert broken_at(kept, await store.records(KEY)) is None


@pytest.mark.promise("FLOW-6")
async def test_without_an_act_a_case_stays_with_its_version_while_new_ones_get_the_last() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        await opened(store)
        async with runtime(staff((1, first), (2, second)), store) as machine:
            await machine.open("keeps", "c2", Ask())
            await machine.wait_idle()
            await machine.deliver("go", by="bob")
            await machine.wait_idle()
            assert await value(store) == "first"
            assert await value(store, key=KEY._replace(case_id="c2")) == "second"


@pytest.mark.promise("FLOW-5")
async def test_a_version_that_does_something_else_is_refused_with_the_first_difference() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        await opened(store)
        async with runtime(staff((1, first), (2, other)), store) as machine:
            with pytest.raises(MigrationRefused, match=r"ReplayMismatch: record 1 is noted at step note") as refused:
                await machine.migrate("c1", to="2", by="ann")
            assert (refused.value.case_id, refused.value.version) == ("c1", "2")
            with pytest.raises(FlowUnknown, match="versions of it: 1, 2"):
                await machine.migrate("c1", to="3", by="ann")
            with pytest.raises(KeyError):
                await machine.migrate("c9", to="2", by="ann")
            row = await machine.wait("c1")
            assert (row.version, len(await steps(store))) == ("1", 3)
            await machine.deliver("go", by="bob")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
            with pytest.raises(MigrationRefused, match="only a parked case"):
                await machine.migrate("c1", to="2", by="ann")


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("wish", [{"version": "2"}, {"version": "9"}, {"what": 1}], ids=["differs", "unknown", "odd"])
async def test_an_owner_that_cannot_move_a_case_says_so_in_its_log(wish: object) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        await opened(store)
        async with runtime(staff((1, first), (2, other)), store) as machine:
            await machine.deliver("c1", key="migrate:c1", by="ann", value=wish)
            row = await machine.wait("c1")
            assert (row.version, row.waits[0].key) == ("1", "go")
            (note,) = [note for note in await entries(store, Noted) if note.level == "warning"]
            assert "was not migrated" in note.text
            await machine.deliver("go", by="bob")
            await machine.wait("c1")
        assert await value(store) == "first"


async def third(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    await case.park("go", reason="waits")
    return "third"


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("first_wish", ["2", "9"], ids=["which is granted", "which is not"])
async def test_of_several_wishes_the_last_one_is_answered_last(first_wish: str) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        await opened(store)
        for place, version in enumerate((first_wish, "3")):
            item_id = f"wish-{place}"
            value = write_wish(version, "")
            wished = Arrived(key=wish_key("c1"), message_id=item_id, by="ann", value=value)
            await store.deliver(*KEY, item_id, encode(wished))
        async with runtime(staff((1, first), (2, second), (3, third)), store) as machine:
            await machine.wait_idle()
            assert (await machine.wait("c1")).version == "3"
        moves = [(moved.version_before, moved.version) for moved in await entries(store, Migrated)]
        assert moves == ([("1", "2"), ("2", "3")] if first_wish == "2" else [("1", "3")])


async def pays(case: Case, inputs: Ask) -> int:
    return await case.call("pay", {"n": 1}, returns=int)


async def pays_otherwise(case: Case, inputs: Ask) -> int:
    return await case.call("pay_later", {"n": 1}, returns=int)


@pytest.mark.promise("FLOW-5")
async def test_a_version_that_does_not_make_the_call_that_waits_for_a_person_is_refused() -> None:
    tools = {name: SmallTool(does, RiskTier.REVERSIBLE, approval="May it?") for name in ("pay", "pay_later")}
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(paying(tools, (1, pays)), store) as machine:
            await machine.open("keeps", "c1", Ask())
            await machine.wait("c1")
        async with runtime(paying(tools, (1, pays), (2, pays_otherwise)), store) as machine:
            with pytest.raises(MigrationRefused, match="about the call pay, which the flow does not make"):
                await machine.migrate("c1", to="2", by="ann")


async def writes(case: Case, inputs: Ask) -> int:
    await case.call("pay", {"n": 1}, returns=int)
    await case.park("go", reason="waits")
    return 1


async def writes_more(case: Case, inputs: Ask) -> int:
    await case.call("pay", {"n": 2}, returns=int)
    await case.park("go", reason="waits")
    return 2


async def pays_more(case: Case, inputs: Ask) -> int:
    return await case.call("pay", {"n": 2}, returns=int)


@pytest.mark.promise("FLOW-5")
@pytest.mark.parametrize(
    ("was", "now", "approval", "first_there"),
    [(writes, writes_more, "", "intent at step pay"), (pays, pays_more, "May it?", "review at step pay:(approval)")],
    ids=["it was done", "a person is asked"],
)
async def test_a_version_that_writes_something_else_is_refused(
    was: Any, now: Any, approval: str, first_there: str
) -> None:
    store, tools = MemoryStore(), {"pay": SmallTool(does, RiskTier.REVERSIBLE, approval=approval)}
    with anyio.fail_after(5):
        async with runtime(paying(tools, (1, was)), store) as machine:
            await machine.open("keeps", "c1", Ask())
            await machine.wait("c1")
        async with runtime(paying(tools, (1, was), (2, now)), store) as machine:
            with pytest.raises(MigrationRefused) as refused:
                await machine.migrate("c1", to="2", by="ann")
            wanted = f"record 1 is {first_there}, but the flow now does a call at step pay with other arguments"
            assert str(refused.value).endswith(wanted)


@pytest.mark.promise("FLOW-5")
@pytest.mark.parametrize("tier", [RiskTier.READ_ONLY, RiskTier.REVERSIBLE])
@pytest.mark.parametrize("left_out", [True, False], ids=["defaults are left out", "defaults are written"])
async def test_a_field_with_a_default_can_be_added_to_arguments_only_where_defaults_are_left_out(
    left_out: bool, tier: RiskTier
) -> None:
    fields: list[list[tuple[str, type] | tuple[str, type, Any]]] = [[("n", int)], [("n", int), ("note", str, "")]]
    was, now = (defstruct("Order", each, omit_defaults=left_out) for each in fields)
    order = was

    async def orders(case: Case, inputs: Ask) -> int:
        await case.call("pay", order(n=1), returns=int)
        await case.park("go", reason="waits")
        return 1

    store, tools = MemoryStore(), {"pay": SmallTool(does, tier)}
    with anyio.fail_after(5):
        async with runtime(paying(tools, (1, orders)), store) as machine:
            await machine.open("keeps", "c1", Ask())
            await machine.wait("c1")
        order = now
        async with runtime(paying(tools, (1, orders)), store) as machine:
            await machine.deliver("c1", key="go", by="ann")
            row = await machine.wait("c1")
    assert row.status is (CaseStatus.CLOSED if left_out else CaseStatus.PARKED)
    assert [wait.reason.partition(":")[0] for wait in row.waits] == ([] if left_out else ["ReplayMismatch"])


@pytest.mark.promise("FLOW-35")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_the_append_of_a_migration_a_case_is_moved_once_or_not_at_all(after: bool) -> None:
    inner, clock = MemoryStore(), ManualClock()
    store = OddStore(inner)
    versions = ((1, first), (2, second))
    with anyio.fail_after(5):
        await opened(inner)
        clock.advance(LEASE_OVER)
        async with crashing(runtime(staff(*versions), store, clock)) as machine:
            store.dead, store.dead_after = True, after
            async with anyio.create_task_group() as jobs:
                jobs.start_soon(lambda: machine.migrate("c1", to="2", by="ann"))
                while not store.appends:
                    await anyio.lowlevel.checkpoint()
                await anyio.wait_all_tasks_blocked()
                jobs.cancel_scope.cancel()
        clock.advance(LEASE_OVER)
        async with runtime(staff(*versions), inner, clock) as machine:
            await machine.wait_idle()
            row = await machine.wait("c1")
            assert row.version == "2"
            await machine.deliver("go", by="bob")
            await machine.wait("c1")
        assert await value(inner) == "second"
        assert len(await entries(inner, Migrated)) == 1
        assert not await entries(inner, Halted)


async def turning(case: Case, inputs: Ask) -> int:
    if inputs.n < 2:
        await case.note("old way")
        await case.park("turn", reason="waits")
        await case.next_chapter(Ask(inputs.n + 1))
    await case.park("go", reason="waits")
    return inputs.n


async def turning_otherwise(case: Case, inputs: Ask) -> int:
    if inputs.n < 1:
        await case.note("new way")
        await case.park("turn", reason="waits")
        await case.next_chapter(Ask(inputs.n + 1))
    if inputs.n < 2:
        await case.note("old way")
    await case.park("turn", reason="waits")
    await case.next_chapter(Ask(5)) if inputs.n < 5 else None
    await case.park("go", reason="waits")
    return inputs.n + 100


@pytest.mark.promise("FLOW-6")
async def test_a_trial_asks_only_for_what_stands_in_the_chapter_and_the_next_one_knows_its_version() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(staff((1, turning)), store) as machine:
            await machine.open("keeps", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("c1", key="turn", by="bob")
            await machine.wait("c1")
        async with runtime(staff((1, turning), (2, turning_otherwise)), store) as machine:
            assert (await machine.migrate("c1", to="2", by="ann")).version == "2"
            await machine.deliver("c1", key="turn", by="bob", message_id="second")
            row = await machine.wait("c1")
            assert row.waits[0].key == "turn"
        chapters = await entries(store, Chapter)
        assert [chapter.version for chapter in chapters] == ["1", "2"]
