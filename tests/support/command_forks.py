"""Starts commands as forks of a process that has imported the command: processes of their own, without the imports.

Whether the command starts from nothing is seen by tests that start it so: what Python itself takes from the environment
when it starts, such as encodings, is here the tests' own. It does not know what a command does.
"""

import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Final

_SERVER: Final = "from tests.support.command_forks import become_asked; become_asked()"
_COMMAND: Final = "import sys; from casework.actors.cli import main; sys.exit(main())"
#: Packages that only some commands import, and late.
_LATE: Final = ("cyclopts.help", "rich.markdown", "opentelemetry.sdk.trace", "casework.runtime.runtime")
_ROOT: Final = Path(__file__).parents[2]
#: Processes that fork, each with a seed of its own for its hashes.
SERVERS: Final = 2


class CommandForks:
    """A process that has imported the command, and forks for each that is asked for, one at a time."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair()
        path = [str(_ROOT / "src"), str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{_SERVER}; {_COMMAND}", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                stdin=subprocess.DEVNULL,
                # As in each fork: what a stream can do is seen once, at the start.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
        self._turn = threading.Lock()

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without anything to read; `timeout` is in seconds.

        Raises:
            TimeoutExpired: it took longer, and was killed.
        """
        asked = json.dumps({"arguments": arguments, "cwd": str(cwd), "environ": dict(environ)})
        with self._turn, ThreadPoolExecutor(2) as readers:
            texts = []
            with ExitStack() as writing:
                ends = []
                for _ in range(2):
                    reading, end = os.pipe()
                    ends.append(writing.enter_context(os.fdopen(end, "w")).fileno())
                    texts.append(readers.submit(_whole, reading))
                socket.send_fds(self._link, [f"{asked}\n".encode()], ends)
                pid = self._told("pid")
            code = self._ended(pid, timeout)
            if code is None:
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            out, err = (text.result() for text in texts)
        return subprocess.CompletedProcess(list(arguments), code, out, err)

    def _ended(self, pid: int, timeout: float) -> int | None:
        """Wait until a command has ended, and give its code; None if it had to be killed."""
        try:
            late = not select.select([self._link], [], [], timeout)[0]
            if late:
                os.kill(pid, signal.SIGKILL)
            code = self._told("code")
        except BaseException:
            # Whoever asks next would be told of this one.
            self._process.kill()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise
        return None if late else code

    def _told(self, what: str) -> int:
        """Read to the end of a line and no further, so that `select` sees whatever comes after it."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self._link.recv(1)
            if not byte:
                raise RuntimeError(f"the process that forks commands has ended: {self._process.communicate()}")
            line += byte
        said, _, number = line.decode().partition(" ")
        assert said == what, f"{line!r} where {what} was to come"
        return int(number)

    @property
    def alive(self) -> bool:
        """Tell whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        self._link.close()
        self._process.communicate()


def command_forks() -> CommandForks:
    """Give one of two in turn, which end with this process: what a set's order is may differ from start to start."""
    while _servers and not _servers[0].alive:
        _servers.popleft()
    if len(_servers) < SERVERS:
        _servers.append(CommandForks())
        atexit.register(_servers[-1].close)
    else:
        _servers.rotate(-1)
    return _servers[-1]


_servers: Final = deque[CommandForks]()


def become_asked() -> None:
    """Import the command, and fork whenever one is asked for; returns in each fork, which is then that command."""
    link = socket.socket(fileno=int(sys.argv[1]))
    package = import_module("casework.actors.cli")
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        import_module(each.name)
    for name in _LATE:
        import_module(name)
    gc.freeze()
    while True:
        data, files, _, _ = socket.recv_fds(link, 1 << 16, 2)
        while data and not data.endswith(b"\n"):
            data += link.recv(1 << 16)
        if not data:
            raise SystemExit
        pid = os.fork()
        if not pid:
            link.close()
            _become(json.loads(data), files)
            return
        for file in files:
            os.close(file)
        link.sendall(f"pid {pid}\n".encode())
        link.sendall(f"code {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())


def _whole(file: int) -> str:
    with os.fdopen(file) as opened:
        return opened.read()


def _become(asked: Mapping[str, object], files: Sequence[int]) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(str(asked["cwd"]))
    environ, arguments = asked["environ"], asked["arguments"]
    assert isinstance(environ, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = arguments
