"""Seeds run by worker processes: chunk by chunk, as many side by side as there are jobs.

A worker that ends before its work is done is told of with the seed that it ran, and another one goes on with the rest;
where that happens again and again, the rest is given up. It does not know what becomes of what a seed has shown.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, TypeAlias, final

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.seed_worker import Ask, Ended, Overran, Said
from casework.actors.simulation.report import SeedReport, Violation
from casework.runtime.simulation.plan import draw_plan

#: Seeds that a worker is asked for at a time at most: so many are lost to others if it takes long.
CHUNK_MAX: Final = 8
#: Workers that may end before their work is done, in one run.
DEATHS_MAX: Final = 5
#: Bytes of one answer at most: the timeline of a long run.
ANSWER_BYTES_MAX: Final = 256 << 20
#: Seconds beyond its own limit after which a worker that says nothing is ended.
PATIENCE_SECONDS: Final = 30.0
#: Seconds in which a worker that is no longer asked must have ended.
GRACE_SECONDS: Final = 5.0
#: Name of what does not hold where the process of a run ended.
DIED: Final = "process_ended"

#: Hears what became of a seed, and the seconds of processor time that it took.
Heard: TypeAlias = Callable[[SeedReport, float], None]


class _Gone(Exception):
    """A worker has ended, or was ended."""

    def __init__(self, seed: int | None, why: str) -> None:
        super().__init__(why)
        self.seed = seed
        self.why = why


@final
class Worker:
    """One worker process, started when it is needed and again when it has died."""

    def __init__(self, crew: str, folder: Path) -> None:
        self._crew = crew
        self._folder = folder
        self._process: Process | None = None
        self._lines: BufferedByteReceiveStream | None = None
        self._served = False  # whether this process has run a seed

    async def run(self, ask: Ask, heard: Heard) -> int:
        """Have seeds run, and what became of each heard; gives how many were, fewer than all if the process ended.

        Raises:
            Quit: the process ended before it ran anything.

        If cancelled, the process is killed.
        """
        done = 0

        def count(report: SeedReport, cpu_seconds: float) -> None:
            nonlocal done
            done += 1
            heard(report, cpu_seconds)

        try:
            await self._converse(ask, count)
        except _Gone as gone:
            await self.kill()
            if gone.seed is None and not self._served:
                raise Quit(Exit.USAGE, f"a worker process ended before its first seed: {gone.why}") from gone
            if gone.seed is None:
                return done
            plan = ask.plan or draw_plan(gone.seed)
            violation = Violation(DIED, "", f"the process of the run ended: {gone.why}")
            count(SeedReport(seed=gone.seed, plan=plan, violations=(violation,)), 0.0)
        except BaseException:
            await self.kill()
            raise
        return done

    async def kill(self) -> None:
        """End the process at once, if there is one, whoever is cancelled."""
        process, self._process = self._process, None
        if process is not None:
            with anyio.CancelScope(shield=True):
                with suppress(ProcessLookupError):
                    process.kill()
                await process.aclose()

    async def aclose(self) -> None:
        """Ask no more, and wait until the process has ended; it is killed where it does not, or if cancelled."""
        process = self._process
        if process is None:
            return
        try:
            assert process.stdin is not None, "it was started with one"
            await process.stdin.aclose()
            with anyio.move_on_after(GRACE_SECONDS):
                await process.wait()
        finally:
            await self.kill()

    async def _converse(self, ask: Ask, heard: Heard) -> None:
        begun: int | None = None
        try:
            process, lines = await self._started()
            assert process.stdin is not None, "it was started with one"
            await process.stdin.send(msgspec.json.encode(ask) + b"\n")
            for _ in range(ask.count):
                while not isinstance(said := await _next(lines, ask), Ended):
                    if isinstance(said, Overran):
                        raise _Gone(begun, f"the seed took more than {ask.seconds_max} s; it was at {said.where}")
                    begun = said.seed
                begun, self._served = None, True
                heard(said.report, said.cpu_seconds)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as error:
            raise _Gone(begun, await self._end()) from error
        except TimeoutError as error:
            raise _Gone(begun, f"the seed took more than {ask.seconds_max} s, and nobody knows where it was") from error

    async def _started(self) -> tuple[Process, BufferedByteReceiveStream]:
        if self._process is None or self._lines is None:
            # A session of its own: an interrupt from the keyboard is for the process that asks.
            self._process = await anyio.open_process(
                [sys.executable, "-P", "-m", "casework.actors.cli.seed_worker", self._crew],
                stderr=None,
                cwd=self._folder,
                start_new_session=True,
            )
            assert self._process.stdout is not None, "it was started with one"
            self._served = False
            self._lines = BufferedByteReceiveStream(self._process.stdout)
        return self._process, self._lines

    async def _end(self) -> str:
        """Say how the process ended."""
        process = self._process
        assert process is not None, "it was asked"
        code = await process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def _next(lines: BufferedByteReceiveStream, ask: Ask) -> Said:
    with anyio.fail_after(ask.seconds_max + PATIENCE_SECONDS):
        line = await lines.receive_until(b"\n", ANSWER_BYTES_MAX)
    said: Said = msgspec.json.decode(line, type=Said)
    return said


@final
class Crowd:
    """Workers side by side."""

    def __init__(self, crew: str, folder: Path, jobs: int) -> None:
        self.jobs = jobs
        self.deaths = 0
        """Processes that ended before their work was done."""
        self._crew = crew
        self._folder = folder

    async def run(self, ask: Ask, heard: Heard) -> bool:
        """Have all seeds of `ask` run, in any order; False if the rest was given up, as one process after another died.

        Raises:
            Quit: no process can run anything.

        If cancelled, the processes are killed, and what was heard so far is all.
        """
        chunks = deque(_chunks(ask, self.jobs))

        async def work(worker: Worker) -> None:
            while chunks and self.deaths < DEATHS_MAX:
                chunk = chunks.popleft()
                died = False

                def hear(report: SeedReport, cpu_seconds: float) -> None:
                    nonlocal died
                    died = died or any(each.invariant == DIED for each in report.violations)
                    heard(report, cpu_seconds)

                done = await worker.run(chunk, hear)
                self.deaths += died
                if done < chunk.count:
                    rest = msgspec.structs.replace(chunk, first=chunk.first + done, count=chunk.count - done)
                    chunks.appendleft(rest)

        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            for _ in range(min(self.jobs, len(chunks))):
                worker = Worker(self._crew, self._folder)
                stack.push_async_callback(worker.aclose)
                group.start_soon(work, worker)
        return not chunks


def _chunks(ask: Ask, jobs: int) -> list[Ask]:
    """Cut seeds into chunks that keep all jobs busy to the end."""
    size = max(1, min(CHUNK_MAX, ask.count // (jobs * 4)))
    starts = range(ask.first, ask.first + ask.count, size)
    end = ask.first + ask.count
    return [msgspec.structs.replace(ask, first=first, count=min(size, end - first)) for first in starts]


def cores() -> int:
    """Say how many processes may run side by side here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
