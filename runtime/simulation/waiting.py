"""Where somebody is: the place at which a job waits, and the code from which a call came, each as one line.

It does not know why.
"""

import asyncio
import inspect
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

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
    """Say which line of somebody's own code the running call comes from."""
    frame: FrameType | None = inspect.currentframe()
    last = ""
    while frame is not None:
        last = last or _place(frame.f_code, frame.f_lineno)
        if _own(frame.f_code):
            return _place(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return last


def _own(code: CodeType) -> bool:
    name = code.co_filename
    if any(part in name for part in _BETWEEN):
        return False
    return "site-packages" in name or not name.startswith(_STANDARD)


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line} in {code.co_qualname}"
