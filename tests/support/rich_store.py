"""A store with something in every table, for tests that change it behind the back of its owner."""

from typing import Final

import anyio
from store_support import arrived

from casework.protocols.codec import digest
from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.accounts import Draw
from casework.runtime.store.base import CaseRow, CaseStatus
from casework.runtime.store.urls import open_reader, open_store
from tests.support.flow_scene import Ask, crew, runtime

SECONDS: Final = 86_400
#: Cases that are there beside `hit` and `well`.
OTHERS: Final = ("hit/leaf", "well/leaf")


async def leaf(case: Case, inputs: Ask) -> None:
    await case.park(f"leaf:{case.id}", reason="waits")


async def hears(case: Case) -> None:
    while True:
        await case.next_report()


async def rich(case: Case, inputs: Ask) -> int:
    await case.note("begun")
    await case.open("leaf", f"{case.id}/leaf", Ask(1))
    await case.first(
        case.park("go", reason="waits"),
        case.sleep(99 * SECONDS),
        case.review("look", {"n": 3}, rule="test", expires_seconds=50 * SECONDS),
        hears(case),
    )
    return inputs.n


async def fill(url: str) -> None:
    """Make a store with rows in all tables, and two cases that have not heard yet that what they wait for is there."""
    async with runtime(crew(rich, leaf), url) as machine:
        for name in ("hit", "well"):
            await machine.open("rich", name, Ask(3))
            await machine.wait(name)
        await machine.wait_idle()
    store = await open_store(url, World())
    await store.set_limit("tenant/default", 50, by="ann", at=1)
    await store.draw(Draw("d1", ("tenant/default",), 5, 1, 2))
    await store.put_artifact(digest(b"hello").hex(), b"hello")
    await store.remember("out", "/tmp")
    for name in ("hit", "well"):
        await store.deliver("default", name, "m", arrived("m", "go"))
    await store.aclose()


async def ended(url: str) -> dict[str, CaseRow]:
    """Work on a store until nobody has anything to do any more; give where its cases stand, by their numbers."""
    with anyio.fail_after(15):
        async with runtime(crew(rich, leaf), url) as machine:
            while (await machine.wait("well")).status is not CaseStatus.CLOSED:
                await machine.wait_idle()
            await machine.wait_idle()
    reader = await open_reader(url, World())
    rows = await reader.cases()
    await reader.aclose()
    others = {row.key.case_id: row for row in rows if row.key.case_id in {*OTHERS, "well"}}
    (hit,) = [row for row in rows if row not in others.values()]
    return {**others, "hit": hit}
