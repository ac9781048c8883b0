"""A review in the queue was asked at the moment of its record, however long its process stood still in between."""

from typing import Any

import anyio
import pytest

from casework.protocols.records import Entry, Review
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.flow.logbook import Logbook
from casework.runtime.store.base import Record
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, Ask, crew, runtime
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import SmallTool


class Jumping(ManualClock):
    """Its wall's clock may be moved alone."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0

    def wall_micros(self) -> int:
        return super().wall_micros() + self.ahead


async def asks(case: Case, inputs: Ask) -> None:
    await case.review("is it so?", {"n": 1}, rule="test")


async def writes(case: Case, inputs: Ask) -> object:
    return await case.call("write", {}, returns=object)


async def write(arguments: object) -> None:
    """Never called: nobody approves it."""


@pytest.mark.parametrize("flow", ["asks", "writes"])
@pytest.mark.parametrize("seconds", [120, -120])
async def test_a_process_that_stood_still_after_it_asked_a_person_leaves_nothing_that_verify_objects_to(
    flow: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, store, writing = Jumping(), MemoryStore(), Logbook.write

    def stands_still(self: Logbook, step_id: str, entry: Entry, *frame: Any) -> Record:
        record = writing(self, step_id, entry, *frame)
        clock.ahead += seconds * 1_000_000 * isinstance(entry, Review)
        return record

    monkeypatch.setattr(Logbook, "write", stands_still)
    tool = SmallTool(write, RiskTier.IRREVERSIBLE, approval="may it?")
    with anyio.fail_after(5):
        async with runtime(crew(asks, writes, tools={"write": tool}), store, clock) as machine:
            await machine.open(flow, "c1", Ask())
            await machine.wait("c1")
    (review,) = await store.reviews()
    assert review.opened_at in {record.at for record in await store.records(KEY) if record.kind == "review"}
    assert await verify(store) == []
