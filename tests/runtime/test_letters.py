"""Dead letters of cases: what was set aside is listed from the logs, tried again or dropped, and the rest goes on."""

from typing import Any

import anyio
import msgspec
import pytest

from casework.protocols.codec import plain
from casework.protocols.records import Arrived, Noted
from casework.protocols.wire import OnStop
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.letters import Letter, dead_letters, drop, letters_of, redrive
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store import rules
from casework.runtime.store.base import CaseRow, CaseStatus, Delivered, Nobody, Wait, WaitKind
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import KEY, Ask, closed, crew, entries, runtime, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import Gone, SmallStaff

WORLD = World()


class Poison:
    """Breaks whoever takes it until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    async def __call__(self, inputs: object, call: object) -> str:
        if not self.mended:
            raise Gone("it broke")
        return "worked"


async def one(case: Case) -> str:
    try:
        result = await case.delegate(
            "work", {"n": 1}, returns=str, goal="work", attempts=3, on_stop=OnStop.PARK, deadline_seconds=60.0
        )
    except TaskFailed as failed:
        return f"failed: {failed.kind}"
    return result.value


async def beside(case: Case, inputs: Ask) -> list[str]:
    async def other() -> str:
        await case.sleep(1.0)
        return str((await case.park("paper", reason="r")).by)

    return await case.gather(one(case), other())


async def waits(case: Case, inputs: Ask) -> str:
    return (await case.park("paper", reason="r")).by


async def letters(machine: Runtime) -> list[Letter]:
    await machine.wait("c1")
    return await dead_letters(machine.store)


async def set_aside(machine: Runtime, clock: ManualClock) -> Letter:
    """Open a case whose task breaks its agent, and give the letter that it becomes."""
    await machine.open("beside", "c1", Ask())
    await machine.wait("c1")
    clock.advance(2)
    (letter,) = await letters(machine)
    return letter


def scene() -> tuple[MemoryStore, ManualClock, Poison, SmallStaff]:
    poison = Poison()
    return MemoryStore(), ManualClock(), poison, crew(beside, waits, doers={"work": poison})


@pytest.mark.promise("LETTER-1")
@pytest.mark.promise("FLOW-18")
async def test_a_task_that_broke_its_agent_as_often_as_it_may_is_a_dead_letter_with_who_how_often_and_why() -> None:
    store, clock, _, staff = scene()
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            letter = await set_aside(machine, clock)
    assert letter == Letter(
        key="retry:c1:gather/0/work",
        case=KEY,
        kind="task",
        what="work",
        who="",
        tries=3,
        error="error: it broke",
        at=letter.at,
    )
    stops = [record for record in await store.records(KEY) if record.step_id.endswith(":(on_stop)#3")]
    assert [record.at for record in stops] == [letter.at]


@pytest.mark.promise("LETTER-1")
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("dropped", [False, True])
async def test_a_dead_letter_is_redriven_or_dropped_with_who_and_why_in_the_log_and_the_flow_goes_on(
    dropped: bool, restart: bool
) -> None:
    store, clock, poison, staff = scene()
    order = drop if dropped else redrive
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            letter = await set_aside(machine, clock)
            if not restart:
                poison.mended = True
                assert isinstance(await order(store, letter, by="ann", reason="mended", world=WORLD), Delivered)
                assert await letters(machine) == []
        async with runtime(staff, store, clock) as machine:
            if restart:
                poison.mended = True
                await order(store, letter, by="ann", reason="mended", world=WORLD)
                assert await letters(machine) == []
            await machine.deliver("paper", by="ben")
            await closed(store)
    assert await value(store, list[str]) == ["failed: error" if dropped else "worked", "ben"]
    (told,) = [each for each in await entries(store, Arrived) if each.key == letter.key]
    assert (told.by, plain(told.value)) == ("ann", {"drop": dropped, "reason": "mended"})


async def test_a_letter_that_breaks_its_agent_again_is_one_again_and_its_tries_add_up() -> None:
    store, clock, _, staff = scene()
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            letter = await set_aside(machine, clock)
            assert isinstance(await redrive(store, letter, by="ann", reason="again", world=WORLD), Delivered)
            (again,) = await letters(machine)
            assert (again.key, again.tries) == (letter.key, 6)
            await drop(store, again, by="ann", reason="enough", world=WORLD)
            assert await letters(machine) == []
            assert await redrive(store, again, by="ben", reason="late", world=WORLD) == Nobody(letter.key)


#: A message of a kind that no version has yet.
ODD = msgspec.msgpack.encode({"type": "novelty", "what": 1})


async def with_odd_message(machine: Runtime) -> Letter:
    """Have a newer version let a message in."""
    await machine.open("waits", "c1", Ask())
    await machine.wait("c1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "arrival_kind", lambda *_: "novelty")
        await machine.store.deliver("default", "c1", "odd-1", ODD)
    (letter,) = await letters(machine)
    return letter


@pytest.mark.promise("LETTER-1")
async def test_a_message_that_nobody_can_read_is_a_dead_letter_and_its_case_goes_on_once_it_is_dropped() -> None:
    store, _, _, staff = scene()
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            letter = await with_odd_message(machine)
            assert (letter.key, letter.kind, letter.what, letter.tries) == ("operator:c1", "message", "odd-1", 1)
            await redrive(store, letter, by="ann", reason="a newer version", world=WORLD)
            (again,) = await letters(machine)
            assert (again.kind, again.tries) == ("message", 2)
            await drop(store, again, by="ann", reason="of no use", world=WORLD)
            assert await letters(machine) == []
            await machine.deliver("paper", by="ben")
            await closed(store)
    assert await value(store) == "ben"
    (note,) = await entries(store, Noted)
    assert "was dropped by an operator: odd-1" in note.text
    assert {"ann"} == {each.by for each in await entries(store, Arrived) if each.key == letter.key}


@pytest.mark.promise("LETTER-1")
async def test_a_case_that_cannot_go_on_is_redriven_and_never_dropped() -> None:
    async def breaks(case: Case, inputs: Ask) -> None:
        raise ValueError("a bug of the flow")

    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(breaks), store) as machine:
            await machine.open("breaks", "c1", Ask())
            (letter,) = await letters(machine)
            assert (letter.key, letter.kind, letter.what, letter.tries) == ("operator:c1", "case", "breaks", 1)
            with pytest.raises(ValueError, match="mend what broke it, redrive it"):
                await drop(store, letter, by="ann", reason="r", world=WORLD)
            await redrive(store, letter, by="ann", reason="r", world=WORLD)
            (again,) = await letters(machine)
            assert again.tries == 2


async def test_what_is_set_aside_is_counted_by_kind() -> None:
    store, _, _, staff = scene()
    telemetry = Telemetry(metrics=True)
    with anyio.fail_after(5):
        async with Runtime(staff, store, telemetry=telemetry) as machine:
            await with_odd_message(machine)
            assert b'casework_dead_letters_total{kind="message"} 1.0' in telemetry.expose()


def test_what_a_switch_or_a_budget_holds_is_no_dead_letter() -> None:
    row: dict[str, Any] = {"epoch": 1, "next_seq": 1, "node": "", "result": "", "flow": "f", "version": "1"}
    held = tuple(Wait(key, WaitKind.OPERATOR, "r") for key in ("switch:tool:a", "budget:tenant/a", "retry:c10:a"))
    parked = CaseRow(
        key=KEY,
        status=CaseStatus.PARKED,
        source_hash="",
        crew="",
        parent="",
        head=b"",
        opened_at=1,
        changed_at=1,
        waits=held,
        **row,
    )
    assert letters_of(parked, []) == []
    damaged = Wait("operator:c1", WaitKind.OPERATOR, "its row in the store cannot be read")
    (letter,) = letters_of(msgspec.structs.replace(parked, waits=(*held, damaged)), [])
    assert (letter.kind, letter.error, letter.tries) == ("case", "its row in the store cannot be read", 1)
