"""A store that is older than its owner remembers: it is noticed, nothing has an effect, and a person lets it go on."""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from store_support import TENANT, arrived, claimed, evidence, note, parked

from casework.protocols.records import Arrived, Halted
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store import sqlite_upkeep
from casework.runtime.store.base import Append, Appended, CaseRow, CaseStatus, Store, WaitKind
from casework.runtime.store.generation import ACCEPTED, HALTED, OLDER, Head, accept, objection
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify
from tests.support.flow_scene import Ask, crew, entries, runtime
from tests.support.small_staff import SmallStaff, SmallTool

pytestmark = pytest.mark.promise("STORE-19")

NOW = 1_800_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cases.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite:///{path}", World())
    try:
        yield store
    finally:
        await store.aclose()


async def pays(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    await case.call("pay", {"n": inputs.n}, returns=int)
    return inputs.n


async def _pay(arguments: object) -> object:
    return 1


def payers() -> SmallStaff:
    return crew(pays, tools={"pay": SmallTool(_pay, RiskTier.IRREVERSIBLE)})


async def paid(machine: Runtime, case_id: str) -> CaseRow:
    """Say that a case may go, and give it once it rests."""
    await machine.deliver(case_id, key="go", by="test")
    return await machine.wait(case_id)


async def test_a_restored_backup_has_no_effect_until_a_person_accepts_it(path: Path) -> None:
    url, staff = f"sqlite:///{path}", payers()
    with anyio.fail_after(10):
        async with runtime(staff, url) as machine:
            await machine.open("pays", "c1", Ask(7))
            await machine.wait("c1")
        shutil.copy(path, path.with_name("backup.db"))
        async with runtime(staff, url) as machine:
            assert (await paid(machine, "c1")).status is CaseStatus.CLOSED
        assert len(staff.performed) == 1

        shutil.copy(path.with_name("backup.db"), path)
        async with runtime(staff, url) as machine:
            row = await paid(machine, "c1")
            assert (row.status, row.waits[0].kind) == (CaseStatus.PARKED, WaitKind.OPERATOR)
            assert row.waits[0].reason.startswith(f"{OLDER}: it has 2 records, and had ")
            assert "casework store accept" in row.waits[0].reason
            # Neither does what is new: it may be what was opened before, and lost.
            await machine.open("pays", "c2", Ask(8))
            assert (await machine.wait("c2")).waits[0].kind is WaitKind.OPERATOR
        # To try a case again is not to accept the store.
        async with runtime(staff, url) as machine:
            await machine.deliver("operator:c1", by="test", message_id="again")
            assert (await machine.wait("c1")).waits[0].kind is WaitKind.OPERATOR
        assert len(staff.performed) == 1

        async with opened(path) as store:
            keys = await accept(store, by="ann", now=NOW, generation="g2")
            assert [key.case_id for key in keys or ()] == ["c1", "c2"]
            assert (await store.setting(ACCEPTED) or "").startswith(f"ann at {NOW}: {OLDER}")
            assert await accept(store, by="bob", now=NOW, generation="g3") is None
        async with runtime(staff, url) as machine:
            row = await machine.wait("c1")
            assert row.status is CaseStatus.CLOSED
            assert [entry.by for entry in await entries(machine.store, Arrived)][-1] == "ann"
            assert len(await entries(machine.store, Halted)) == 2
            assert (await machine.wait("c2")).waits[0].key == "go"
            assert await verify(machine.store) == []
        # What was done again was done with the key that it had: whoever honours keys has done it once.
        assert len({key for _, _, key in staff.performed}) == 1


async def halted(path: Path) -> str:
    async with opened(path) as store:
        return await store.setting(HALTED) or ""


async def grown(path: Path, cases: int = 1) -> None:
    """Make a store, or one more case in it."""
    async with opened(path) as store:
        for number in range(cases):
            await parked(store, f"{len(await store.cases())}-{number}", evidence("receipt"))


class KilledError(Exception):
    """The process that accepts is killed."""


def remembers_until(store: Store, last: str) -> Callable[[str, str], Awaitable[None]]:
    """Give what has a store remember settings until one, at which its process is killed."""
    remember = store.remember

    async def killed(name: str, value: str) -> None:
        if name == last:
            raise KilledError
        await remember(name, value)

    return killed


async def test_a_store_that_went_on_is_the_one_that_its_owner_remembers(path: Path) -> None:
    for _ in range(3):
        await grown(path)
        assert await halted(path) == ""


async def test_an_older_store_stays_halted_until_it_is_accepted_though_it_grows(path: Path) -> None:
    await grown(path)
    shutil.copy(path, path.with_name("backup.db"))
    await grown(path)
    shutil.copy(path.with_name("backup.db"), path)
    async with opened(path) as store:
        for number in range(9):
            await parked(store, f"new{number}", evidence("receipt"))
    assert OLDER in await halted(path)
    async with opened(path) as store:
        assert await accept(store, by="ann", now=NOW, generation="g2") == []
    await grown(path)
    assert await halted(path) == ""
    # What was accepted is another history: the store from before is now the wrong one.
    shutil.copy(path.with_name("backup.db"), path)
    assert "another one" in await halted(path)


async def test_who_accepts_and_is_killed_before_that_is_remembered_is_not_asked_for_another_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(path)
    shutil.copy(path, path.with_name("backup.db"))
    await grown(path)
    shutil.copy(path.with_name("backup.db"), path)
    memory = path.with_name("cases.db.generation")
    before = memory.read_bytes()
    async with opened(path) as store:
        with monkeypatch.context() as killed:
            killed.setattr(store, "remember", remembers_until(store, HALTED))
            with pytest.raises(KilledError):
                await accept(store, by="ann", now=NOW, generation="g2")
    assert "it has 2 records, and had 4" in await halted(path)
    async with opened(path) as store:
        assert await accept(store, by="ann", now=NOW, generation="g3") == []
    memory.write_bytes(before)
    assert await halted(path) == ""


async def test_a_store_that_lost_only_messages_is_older_too(path: Path) -> None:
    await grown(path)
    shutil.copy(path, path.with_name("backup.db"))
    async with opened(path) as store:
        await store.deliver(TENANT, "receipt", "m1", arrived())
    shutil.copy(path.with_name("backup.db"), path)
    assert "it has had 0 messages, and had 1" in await halted(path)


async def test_another_branch_of_the_same_store_is_noticed_though_it_is_longer(path: Path) -> None:
    await grown(path)
    elsewhere = path.with_name("elsewhere.db")
    shutil.copy(path, elsewhere)
    await grown(path)
    async with opened(elsewhere) as store:
        await parked(store, "not the same", evidence("other"))
    await grown(elsewhere, 2)
    shutil.copy(elsewhere, path)
    assert OLDER in await halted(path)


async def test_a_file_made_anew_where_one_is_remembered_is_halted(path: Path) -> None:
    await grown(path)
    os.unlink(path)
    assert "made anew" in await halted(path)


async def test_without_a_memory_nothing_is_noticed(path: Path) -> None:
    await grown(path)
    shutil.copy(path, path.with_name("backup.db"))
    await grown(path)
    shutil.copy(path.with_name("backup.db"), path)
    path.with_name("cases.db.generation").unlink()
    assert await halted(path) == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"generation": 1}', bytes(range(256))])
async def test_a_memory_that_cannot_be_read_halts_the_store(path: Path, content: bytes) -> None:
    await grown(path)
    path.with_name("cases.db.generation").write_bytes(content)
    assert "cannot be read" in await halted(path)


async def test_a_memory_that_cannot_be_written_costs_nothing_but_itself(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.with_name("cases.db.generation.new").mkdir()
    await grown(path)
    assert not path.with_name("cases.db.generation").exists()
    assert "may not be noticed" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING
    assert await halted(path) == ""


async def test_the_head_is_remembered_now_and_then_while_a_store_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "REMEMBER_COMMITS", 10)
    memory = path.with_name("cases.db.generation")
    async with opened(path) as store:
        row = await claimed(store, "c")
        before = memory.read_bytes()
        for seq in range(1, 20):
            assert await store.append(Append(row.key, 1, seq, (note(seq),))) == Appended()
        assert memory.read_bytes() != before


A = Head("g", 5, "aa", 2)


@pytest.mark.parametrize(
    ("found", "last_there", "past", "says"),
    [
        (A, "aa", "", ""),
        (Head("g", 9, "bb", 3), "aa", "", ""),
        (Head("h", 9, "bb", 3), "aa", "", "another one"),
        (Head("h", 9, "bb", 3), "aa", "f", "another one"),
        (Head("h", 4, "bb", 1), "", "f g", ""),
        (Head("g", 4, "cc", 3), "", "f g", "it has 4 records, and had 5"),
        (Head("g", 9, "bb", 3), "dd", "", "record 5 of it is not the one"),
        (Head("g", 9, "bb", 1), "aa", "", "it has had 1 messages, and had 2"),
    ],
)
def test_what_is_remembered_must_be_a_part_of_what_is_found(found: Head, last_there: str, past: str, says: str) -> None:
    said = objection(A, found, last_there, past)
    assert says in said
    assert bool(said) == bool(says)
