"""What the writing sub-commands share: working until nothing can go on, and writing to a store that another may own.

A SQLite store has one owner. If a process owns it, what is written goes through that process's socket and it resumes
the case; if none does, this process becomes the owner, writes, and works with the crew that the store remembers until
nothing can go on. A PostgreSQL store has none: it is written to directly, and if no node lives this process becomes
one. Either way the writing is durable before anything else is tried.
It does not know what is written.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

import anyio
from anyio.abc import TaskStatus

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.output import tell
from casework.actors.cli.standing import News, Standing, news, standing
from casework.actors.crew import Crew, load_crew
from casework.actors.errors import Misbuilt
from casework.runtime.errors import StoreOwned, StoreUnavailable
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Nobody, Store, StoreDoor, StoreReader, Unavailable
from casework.runtime.store.urls import open_door, open_reader, open_store, wait_settled

T = TypeVar("T")

#: Settings that a store remembers of the last `casework run`, by name.
REMEMBERED: Final = ("crew", "input", "out", "tenant", "folder")
#: Times that owner and no owner are tried in turn, for an owner may come or go in between.
TRIES: Final = 10
#: Seconds between them.
PAUSE_SECONDS: Final = 0.3
#: Seconds that a writer waits for the owner to work on what was written.
SETTLE_SECONDS: Final = 60.0


class Interrupts:
    """Hears SIGINT and SIGTERM: the first one ends the work in good order, the second one the process."""

    def __init__(self, stopping: str) -> None:
        self._stopping = stopping
        self.scope = anyio.CancelScope()  #: what the first one cancels
        self.heard = False  #: whether there was one

    async def listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self.heard:
                    os._exit(Exit.INTERRUPTED)
                self.heard = True
                tell("note", f"stopping: {self._stopping} (again to stop at once)")
                self.scope.cancel()


async def interruptible(work: Callable[[Interrupts], Awaitable[T]], stopping: str = "what was recorded is kept") -> T:
    """Run `work`, which does what may be interrupted inside `interrupts.scope`, and give what it gives."""
    interrupts = Interrupts(stopping)
    results: list[T] = []
    async with anyio.create_task_group() as jobs:
        await jobs.start(interrupts.listen)
        results.append(await work(interrupts))
        jobs.cancel_scope.cancel()
    return results[0]


@dataclass(slots=True, frozen=True)
class Aftermath:
    """What became of something that was written."""

    news: News
    standing: Standing
    resumed: bool
    """Whether anybody worked on it until nothing could go on."""


async def write(
    url: str, act: Callable[[StoreReader, StoreDoor], Awaitable[T]], *, resume: bool = True
) -> tuple[T, Aftermath]:
    """Write to a store by `act`, wherever its owner is, and see what becomes of it.

    Raises:
        StoreInvalid, StoreNewer, StoreUnavailable: nothing was written.

    If cancelled, it may have been written or not; nothing stays open.
    """
    world = World()
    reader = await open_reader(url, world)
    try:
        before = await standing(reader)
        for attempt in range(TRIES):
            if attempt:
                await world.clock.sleep(PAUSE_SECONDS)
            try:
                door = await open_door(url, world)
            except StoreUnavailable:
                try:
                    store = await open_store(url, world)
                except StoreOwned:
                    continue
                result, resumed = await _as_owner(store, act, resume=resume)
            else:
                result = await act(reader, door)
                resumed = resume and await _settled(door.settle)
            after = await standing(reader)
            return result, Aftermath(await news(reader, before, after), after, resumed)
    finally:
        await reader.aclose()
    raise StoreUnavailable(url, "its owner neither answers nor ends; try again, or stop that process")


async def _settled(settle: Callable[[float], Awaitable[bool]]) -> bool:
    try:
        return await settle(SETTLE_SECONDS)
    except StoreUnavailable:
        return False


async def _as_owner(
    store: Store, act: Callable[[StoreReader, StoreDoor], Awaitable[T]], *, resume: bool
) -> tuple[T, bool]:
    try:
        result = await act(store, store)
        resumed = resume and not _nowhere(result) and await _resume(store)
    finally:
        await store.aclose()
    return result, resumed


def _nowhere(result: object) -> bool:
    """Say whether what was to be written, alone or with its name, reached nobody: then nobody can go on with it."""
    given = cast("tuple[object, ...]", result)[0] if isinstance(result, tuple) else result
    return isinstance(given, Nobody | Unavailable)


async def _resume(store: Store) -> bool:
    """Work with the remembered crew until nothing can go on; False if that crew is not to be had here."""
    settings = await remembered(store)
    name = settings.get("crew", "")
    if not name:
        tell("warning", "recorded, but the store remembers no crew: `casework run`, or your service, goes on with it")
        return False
    try:
        crew = load_crew(name, folder=Path(settings.get("folder", ".")))
    except Misbuilt as error:
        again = f"casework run {name} {settings.get('input', 'INPUT')} --store {store.url}"
        tell("warning", f"recorded, but nothing resumes here: {error}; resume with `{again}`")
        return False

    async def work(interrupts: Interrupts) -> bool:
        async with Runtime(crew, store, tenant=settings["tenant"], settings=settings) as runtime:
            with interrupts.scope:
                await wait_settled(store, runtime.wait_idle, World())
        if interrupts.heard:
            raise Quit(Exit.INTERRUPTED, "interrupted; what was delivered or decided is recorded")
        return True

    return await interruptible(work)


async def remembered(reader: StoreReader) -> dict[str, str]:
    """Give what the store remembers of the last `casework run`."""
    found = {name: await reader.setting(name) for name in REMEMBERED}
    return {"tenant": "default"} | {name: value for name, value in found.items() if value}


async def refuse_other_crew(store: Store, crew: Crew, name: str) -> None:
    """Refuse a store that holds another crew's cases, for they would park with this one.

    A program that runs a crew by itself leaves no settings in the store, so the cases are asked too.

    Raises:
        Quit: it does.
    """
    before = (await remembered(store)).get("crew", name)
    others = sorted({row.crew for row in await store.cases() if row.crew != crew.name})
    if before != name or others:
        held = before if before != name else ", ".join(others)
        raise Quit(Exit.USAGE, f"{store.url} holds cases of crew {held}; name another --store")
