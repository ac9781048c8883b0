"""Where somebody is: the place at which a job waits, and the code from which a call came, each as one line.

It does not know why.
"""

import asyncio
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

# Nothing public leads to its table of jobs.
from anyio._backends import _asyncio as backend

from casework.runtime.simulation.process import Process

#: Code of others that a call passes through on its way out.
_STANDARD: Final = (str(Path(asyncio.__file__).parents[1]), "<frozen ")
_BETWEEN: Final = (str(Path(__file__).parent), "/site-packages/anyio/")
#: Waits within waits that are followed.
DEPTH_MAX: Final = 200


def described(task: "asyncio.Task[Any]") -> str:
    """Say in one line which job that is, whose, and where it waits."""
    process: Process | None = getattr(task, "process", None)
    owner = f" of {process.name}" if process is not None else ""
    number = getattr(task, "number", 0)
    return f"job {number} {task.get_name()!r}{owner} waits at {waits_at(task.get_coro())}"


def waits_at(coroutine: object) -> str:
    """Say where a coroutine waits: the innermost place that is in nobody's library."""
    found = "a place that cannot be seen"
    for _ in range(DEPTH_MAX):
        frame: FrameType | None = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None and (not found.startswith("/") or _own(frame.f_code)):
            found = _place(frame.f_code, frame.f_lineno)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
        if coroutine is None:
            break
    return found


def caller() -> str:
    """Say which line of somebody's own code the running call comes from; empty if none of the running step is."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and not _is_loop(frame.f_code):
        if _own(frame.f_code):
            return _place(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return ""


def beginner(task: "asyncio.Task[Any] | None", tasks: Iterable["asyncio.Task[Any]"]) -> str:
    """Say where whoever began a job waits meanwhile, in somebody's own code: libraries begin jobs for their callers."""
    by_id = {id(each): each for each in tasks}
    found = "a place that cannot be seen"
    for _ in range(DEPTH_MAX):
        if task is None:
            break
        found = waits_at(task.get_coro())
        if found.startswith("/") and not any(part in found for part in _BETWEEN):
            break
        # By name: what the table holds is not fully typed.
        states: Any = getattr(backend, "_task_states")  # noqa: B009
        task = by_id.get(states[task].parent_id) if task in states else None
    return found


def _is_loop(code: CodeType) -> bool:
    return code.co_name == "_run_handle" and code.co_filename.startswith(_BETWEEN[0])


def _own(code: CodeType) -> bool:
    name = code.co_filename
    if any(part in name for part in _BETWEEN):
        return False
    return "site-packages" in name or not name.startswith(_STANDARD)


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line} in {code.co_qualname}"
