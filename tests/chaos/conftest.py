"""Gives the short chaos runs their server and their folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The server stands with the benchmarks, which start it as well and import nothing of the tests.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from postgres_server import PostgresMissing, PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that may be taken away; skipped where it cannot be had, but never in CI."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as error:
        if os.environ.get("CI", "") not in {"", "0", "false"}:
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
