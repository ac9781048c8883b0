"""Gives the tests of stores what is dear to make, once for all of them."""

import os
from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresMissing, PostgresServer, postgres_server


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
