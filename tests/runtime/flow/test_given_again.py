"""A replay takes a task from the log only where its flow asks for that very one."""

from typing import Any, Final

import anyio
import pytest
from msgspec import Raw
from msgspec.structs import replace

from casework.protocols.codec import decode_task, encode
from casework.protocols.records import Drawn
from casework.protocols.wire import Budget, Criterion, OnStop, RiskTier, Task
from casework.runtime.flow.case import Case
from casework.runtime.flow.reading import Reader
from casework.runtime.flow.replay import OCCASIONAL
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow, Record
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime, value

#: Another value of each field of a task.
OTHERS: Final[dict[str, object]] = {
    "id": "other",
    "tenant": "other",
    "case_id": "other",
    "step_id": "other",
    "task": "other",
    "goal": "other",
    "success_criteria": (Criterion(name="other"),),
    "inputs": Raw(b"\x80"),
    "tools_allowed": ("other",),
    "risk_tier": RiskTier.REVERSIBLE,
    "deadline": 1,
    "attempts": 7,
    "budget": Budget(calls=7),
    "on_stop": OnStop.FAIL,
    "sender": "other",
    "purpose": "other",
    "trace": "other",
}


async def gives(case: Case, inputs: Ask) -> list[object]:
    result = await case.delegate("work", {"n": 1}, returns=object, goal="work", calls=2)
    drawn = [await case.now(), await case.random(), await case.new_id()]
    await case.park("go", reason="there is more")
    return [result, *drawn]


async def works(inputs: object, call: object) -> str:
    return "worked"


STAFF: Final[dict[str, Any]] = {"doers": {"work": works}}


async def recorded() -> tuple[CaseRow, list[Record]]:
    """Run the case until it parks, and give its row and log."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(gives, **STAFF), store) as machine:
            await machine.open("gives", "c1", Ask())
            row = await machine.wait("c1")
            return row, list(await store.records(KEY))


def read(row: CaseRow, records: list[Record]) -> str:
    """Read a case back; give why it cannot go on, or an empty text."""
    reading = Reader(crew(gives, **STAFF).flows, World(), "").read(row, records)
    if reading.engine is not None:
        reading.engine.close()
    return reading.reason


@pytest.mark.promise("FLOW-5")
@pytest.mark.parametrize("name", Task.__struct_fields__)
async def test_a_task_with_any_other_term_than_its_flow_asks_for_parks_the_case(name: str) -> None:
    row, records = await recorded()
    place = next(place for place, record in enumerate(records) if record.kind == "task")
    altered = replace(decode_task(records[place].frame), **{name: OTHERS[name]})
    records[place] = replace(records[place], frame=encode(altered))
    asked = f"ReplayMismatch: record {records[place].seq} is task at step work"
    assert read(row, records).startswith("" if name in OCCASIONAL else asked)
    assert bool(read(row, records)) is (name not in OCCASIONAL)


@pytest.mark.promise("FLOW-2")
async def test_what_was_drawn_is_drawn_again_and_each_only_once() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(gives, **STAFF), store) as machine:
            await machine.open("gives", "c1", Ask())
            await machine.wait("c1")
            before = await entries(store, Drawn)
        async with runtime(crew(gives, **STAFF), store) as machine:
            await machine.deliver("go", by="test")
            await machine.wait("c1")
            assert await entries(store, Drawn) == before
            assert (await value(store))[0]["value"] == "worked"
