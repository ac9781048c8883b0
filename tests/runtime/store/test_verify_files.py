"""A delivered file that a case names is missed by `verify`, in a SQLite file and in PostgreSQL alike.

What becomes of a file with other bytes is told where every column is changed.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from postgres_server import PostgresServer

from casework.protocols.codec import digest, encode, pack
from casework.protocols.records import Arrived, Noted
from casework.protocols.wire import Evidence
from casework.runtime.flow.case import Case
from casework.runtime.retention import account_of, drop_contents, old_cases
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseKey, Record
from casework.runtime.store.evidence import files_named
from casework.runtime.store.inspection import Inspected
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import Finding
from tests.support.findings_of import told
from tests.support.flow_scene import Ask, crew, runtime

NUMBERS = count()
PAPERS = {"first": b"a receipt", "second": b"another receipt"}
FILES = {name: digest(data).hex() for name, data in PAPERS.items()}
LATER = 1 << 60


class Kept(NamedTuple):
    """A store, and a way to change it behind its owner's back."""

    url: str
    execute: Callable[[str], object]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "sqlite":
        path = tmp_path / "kept.db"
        return Kept(f"sqlite:///{path}", lambda statement: changed(path, statement))
    postgres: PostgresServer = request.getfixturevalue("postgres")
    schema = f"files_{next(NUMBERS)}"
    return Kept(postgres.url(schema), lambda statement: postgres.psql(f"SET search_path = {schema}; {statement}"))


def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def waits(case: Case, inputs: Ask) -> None:
    await case.park("paper", reason="waits for a paper")


@asynccontextmanager
async def working(url: str) -> AsyncIterator[Runtime]:
    async with runtime(crew(waits), url) as machine:
        yield machine
        await machine.wait_idle()


async def deliver(url: str, *names: str) -> None:
    """Open a case for each paper and end it by that paper."""
    async with working(url) as machine:
        for name in names:
            await machine.open("waits", name, Ask(0))
            await machine.deliver(name, key="paper", by="ann", data=PAPERS[name], label=name)
            await machine.closed(name)


def about(case_id: str, seq: int, name: str) -> Finding:
    why = f"it names delivered file {FILES[name]}, which is not in the store"
    return Finding(CaseKey("default", case_id), seq, why)


@pytest.mark.promise("STORE-8")
async def test_each_delivered_file_that_is_gone_is_told_with_its_case(kept: Kept) -> None:
    await deliver(kept.url, "first", "second")
    assert await told(kept.url) == []
    kept.execute(f"DELETE FROM artifact WHERE sha256 = '{FILES['second']}'")
    [finding] = await told(kept.url)
    assert finding == about("second", finding.seq, "second")
    kept.execute("DELETE FROM artifact")
    assert [each.key.case_id for each in await told(kept.url)] == ["first", "second"]


@pytest.mark.promise("STORE-8")
async def test_a_file_that_only_an_unread_message_names_is_missed_as_well(kept: Kept) -> None:
    async with working(kept.url) as machine:
        await machine.open("waits", "first", Ask(0))
        await machine.wait("first")
    store = await open_store(kept.url, World())
    evidence = Evidence(ref=f"artifact:{FILES['first']}", sha256=FILES["first"])
    frame = encode(Arrived(key="paper", message_id="m", by="ann", evidence=evidence))
    await store.put_artifact(FILES["first"], PAPERS["first"])
    await store.deliver("default", "first", "m", frame)
    length = (await store.records(CaseKey("default", "first")))[-1].seq
    await store.aclose()
    assert await told(kept.url) == []
    kept.execute("DELETE FROM artifact")
    assert await told(kept.url) == [about("first", length, "first")]


async def test_a_file_that_is_gone_is_there_again_once_it_is_delivered_again(kept: Kept) -> None:
    await deliver(kept.url, "first")
    kept.execute("DELETE FROM artifact")
    assert await told(kept.url)
    async with working(kept.url) as machine:
        await machine.deliver("first", key="paper", by="ann", data=PAPERS["first"])
    assert await told(kept.url) == []


async def test_cases_whose_contents_were_dropped_name_nothing_that_could_be_missed(kept: Kept) -> None:
    await deliver(kept.url, "first")
    store = await open_store(kept.url, World())
    old = await old_cases(store, "default", LATER)
    await drop_contents(store, old, account_of(old, before=LATER, by="ann", now=1, name="a"))
    await store.aclose()
    kept.execute("DELETE FROM artifact")
    assert await told(kept.url) == []


async def test_a_text_that_speaks_of_a_file_which_was_never_delivered_is_no_finding(kept: Kept) -> None:
    async with working(kept.url) as machine:
        await machine.open("waits", "first", Ask(0))
        text = f'artifact:{"0" * 64}, or {{"ref": "artifact:{"1" * 64}", "sha256": "{"1" * 64}"}}'
        await machine.deliver("first", key="paper", by="ann", value=text)
        await machine.closed("first")
    assert await told(kept.url) == []


async def test_a_store_names_of_very_many_files_those_that_it_has_not(kept: Kept) -> None:
    await deliver(kept.url, "first")
    names = [digest(str(number).encode()).hex() for number in range(2_000)]
    reader = await open_reader(kept.url, World())
    try:
        assert isinstance(reader, Inspected)
        assert sorted(await reader.missing([*names, FILES["first"]])) == sorted(names)
        assert await reader.missing([]) == []
    finally:
        await reader.aclose()


async def test_evidence_is_found_in_whatever_it_was_handed_on(tmp_path: Path) -> None:
    evidence = Evidence(ref=f"artifact:{FILES['first']}", sha256=FILES["first"], label="a.pdf")
    as_map = {"ref": evidence.ref, "sha256": evidence.sha256, "label": "a.pdf"}
    other = Evidence(ref=f"artifact:{FILES['second']}", sha256=FILES["first"])
    await deliver(f"sqlite:///{tmp_path}/a.db", "first")
    reader = await open_reader(f"sqlite:///{tmp_path}/a.db", World())
    row = await reader.case(CaseKey("default", "first"))
    await reader.aclose()
    assert row is not None
    for data, named in ((evidence, True), ([1, (evidence,)], True), (as_map, True), (other, False), ("x", False)):
        frame = encode(Noted(text="", data=pack(data)))
        record = Record(seq=7, epoch=1, kind="noted", step_id="s", at=1, frame=frame)
        assert files_named(Transfer(row, (record,))) == ({FILES["first"]: 7} if named else {})
