"""Those who start services, kill them, stop them and look on: processes as their parent has them.

Whatever a service said before it was killed is heard: what it acknowledged counts.
It does not know what its services work on.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.text import TextReceiveStream

from tests.support import chaos_service
from tests.support.chaos_look import PATIENCE_SECONDS, until

SERVICE = Path(chaos_service.__file__)
HOME = Path(__file__).parents[2]


class Service:
    """One service process, from its start to its end."""

    def __init__(self, process: Process, acknowledged: set[int], complaints: Path) -> None:
        self._process = process
        self._complaints = complaints
        self.acknowledged = acknowledged  #: numbers of the cases that any service said it has opened
        self.node = ""  #: its node's name, once it is ready
        self.fenced = 0  #: its fenced appends, when it last was idle
        self._said = anyio.Event()
        self._idle = 0
        self._over = anyio.Event()

    @property
    def alive(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.returncode is None

    async def listen(self, stream: ByteReceiveStream) -> None:
        """Hear what it says until it ends."""
        text = ""
        try:
            async for part in TextReceiveStream(stream):
                *lines, text = (text + part).split("\n")
                for line in lines:
                    self._hear(*line.split())
        finally:
            self._over.set()
            self._said.set()

    def _hear(self, verb: str, word: str) -> None:
        if verb == "opened":
            self.acknowledged.add(int(word))
        elif verb == "ready":
            self.node = word
        else:
            self._idle += 1
            self.fenced = int(word)
        said, self._said = self._said, anyio.Event()
        said.set()

    async def wait_ready(self) -> None:
        """Wait until its node works."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not self.node:
                assert not self._over.is_set(), self._complaint()
                await self._said.wait()

    async def open(self, begin: int, end: int) -> None:
        """Have it open cases `begin` up to `end`; they are acknowledged when that is durable."""
        await self._tell(f"open {begin} {end}")

    async def wait_idle(self) -> None:
        """Have it say that nothing is under way."""
        before = self._idle
        await self._tell("idle")
        with anyio.fail_after(PATIENCE_SECONDS):
            while self._idle == before:
                assert not self._over.is_set(), self._complaint()
                await self._said.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill it, and hear the rest of what it had said."""
        with suppress(ProcessLookupError):
            self._process.kill()
        with anyio.fail_after(PATIENCE_SECONDS):
            assert await self._process.wait() == -signal.SIGKILL, self._complaint()
            await self._over.wait()

    async def wait_acknowledged(self, cases: int) -> None:
        """Wait until so many cases are acknowledged, by whichever service."""

        async def told() -> bool:
            assert self.alive, self._complaint()
            return len(self.acknowledged) >= cases

        await until(told)

    async def end(self) -> None:
        """Have it end in good order."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with anyio.fail_after(PATIENCE_SECONDS):
            assert await self._process.wait() == 0, self._complaint()

    def _complaint(self) -> str:
        return f"a service ended by itself ({self._process.returncode}): {self._complaints.read_text()[-4_000:]}"

    async def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send(f"{line}\n".encode())


@asynccontextmanager
async def service(url: str, bank: str, acknowledged: set[int]) -> AsyncIterator[Service]:
    """Have a service process; whatever is left of it after the block is killed."""
    paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(SERVICE), url, bank]
    complaints = Path(bank).with_name("complaints")
    with complaints.open("ab") as errors:
        process = await anyio.open_process(command, env=environment, stderr=errors)
    async with process:
        found = Service(process, acknowledged, complaints)
        try:
            async with anyio.create_task_group() as group:
                assert process.stdout is not None
                group.start_soon(found.listen, process.stdout)
                yield found
                group.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
