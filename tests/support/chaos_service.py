"""A service that works on cases in a process of its own, for tests that kill, stop and cut it off.

`python chaos_service.py STORE BANK` says `ready NODE` and then obeys lines: `open FROM TO` opens cases, each of which
it acknowledges by `opened NUMBER` once that is durable, as often as it must try; `idle` is answered by
`idle FENCED`, when nothing is under way, with how many of its appends were fenced. At the end of its input it drains.
It does not know what is done to it.
"""

import sys
from collections import Counter

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from casework.runtime.errors import StoreUnavailable
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, Fenced, Store
from casework.runtime.store.urls import open_store
from casework.runtime.telemetry import Telemetry
from tests.support.chaos_crew import BANK, Item, crew

#: Seconds after which somebody whose case could not be opened tries again.
AGAIN_SECONDS = 0.05


def case_id(number: int) -> str:
    """Name a case."""
    return f"c{number:05}"


def watched(store: Store) -> Counter[str]:
    """Count how the appends to a store end, by the kind of the result."""
    ends: Counter[str] = Counter()
    append = store.append

    async def counted(asked: Append) -> AppendResult:
        result = await append(asked)
        ends[type(result).__name__] += 1
        return result

    store.append = counted  # type: ignore[method-assign, assignment]
    return ends


def say(line: str) -> None:
    """Say a line to the parent, in one piece."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def opened(machine: Runtime, number: int) -> None:
    """Open a case, and say so once it is durable."""
    while True:
        try:
            await machine.open("order", case_id(number), Item(number=number))
            break
        except StoreUnavailable:
            await anyio.sleep(AGAIN_SECONDS)
    say(f"opened {number}")


async def obey(machine: Runtime, ends: Counter[str], group: TaskGroup) -> None:
    """Do what the lines of the input say, until it ends."""
    while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        verb, *numbers = line.split()
        if verb == "open":
            for number in range(*map(int, numbers)):
                group.start_soon(opened, machine, number)
        else:
            await machine.wait_idle()
            say(f"idle {ends[Fenced.__name__]}")


async def main(url: str, bank: str) -> None:
    """Serve until the input ends."""
    world = World()
    store = await open_store(url, world)
    ends = watched(store)
    try:
        async with Runtime(crew, store, world=world, settings={BANK: bank}, telemetry=Telemetry.off()) as machine:
            say(f"ready {machine.node.name}")
            async with anyio.create_task_group() as group:
                await obey(machine, ends, group)
    finally:
        await store.aclose()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
