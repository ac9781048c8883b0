"""Cases to export: a finished one with a child and a delivered file, and one that waits, made by real flows."""

from typing import Any

import anyio
import anyio.lowlevel

from casework.protocols.records import ReviewAction
from casework.protocols.wire import OnStop
from casework.runtime.errors import TaskFailed
from casework.runtime.export import export_case
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, runtime

KID = CaseKey("default", "c1/kid")
#: What is delivered to a case of `parent`.
PAPER = b"a paper"


async def kid(case: Case, inputs: Ask) -> int:
    return inputs.n


async def parent(case: Case, inputs: Ask) -> str:
    await case.note("Grüße", data={"ratio": 0.1, "big": 2**60})
    await case.open("kid", KID.case_id, Ask(3))
    await case.next_report()
    await case.decide("way", ("a", "b"), "a", rule="test", confidence=0.5)
    try:
        await case.delegate("absent", {}, returns=int, goal="nobody does it", on_stop=OnStop.FAIL)
    except TaskFailed:
        await case.note("nobody did it")
    arrived = await case.park("paper", reason="it is missing")
    reviewed = await case.review("look", {"n": 3}, rule="test")
    return f"{arrived.by} {reviewed.action}"


async def asking(case: Case, inputs: Ask) -> str:
    """Wait for a paper and for a person."""

    async def look() -> object:
        return (await case.review("look", {"n": 3}, rule="test")).by

    async def wait() -> object:
        return (await case.park("paper", reason="it is missing")).by

    return " ".join(map(str, await case.gather(look(), wait())))


STAFF = crew(parent, kid, asking)


async def finished() -> MemoryStore:
    """Run a case of `parent` to its end, with a file delivered and a review decided."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(STAFF, store) as machine:
            await machine.open("parent", KEY.case_id, Ask(1))
            row = await machine.wait(KEY.case_id)
            while row.waits:
                await _help(machine, store, row.waits)
                row = await machine.wait(KEY.case_id)
    return store


async def waiting() -> MemoryStore:
    """Run a case of `asking` until it waits; a message that it does not want yet is in its inbox."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(STAFF, store) as machine:
            await machine.open("asking", KEY.case_id, Ask(1))
            await machine.wait(KEY.case_id)
            await machine.deliver(KEY.case_id, key="early", by="bob", value="too early")
            await machine.wait(KEY.case_id)
    return store


async def exported(store: Any, **options: bool) -> bytes:
    return await export_case(store, "memory:", KEY, **options)


async def _help(machine: Any, store: MemoryStore, waits: Any) -> None:
    for wait in waits:
        if wait.key == "paper":
            await machine.deliver("paper", by="bob", data=PAPER, label="paper.pdf")
        elif wait.kind == "review":
            await machine.decide(wait.key, ReviewAction.APPROVE, by="ann")
    await anyio.lowlevel.checkpoint()
