"""A draw or a settlement whose commit is in doubt is asked for again, and counts once."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer
from store_support import NOW, claimed, key_of, note

from casework.runtime.ledger import broken_at, tally
from casework.runtime.seams import World
from casework.runtime.store.accounts import Account, Draw, Drawn, Settlement
from casework.runtime.store.base import Append, Appended, Store, Unknown
from casework.runtime.store.sqlite_writer import POINT_COMMIT_AFTER, POINT_COMMIT_BEFORE
from casework.runtime.store.urls import open_store

NUMBERS = count()
NAME = "tenant/acme"
DRAW = Draw("acme/c/pay#1", (NAME,), 60, 1, NOW)


class Break:
    """Fails at one named point, as a disk does and as a connection does."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.at = ""
        self._error = error

    def point(self, name: str) -> None:
        if name == self.at:
            raise self._error()


def failing_disk() -> Exception:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def breaking(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Break]:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cases.db", Break(failing_disk)
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(f"doubt_{next(NUMBERS)}"), Break(lambda: ConnectionResetError("the cable was pulled"))


@asynccontextmanager
async def opened(url: str, faults: Break | None = None) -> AsyncIterator[Store]:
    store = await open_store(url, World(faults=faults))
    try:
        with anyio.fail_after(30):
            yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize("point", [POINT_COMMIT_BEFORE, POINT_COMMIT_AFTER])
async def test_a_draw_in_doubt_is_drawn_again_and_counts_once(breaking: tuple[str, Break], point: str) -> None:
    url, faults = breaking
    async with opened(url, faults) as store:
        assert isinstance(await store.set_limit(NAME, 100, by="ann", at=NOW), Account)
        faults.at = point
        assert isinstance(await store.draw(DRAW), Unknown)
    async with opened(url) as store:
        assert await store.draw(DRAW) == Drawn(DRAW.id)
        entries = await store.ledger(NAME)
        account = await store.account(NAME)
        assert account is not None
        assert broken_at(account, entries) is None
        assert tally(entries).open == {DRAW.id: 60}


@pytest.mark.parametrize("point", [POINT_COMMIT_BEFORE, POINT_COMMIT_AFTER])
async def test_a_settlement_in_doubt_stands_or_falls_with_its_append(breaking: tuple[str, Break], point: str) -> None:
    url, faults = breaking
    async with opened(url, faults) as store:
        await store.set_limit(NAME, 100, by="ann", at=NOW)
        row = await claimed(store, "c")
        assert await store.draw(DRAW) == Drawn(DRAW.id)
        settles = (Settlement(DRAW.id, 20, NOW + 1),)
        faults.at = point
        assert isinstance(await store.append(Append(row.key, 1, 1, (note(1),), settles=settles)), Unknown)
    async with opened(url) as store:
        there = await store.case(key_of("c"))
        assert there is not None
        settled = tally(await store.ledger(NAME)).settled
        assert settled == ({DRAW.id: 20} if there.next_seq == 2 else {})
        await store.renew("node-2", until=NOW + 100_000)
        (given,) = (await store.claim("node-2", limit=1, now=NOW + 5_000)).cases
        seq = given.row.next_seq
        again = Append(row.key, given.row.epoch, seq, (note(seq, given.row.epoch),), settles=settles)
        assert await store.append(again) == Appended()
        assert tally(await store.ledger(NAME)).settled == {DRAW.id: 20}
