"""Gives the tests of stores what is dear to make, once for all of them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The server stands with the benchmarks, which start it as well and import nothing of the tests.
sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from postgres_server import PostgresMissing, PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that runs; the tests that need it are skipped where it cannot be had, but never in CI."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as error:
        if os.environ.get("CI", "") not in {"", "0", "false"}:
            pytest.fail(str(error))
        pytest.skip(str(error))
