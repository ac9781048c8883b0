"""Many messages at once to one case: each is applied, once, in the order in which they came."""

from pathlib import Path

import anyio
import pytest
from msgspec import Struct

from casework.runtime.flow.case import Case, Flow
from casework.runtime.store.base import CaseStatus
from tests.support.flow_scene import KEY, crew, runtime, value

pytestmark = pytest.mark.promise("FLOW-34")

#: Messages that a chapter takes: two records each, and a chapter parks at 10,000.
CHAPTER = 2_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # trio starts jobs in no order


class Heard(Struct, frozen=True):
    """How many messages are awaited, and how many came in the order of their numbers."""

    awaited: int
    in_order: int = 0


async def hears(case: Case, inputs: Heard) -> int:
    """Take message after message and count; one that is not the next is an error."""
    at = inputs.in_order
    while at < inputs.awaited:
        arrived = await case.park("more", reason="the next one")
        if int(arrived.message_id) != at:
            raise ValueError(f"message {arrived.message_id} came in the place of {at}")
        at += 1
        if at % CHAPTER == 0 and at < inputs.awaited:
            await case.next_chapter(Heard(inputs.awaited, at))
    return at


async def told(url: str, messages: int) -> object:
    staff = crew()
    staff.flows = {"hears": Flow.of(hears, inputs=Heard)}
    async with runtime(staff, url) as machine:
        await machine.open("hears", KEY.case_id, Heard(messages))
        await machine.wait(KEY.case_id)

        async def deliver(number: int) -> None:
            await machine.deliver(KEY.case_id, key="more", by="test", message_id=str(number))

        async with anyio.create_task_group() as senders:
            for number in range(messages):
                senders.start_soon(deliver, number)
        row = await machine.wait(KEY.case_id)
        while row.status is not CaseStatus.CLOSED:
            await machine.wait_idle()
            row = await machine.wait(KEY.case_id)
        return await value(machine.store)


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
async def test_ten_messages_at_once_are_all_applied_in_order(store: str, tmp_path: Path) -> None:
    url = store if store == "memory:" else f"sqlite:///{tmp_path}/cases.db"
    with anyio.fail_after(5):
        assert await told(url, 10) == 10


async def test_ten_thousand_messages_at_once_are_all_applied_in_order() -> None:
    with anyio.fail_after(60):
        assert await told("memory:", 10_000) == 10_000
