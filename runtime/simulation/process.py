"""A simulated process: whose code a step is, and what becomes of it when the process is paused or killed.

Every callback of the event loop carries a context, and the context names the process that began it. So a process is
killed by never running its callbacks again: no `finally` and no handler runs, which is what `kill -9` means. It is
paused by withholding them. What reaches a process from outside must be begun in its context or in an empty one: what
was begun in the sender's would die with the sender.
It does not know what runs in it, nor who restarts it.
"""

import asyncio
import enum
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Final, final

# Nothing public says which loop runs.
from anyio._core import _eventloop as anyios


class Phase(enum.Enum):
    """What the event loop does with the callbacks of a process."""

    RUNNING = "running"
    PAUSED = "paused"
    DEAD = "dead"


@final
class Process:
    """One simulated process, from its start to its end; a restart is another one."""

    __slots__ = ("died_at", "dies_at", "name", "on_death", "phase", "steps", "withheld")

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = Phase.RUNNING
        self.steps = 0  #: steps of its jobs so far
        self.dies_at = 0  #: the step before which it dies; 0 for never
        self.died_at = ""  #: the named point at which it was killed
        self.on_death: Callable[[Process], None] = _nobody
        self.withheld: list[asyncio.Handle] = []  #: what came for it while it was paused, or after its death

    def spawn(self, coroutine: Coroutine[object, object, object], name: str) -> asyncio.Task[object]:
        """Begin a job at the root of this process."""
        return asyncio.get_running_loop().create_task(coroutine, name=name, context=self.context())

    def context(self) -> Context:
        """Give a context whose callbacks are this process's."""
        context = Context()
        context.run(PROCESS.set, self)
        # As `anyio.run` does it: where sniffio is installed, callbacks that are no job's know their loop by this only.
        say: Callable[[str], object] = getattr(anyios, "set_current_async_library")  # noqa: B009 - it is not fully typed
        context.run(say, "asyncio")
        return context

    def kill(self) -> None:
        """End: what runs now goes on to its next wait and no further; again is harmless."""
        if self.phase is not Phase.DEAD:
            self.phase = Phase.DEAD
            self.on_death(self)

    def pause(self) -> None:
        """Stop, as a stopped process does: time passes it by."""
        if self.phase is Phase.RUNNING:
            self.phase = Phase.PAUSED

    def resume(self) -> list[asyncio.Handle]:
        """Go on; gives what was withheld, for the loop to run in that order."""
        if self.phase is not Phase.PAUSED:
            return []
        self.phase = Phase.RUNNING
        withheld, self.withheld = self.withheld, []
        return withheld


#: The process whose step runs; None for the world around all processes.
PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


def _nobody(_: Process) -> None:
    """Nobody hears of its end."""
