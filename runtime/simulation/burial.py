"""Takes away what a run has left: jobs of killed processes, and everybody else's that had not ended.

None of that may run while it counts: a killed process runs no `finally`. But a coroutine that is let go of is closed
by the interpreter, and its `finally` runs then, at a moment that nobody chose. So everything is kept until the run has
been judged, and is closed here, in the order of the jobs' numbers, on a loop that takes nothing any more; whatever
that code then raises is nobody's. anyio's own table of jobs would keep them for ever: its entries are taken out.
It does not know how the run ended.
"""
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

import gc
import logging
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

# Nothing public leads to its table of jobs.
from anyio._backends import _asyncio as backend

from casework.runtime.kernel import Kernel
from casework.runtime.simulation.loop import SimulationLoop, SimulationTask

#: Times that a coroutine which waits while it is being closed is closed again.
CLOSINGS_MAX: Final = 10


def bury(loop: SimulationLoop) -> None:
    """Close the loop and everything on it; the run is over and has been judged."""
    # By name: what the table holds is not fully typed.
    states: Any = getattr(backend, "_task_states")  # noqa: B009
    loop.close()
    with _unheard():
        for task in list(loop.tasks.values()):
            _close(task)
        for task in [each for each in states if each.get_loop() is loop]:
            del states[task]
        _let_go()
        loop.tasks.clear()


@contextmanager
def uncollected() -> Generator[None, None, None]:
    """Collect no garbage within the block, so that nothing is run because of it; collect what it made at its end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        with _unheard():
            # What was made since collection was stopped is the youngest generation: the rest need not be walked.
            gc.collect(0)
        if enabled:
            gc.enable()


def _let_go() -> None:
    """Empty the cells of systems that never ended: for speed's sake cells are not what a collector looks into."""
    # What was made since collection was stopped: the systems of this run are among it.
    for each in gc.get_objects(generation=0):
        if type(each) is Kernel:
            cells: list[Any] = [*each.cells.values()]
            for cell in cells:
                for name in cell.__struct_fields__:
                    setattr(cell, name, None)
            each.cells.clear()


def _close(task: SimulationTask) -> None:
    # It is pending for ever, and that is what was meant.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine: Any = task.get_coro()
    for _ in range(CLOSINGS_MAX):
        # Whatever it awaits while it is closed, and whatever it raises then.
        with suppress(BaseException):
            coroutine.close()
            return


@contextmanager
def _unheard() -> Generator[None, None, None]:
    """Say nothing of what code raises that runs after the end."""
    hook: Callable[[Any], object] = sys.unraisablehook
    logged = logging.root.manager.disable
    sys.unraisablehook = _nobody
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        logging.disable(logged)


def _nobody(_: object) -> None:
    """Nobody hears it."""
