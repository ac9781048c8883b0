"""What tests of flows share: inputs, a runtime over plain functions, and ways to look into a log."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import Struct

from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Closed, Entry
from casework.runtime.flow.case import Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import SmallStaff

KEY = CaseKey("default", "c1")
#: Longer than any lease: what a stopped process held is free afterwards.
LEASE_OVER = 5.0


class Ask(Struct, frozen=True):
    n: int = 0


def crew(*functions: Callable[..., Coroutine[object, object, object]], **options: Any) -> SmallStaff:
    """Make a staff with these flows; every flow may call every tool."""
    tools = options.get("tools", {})
    flows = {function.__name__: Flow.of(function, inputs=Ask, tools=tuple(tools)) for function in functions}
    return SmallStaff(flows, **options)


def runtime(staff: SmallStaff, store: Any = "memory:", clock: ManualClock | None = None) -> Runtime:
    world = World() if clock is None else replace(World(), clock=clock)
    return Runtime(staff, store, world=world, telemetry=Telemetry.off())


async def run(
    staff: SmallStaff, flow: str, store: Any = "memory:", n: int = 0
) -> tuple[CaseRow, list[tuple[str, str]]]:
    """Run one case until it rests; give its row and its log as (kind, step id)."""
    with anyio.fail_after(5):
        async with runtime(staff, store) as machine:
            await machine.open(flow, "c1", Ask(n))
            row = await machine.wait("c1")
            return row, await steps(machine.store)


@asynccontextmanager
async def crashing(machine: Runtime) -> AsyncIterator[Runtime]:
    """Run a runtime that is killed at the end of the block: nothing is drained or given back."""
    async with machine:
        machine.node.drain = _nothing  # type: ignore[method-assign]
        yield machine


async def _nothing(timeout_seconds: float) -> None:
    return


async def steps(store: Any, key: CaseKey = KEY) -> list[tuple[str, str]]:
    return [(record.kind, record.step_id) for record in await store.records(key)]


async def entries(store: Any, kind: type[Any], key: CaseKey = KEY) -> list[Any]:
    decoded: list[Entry] = [decode_entry(record.frame) for record in await store.records(key)]
    return [entry for entry in decoded if isinstance(entry, kind)]


async def value(store: Any, type_: type[Any] = object, key: CaseKey = KEY) -> Any:
    """Give what a closed case's flow returned."""
    closed = (await entries(store, Closed, key))[-1]
    assert not closed.error, closed.error
    return unpack(closed.value, type_)


async def until(machine: Runtime, holds: Callable[[], bool]) -> None:
    """Let everybody run until something holds; the caller bounds it."""
    while not holds():
        await anyio.lowlevel.checkpoint()


async def closed(store: Any, key: CaseKey = KEY) -> None:
    """Let everybody run until a case is closed; the caller bounds it."""
    while (await store.case(key)).status is not CaseStatus.CLOSED:
        await anyio.lowlevel.checkpoint()
