"""A task that is held when its process is killed goes on in another one, for longer than it had of its own."""

import os
import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from casework.protocols.codec import decode_entry
from casework.protocols.wire import Task
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey
from casework.runtime.store.urls import open_reader
from tests.support import held_service

#: Seconds that the second process is ahead of the first one.
AHEAD = 5 * 3_600


@pytest.mark.promise("GUARD-6")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_was_paused_when_its_process_was_killed_goes_on_hours_after_its_first_deadline(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}/src:{os.getcwd()}"}
    command = [sys.executable, held_service.__file__, url]
    with anyio.fail_after(50):
        async with await anyio.open_process([*command, "0", "hold"], env=environment, stderr=None) as process:
            assert process.stdout is not None
            assert (
                await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 200) == b"parked switch:tool:rate"
            )
            process.kill()
            await process.wait()
        ended = await anyio.run_process([*command, str(AHEAD), "let"], env=environment, stderr=None)
        assert ended.stdout == b"closed completed\n"
        reader = await open_reader(url, World())
        entries = [decode_entry(record.frame) for record in await reader.records(CaseKey("default", "c1"))]
        await reader.aclose()
    given, again = (entry for entry in entries if isinstance(entry, Task))
    assert 0 <= (again.deadline - given.deadline) - AHEAD * MICROS < 60 * MICROS
