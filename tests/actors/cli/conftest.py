"""What tests of the command share: a desk, and a process that owns its store."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_desk import Desk, until_closed_brace


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def served(desk: Desk) -> Iterator[str]:
    """A process that owns the store and works on it; gives the URL of its metrics."""
    desk.put(fine="ok", late="wait", unclear="ask")
    desk.run()
    with desk.start("serve", "tiny_crew:crew", "--port", "0", "--json") as process:
        yield until_closed_brace(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
