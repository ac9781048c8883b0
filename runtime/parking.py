"""Where one job parks until another hands it something: the fastest way that each event loop has.

An `anyio.Event` costs 1.4 us to make and some more to wait for, and an ask parks twice; with events an ask ran at 32 to
41 % of its floor, with what stands here at 52 to 64 %. On asyncio a future of the loop is just what is needed, so there
it is used as it is, with nothing around it; on trio the same three methods stand on a rescheduled task. Only one
job may wait for each, once. Beside `wakeup` this is the only file that names event loops.
It does not know what is handed over.
"""

import sys
from collections.abc import Callable, Generator
from typing import Any, Protocol, final


class Parked(Protocol):
    """A place to wait for one value; `await` gives it."""

    def done(self) -> bool:
        """Say whether it has its value, or who waited was cancelled."""
        ...

    def set_result(self, result: bytes, /) -> None:
        """Hand over the value, once, while it is not `done`."""
        ...

    def __await__(self) -> Generator[Any, None, bytes]:
        """Wait for the value; if cancelled, it is `done` without one."""
        ...


def parking() -> Callable[[], Parked]:
    """Give what makes such places on the loop that runs."""
    if "trio" in sys.modules and _in_trio():
        return _TrioParked
    # Here and not above: who imports the package waits 28 ms less, and whose loop runs has it already.
    import asyncio

    return asyncio.get_running_loop().create_future


def name_library() -> None:
    """Leave the name of the running event loop where anyio asks for it; to be called in a task.

    Asked for it in a task, it looks at the task; who is called back by the loop itself has none. `anyio.run` leaves the
    name in a context variable, `asyncio.run` does not.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        sniffio.current_async_library_cvar.set(sniffio.current_async_library())


def _in_trio() -> bool:
    # Asked first, for a trio that is the guest of another loop has that loop running as well.
    import trio

    return trio.lowlevel.in_trio_task()


@final
class _TrioParked:
    """What a future is to asyncio, as far as it is needed here."""

    __slots__ = ("_done", "_result", "_task")

    def __init__(self) -> None:
        self._done = False
        self._result = b""
        self._task: Any = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: bytes, /) -> None:
        from trio.lowlevel import reschedule

        self._done = True
        self._result = result
        if self._task is not None:
            reschedule(self._task)

    def __await__(self) -> Generator[Any, None, bytes]:
        from trio.lowlevel import current_task, wait_task_rescheduled

        if not self._done:
            self._task = current_task()
            # What `await` does, in a method that cannot be `async`.
            yield from wait_task_rescheduled(self._abort).__await__()  # noqa: ASYNC105
        return self._result

    def _abort(self, _raise_cancel: object) -> Any:
        from trio.lowlevel import Abort

        self._done = True
        self._task = None
        return Abort.SUCCEEDED
