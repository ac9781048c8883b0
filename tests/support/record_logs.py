"""Records logs of today's code as fixtures of a release, see `tests/fixtures/logs/README.md`.

    python -m tests.support.record_logs 0.1.0

A log that is there is never written again.
"""

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel

from casework.protocols.records import ReviewAction
from casework.runtime.export import export_case
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support import tiny_crew
from tests.support.bookkeeping import Paid, make_quarter, without_reader_of_photos, working
from tests.support.flow_scene import Ask, runtime
from tests.support.manual_clock import ManualClock
from tests.support.recorded_flows import staff

FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "logs"
TENANT: Final = "default"
#: What a person does with a review of that title; one that is not here is left alone.
ANSWERS: Final = {
    "approve": (ReviewAction.APPROVE, None),
    "edit": (ReviewAction.EDIT, {"n": 22}),
    "reject": (ReviewAction.REJECT, None),
    "ask_first": (ReviewAction.REJECT, None),
    "Partly done: 1 done, 1 undone, 0 unknown": (ReviewAction.APPROVE, None),
}
#: Flows whose logs are recorded, and those of them that come to rest and stay there.
SMALL: Final = (
    "steps",
    "failures",
    "people",
    "branches",
    "family",
    "waits",
    "breaks",
    "fails",
    "quiet",
    "chapters",
    "moves",
    "sagas",
)
RESTING: Final = frozenset({"waits", "breaks"})


async def logs() -> AsyncIterator[tuple[str, bytes]]:
    """Make every log anew, as (name, export)."""
    for name in SMALL:
        yield name, await _small(name)
    for name, text in (("ok", "ok"), ("paper", "wait"), ("person", "ask"), ("bad", "bad")):
        yield f"tiny-{name}", await _tiny(text)
    yield "bookkeeping", await _bookkeeping()


async def record(release: str, folder: Path = FOLDER) -> list[str]:
    """Write the logs that a release lacks, and name them."""
    (folder / release).mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    async for name, text in logs():
        path = folder / release / f"{name}.json"
        if not path.exists():
            path.write_bytes(text)
            written.append(name)
    return written


async def _small(flow: str) -> bytes:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(20):
        async with runtime(staff(), store, clock) as machine:
            key = await machine.open(flow, flow, Ask(1))
            row = await machine.wait(flow)
            if flow == "quiet":
                await machine.cancel(flow, by="ann", reason="enough")
            if flow == "moves":
                await machine.migrate(flow, to="2", by="ann", reason="it says more")
            while flow not in RESTING and row.status is not CaseStatus.CLOSED:
                await _help(store, machine, clock)
                row = await machine.wait(flow)
    return await export_case(store, "memory:", key, with_children=True)


async def _help(store: MemoryStore, machine: Runtime, clock: ManualClock) -> None:
    """Give what cases wait for: answers, papers, another try, time."""
    await anyio.lowlevel.checkpoint()
    for review in await store.reviews(state="open"):
        answer = ANSWERS.get(review.title) or ANSWERS.get(review.step_id.partition(":")[0])
        if answer is not None:
            await machine.decide(review.id, answer[0], by="ann", reason="seen", edited=answer[1])
    for wait in [wait for row in await store.cases() for wait in row.waits]:
        if wait.key == "paper":
            await machine.deliver("paper", by="bob", data=b"a paper", label="paper.pdf")
        elif wait.kind is WaitKind.OPERATOR:
            await machine.deliver(wait.key, by="ann")
    clock.advance(0.5)


async def _tiny(text: str) -> bytes:
    store = MemoryStore()
    with anyio.fail_after(20):
        async with Runtime(tiny_crew.crew, store, telemetry=Telemetry.off()) as machine:
            key = await machine.open("line", text, tiny_crew.Line(name=text, text=text))
            row = await machine.wait(text)
            for wait in row.waits if text == "ask" else ():
                await machine.decide(wait.key, ReviewAction.APPROVE, by="ann")
                await machine.wait(text)
    return await export_case(store, "memory:", key)


async def _bookkeeping() -> bytes:
    """Run the sample crew on a quarter of a few payments."""
    payments = [Paid("Shell Station", "-48.40", "20260412"), Paid("Onbekend", "-99.99", "20260503")]
    with tempfile.TemporaryDirectory() as made, without_reader_of_photos():
        folder = make_quarter(Path(made) / "2026Q2", payments, ["bon-001.pdf", "bon-002.pdf"])
        store: Any = MemoryStore()
        async with working(store, Path(made) / "out", folder=folder):
            pass
        return await export_case(store, "memory:", CaseKey(TENANT, "2026Q2"), with_children=True)


if __name__ == "__main__":
    for each in anyio.run(record, sys.argv[1]):
        print(each)
