"""Refuses what is not simulated while a simulation runs: threads, files, sockets, processes.

The loop's own ways out refuse by themselves. This is the net for code that goes round the loop: the interpreter tells
an audit hook of each file, socket and process that is opened, whoever opens it; threads are told of from Python 3.12
on only, so here their start is refused at its name. The hook cannot be taken away again; it looks only at the thread
whose simulation runs. Modules may be imported, and their source and time zones read: that is the same in each run.
It does not know what the code wanted.
"""

import inspect
import sys
import threading
import zoneinfo
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from casework.runtime.simulation.loop import SimulationLoop

#: Events of the interpreter that mean a way out, with how the call is named.
REFUSED: Final = {
    "open": "open",
    "os.exec": "os.exec",
    "os.fork": "os.fork",
    "os.forkpty": "os.forkpty",
    "os.posix_spawn": "os.posix_spawn",
    "os.spawn": "os.spawn",
    "os.system": "os.system",
    "sqlite3.connect": "sqlite3.connect",
    "socket.__new__": "socket.socket",
    "socket.getaddrinfo": "socket.getaddrinfo",
    "subprocess.Popen": "subprocess.Popen",
    "urllib.Request": "urllib.request",
}
#: Modules that may open files: what they read does not change within a run.
READERS: Final = frozenset({
    "importlib._bootstrap_external", "importlib.metadata", "importlib.resources", "inspect", "linecache", "tokenize",
    "zipimport", "zoneinfo._common",
})  # fmt: skip

#: Below this one, files are opened to import a module.
IMPORTER: Final = "importlib._bootstrap"
#: Frames between the hook and the module that opens: Python has wrappers of its own.
WRAPPERS_MAX: Final = 4

#: The loop whose simulation runs in a thread, by the thread's number; that of the whole process, as the hook is.
_GUARDED: Final[dict[int, SimulationLoop]] = {}
_HOOKED: Final[list[bool]] = []


@contextmanager
def guarded(loop: SimulationLoop) -> Generator[None, None, None]:
    """Refuse, within the block and in this thread, whatever is not simulated; the loop's run ends by it."""
    if not _HOOKED:
        _HOOKED.append(True)
        sys.addaudithook(_heard)
    thread = threading.get_ident()
    started = threading.Thread.start
    outer = _GUARDED.get(thread)
    _GUARDED[thread] = loop
    threading.Thread.start = _refusing(started)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        threading.Thread.start = started  # type: ignore[method-assign]
        del _GUARDED[thread]
        if outer is not None:
            _GUARDED[thread] = outer


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _GUARDED or event not in REFUSED:
        return
    loop = _GUARDED.get(threading.get_ident())
    if loop is None or (event == "open" and _fixed(arguments[0])):
        return
    if event == "sqlite3.connect" and arguments[0] == ":memory:":
        return
    raise loop.leaked(REFUSED[event])


def _fixed(path: object) -> bool:
    """Say whether what is opened does not change within a run."""
    return str(path).startswith(zoneinfo.TZPATH) or _reads(inspect.currentframe())


def _reads(frame: FrameType | None) -> bool:
    """Say whether a file is opened by a module that may, or for the sake of an import."""
    near = 0
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == IMPORTER or (near <= WRAPPERS_MAX and name in READERS):
            return True
        if name == SimulationLoop.__module__:
            return False
        near += 1
        frame = frame.f_back
    return False


def _refusing(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def refuse(self: threading.Thread) -> None:
        loop = _GUARDED.get(threading.get_ident())
        if loop is not None:
            raise loop.leaked("threading.Thread.start")
        start(self)

    return refuse
