"""What a flow leaves behind as it goes on: calls under way that lost, of which neither it nor its case hears again."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case
from casework.runtime.staff import CallRequest, CallResult
from casework.runtime.store.base import CaseStatus
from tests.support.flow_scene import Ask, crew, runtime, steps, value
from tests.support.odd_stores import OddStore
from tests.support.small_staff import SmallStaff, SmallTool


async def impatient(case: Case, inputs: Ask) -> int:
    if inputs.n == 0:
        await case.first(case.call("look", {"n": 1}, returns=int), case.park("other", reason="wins"))
        await case.next_chapter(Ask(1))
    return await case.call("look", {"n": 2}, returns=int)


@pytest.mark.promise("FLOW-2")
async def test_a_read_that_lost_in_one_chapter_answers_no_step_of_the_next_one() -> None:
    store, release = OddStore(), anyio.Event()

    async def look(arguments: Any) -> int:
        if arguments["n"] == 1:
            await release.wait()
        return int(arguments["n"])

    with anyio.fail_after(5):
        async with runtime(crew(impatient, tools={"look": SmallTool(look)}), store) as machine:
            await machine.open("impatient", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            store.hold()
            await machine.deliver("c1", key="other", by="ann")
            while "chapter" not in [record.kind for append in store.appends for record in append.records]:
                await anyio.lowlevel.checkpoint()
            release.set()
            await anyio.wait_all_tasks_blocked()
            store.let_go()
            row = await machine.wait("c1")
        assert (row.status, row.waits) == (CaseStatus.CLOSED, ())
        assert await value(store) == 2
        kinds = [kind for kind, _ in await steps(store)]
        assert kinds[kinds.index("chapter") :] == ["chapter", "call", "closed"]


async def moving_on(case: Case, inputs: Ask) -> str:
    await case.first(case.call("look", {"n": 1}, returns=int), case.park("other", reason="wins"))
    return (await case.park("next", reason="goes on")).by


@pytest.mark.promise("FLOW-29")
async def test_a_read_that_lost_and_then_meets_a_pause_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    release = anyio.Event()

    async def paused(self: SmallStaff, request: CallRequest, **_: object) -> CallResult:
        await release.wait()
        return CallResult(failure=FailureKind.UNAVAILABLE, message="paused", held=f"tool:{request.tool}")

    async def look(arguments: Any) -> None:
        raise AssertionError("it is paused")

    monkeypatch.setattr(SmallStaff, "perform", paused)
    monkeypatch.setattr(SmallStaff, "lifted", lambda *_: False)
    with anyio.fail_after(5):
        async with runtime(crew(moving_on, tools={"look": SmallTool(look)})) as machine:
            await machine.open("moving_on", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("c1", key="other", by="ann")
            await anyio.wait_all_tasks_blocked()
            release.set()
            await anyio.wait_all_tasks_blocked()
            assert [wait.key for wait in (await machine.wait("c1")).waits] == ["next"]
            await machine.deliver("c1", by="bob")  # of all that it waits for there is one
            await machine.wait("c1")
            assert await value(machine.store) == "bob"
