"""The lock of a SQLite file lasts exactly as long as the thread that writes it, whatever happens to who closes it."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from store_support import key_of, opening

from casework.runtime.errors import StoreOwned
from casework.runtime.seams import Joinable, ThreadOffload, World
from casework.runtime.store.base import Store
from casework.runtime.store.sqlite_writer import POINT_COMMIT_AFTER
from casework.runtime.store.urls import open_store


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    # Only there can a task be cancelled past every scope.
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


class Gate(ThreadOffload):
    """Holds the writer's thread, as it begins or after a commit, until it is let go."""

    def __init__(self, *, at_begin: bool = False) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self._at_begin = at_begin
        self._thread: Joinable | None = None

    def thread(self, name: str, body: Callable[[], None]) -> Joinable:
        self._thread = super().thread(name, partial(self._gated, body) if self._at_begin else body)
        return self._thread

    def point(self, name: str) -> None:
        if name == POINT_COMMIT_AFTER:
            self._wait()

    async def wait_reached(self) -> None:
        await anyio.to_thread.run_sync(self.reached.wait)

    def open(self) -> None:
        self._open.set()

    async def wait_ended(self) -> None:
        assert self._thread is not None
        await anyio.to_thread.run_sync(self._thread.join)

    def _gated(self, body: Callable[[], None]) -> None:
        self._wait()
        body()

    def _wait(self) -> None:
        self.reached.set()
        self._open.wait()


async def owned(url: str) -> bool:
    try:
        store = await open_store(url, World())
    except StoreOwned:
        return True
    await store.aclose()
    return False


async def writes_on_and_is_closed(store: Store, gate: Gate) -> tuple[asyncio.Task[object], asyncio.Task[None]]:
    writing = asyncio.ensure_future(store.open_case(opening(key_of("c"))))
    await gate.wait_reached()
    closing = asyncio.ensure_future(store.aclose())
    await asyncio.sleep(0)
    return writing, closing


@pytest.mark.promise("STORE-13")
async def test_a_file_is_given_up_when_its_thread_ends_though_who_closed_it_was_torn_away(url: str) -> None:
    gate = Gate()
    with anyio.fail_after(5):
        store = await open_store(url, World(offload=gate, faults=gate))
        writing, closing = await writes_on_and_is_closed(store, gate)
        for _ in range(2):
            closing.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await owned(url), "its thread still writes"
        gate.open()
        await gate.wait_ended()
        assert not await owned(url)
        await writing


@pytest.mark.promise("STORE-13")
async def test_one_cancel_that_no_shield_holds_off_is_raised_when_the_file_is_given_up(url: str) -> None:
    gate = Gate()
    with anyio.fail_after(5):
        store = await open_store(url, World(offload=gate, faults=gate))
        writing, closing = await writes_on_and_is_closed(store, gate)
        closing.cancel()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert not await owned(url)
        await writing


@pytest.mark.promise("STORE-13")
async def test_a_file_is_given_up_though_who_opens_it_is_torn_away_twice(url: str) -> None:
    gate = Gate(at_begin=True)
    with anyio.fail_after(5):
        opens = asyncio.ensure_future(open_store(url, World(offload=gate)))
        await gate.wait_reached()
        for _ in range(3):
            opens.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await opens
        assert await owned(url), "its thread has not heard of it yet"
        gate.open()
        await gate.wait_ended()
        assert not await owned(url)


async def test_a_file_is_given_up_where_no_thread_can_be_started(url: str) -> None:
    class Exhausted(ThreadOffload):
        def thread(self, name: str, body: Callable[[], None]) -> Joinable:
            raise RuntimeError("can't start new thread")

    with anyio.fail_after(5):
        with pytest.raises(RuntimeError, match="new thread"):
            await open_store(url, World(offload=Exhausted()))
        assert not await owned(url)
