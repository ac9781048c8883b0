"""Code that runs in no job of the event loop, though a job calls it: whoever asks for the job of now finds none.

A flow is driven in the job of whoever brings it something, never in one of its own. What is entered there and left
later, such as `anyio.fail_after` round an operation of the case, would be left in another job: the first one would be
cancelled in the flow's stead, and with it everything else that runs in the process. Outside of a job nothing of the
kind can be entered; it raises where it is tried. What that says is of no help to who wrote the flow, so it is named.
Only what each loop itself does when it turns from one job to another can take the job of now away.
It does not know what it runs.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

#: Libraries whose scopes, timeouts and jobs belong to a job of the event loop.
LIBRARIES: Final = frozenset({"anyio", "asyncio", "trio"})


def untasked(act: Callable[[], None]) -> None:
    """Run something so that no job is there to be found; where there is none, it is simply run."""
    if "trio" in sys.modules and _without_trio(act):
        return
    # Here and not above: who imports the package waits 28 ms less, and whose loop runs has it already.
    import asyncio

    tasks: Any = asyncio.tasks
    loop = asyncio._get_running_loop()  # noqa: SLF001 - public by its docstring: it gives None where nothing runs
    job = None if loop is None else tasks.current_task(loop)
    if job is None:
        act()
        return
    tasks._leave_task(loop, job)  # noqa: SLF001 - what a loop calls that is not asyncio's own
    try:
        act()
    finally:
        tasks._enter_task(loop, job)  # noqa: SLF001


def tried(error: BaseException) -> str:
    """Name what of an event loop's library was called as an error arose, as `anyio.fail_after`; else an empty text."""
    trace = error.__traceback__
    while trace is not None:
        library = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if library in LIBRARIES:
            return f"{library}.{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return ""


def _without_trio(act: Callable[[], None]) -> bool:
    """Run it without trio's job of now; False where there is none."""
    running: Any = sys.modules["trio._core._run"]
    context = running.GLOBAL_RUN_CONTEXT
    job = getattr(context, "task", None)
    if job is None:
        return False
    del context.task
    try:
        act()
    finally:
        context.task = job
    return True
