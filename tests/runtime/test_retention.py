"""Retention takes what is old with its whole family, and its account names everything that it dropped."""

from typing import Any

import pytest

from casework.protocols.codec import decode_entry, plain
from casework.protocols.records import Noted, Opened
from casework.runtime import retention
from casework.runtime.errors import ArchiveMissing, CaseThere, ContentsDropped, StoreUnavailable
from casework.runtime.retention import account_of, drop_contents, old_cases
from casework.runtime.store.base import CaseKey, Unavailable
from casework.runtime.store.chain import broken_at
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.export_scene import KID, STAFF, finished
from tests.support.flow_scene import KEY, Ask, runtime

LATER = 1 << 60
NOW = 1_800_000_000_000_000


async def dropped(store: MemoryStore, name: str = "a") -> int:
    old = await old_cases(store, "default", LATER)
    return await drop_contents(store, old, account_of(old, before=LATER, by="ann", now=NOW, name=name))


async def names(store: MemoryStore, before: int = LATER) -> list[str]:
    return [each.row.key.case_id for each in await old_cases(store, "default", before)]


async def test_only_what_closed_long_enough_ago_is_old() -> None:
    store = await finished()
    rows = {row.key: row for row in await store.cases()}
    assert rows[KID].changed_at < rows[KEY].changed_at
    assert await names(store) == ["c1", "c1/kid"]
    assert await names(store, rows[KEY].changed_at) == []
    assert await names(store, rows[KEY].changed_at + 1) == ["c1", "c1/kid"]


async def test_a_closed_case_is_kept_while_one_above_it_goes_on() -> None:
    store = MemoryStore()
    async with runtime(STAFF, store) as machine:
        await machine.open("parent", "c1", Ask())
        await machine.wait("c1")
    kid = await store.case(KID)
    assert kid is not None
    assert kid.result == "completed"
    assert await names(store) == []


async def test_other_tenants_are_left_alone() -> None:
    assert await old_cases(await finished(), "somebody", LATER) == []


async def test_what_was_dropped_is_gone_and_everything_still_verifies() -> None:
    store = await finished()
    before = [record.hash for record in await store.records(KEY)]
    frames = len(before) + len(await store.records(KID))
    assert await dropped(store) == frames
    assert [(record.frame, record.hash) for record in await store.records(KEY)] == [(b"", each) for each in before]
    assert await store.reviews() == []
    assert await verify(store) == []


async def test_who_asks_how_a_case_ended_whose_contents_were_dropped_is_told_so() -> None:
    store = await finished()
    await dropped(store)
    async with runtime(STAFF, store) as machine:
        with pytest.raises(ContentsDropped, match="dropped by retention") as told:
            await machine.closed("c1")
    assert (told.value.case_id, told.value.result) == ("c1", "completed")


async def test_the_account_says_who_dropped_what_and_every_head() -> None:
    store = await finished()
    rows = await store.cases()
    await dropped(store)
    key = CaseKey("default", "retention/2027-01-15-a")
    account = await store.case(key)
    assert account is not None
    log = await store.records(key)
    assert broken_at(account, log) is None
    first, note, *_ = (decode_entry(record.frame) for record in log)
    assert isinstance(first, Opened)
    assert plain(first.inputs) == {"before": LATER, "by": "ann"}
    assert isinstance(note, Noted)
    assert note.text.startswith("ann dropped the contents of 2 closed cases")
    heads = [{"case": row.key.case_id, "records": row.next_seq, "head": row.head.hex()} for row in rows]
    assert plain(note.data) == heads


async def test_accounts_are_never_old_and_what_was_dropped_is_not_dropped_again() -> None:
    store = await finished()
    await dropped(store)
    assert await names(store) == []


async def test_an_account_of_very_many_cases_takes_several_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "NAMED_MAX", 1)
    old = await old_cases(await finished(), "default", LATER)
    account = account_of(old, before=LATER, by="ann", now=NOW, name="a")
    assert [(each.kind, each.step_id) for each in account.records] == [
        ("opened", "case"), ("noted", "note#1"), ("noted", "note#2"), ("closed", "case"),
    ]  # fmt: skip


async def test_an_account_that_is_there_already_drops_nothing() -> None:
    store, other = await finished(), await finished()
    await dropped(other)
    account = await other.transfer(CaseKey("default", "retention/2027-01-15-a"))
    assert account is not None
    await store.bring_in([account])
    with pytest.raises(CaseThere, match="retention/2027-01-15-a"):
        await dropped(store)
    assert await names(store) == ["c1", "c1/kid"]


async def test_a_store_that_cannot_do_it_says_so() -> None:
    old = await old_cases(await finished(), "default", LATER)
    account = account_of(old, before=LATER, by="ann", now=NOW, name="a")
    what: Any = type("Plain", (), {"url": "plain:"})()
    with pytest.raises(ArchiveMissing, match="plain:"):
        await drop_contents(what, old, account)
    with pytest.raises(StoreUnavailable, match="no longer there"):
        await drop_contents(MemoryStore(), old, account)


async def test_a_store_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: MemoryStore, keys: object, account: object) -> Unavailable:
        return Unavailable("it is away")

    store = await finished()
    monkeypatch.setattr(MemoryStore, "retain", away)
    with pytest.raises(StoreUnavailable, match="it is away"):
        await dropped(store)
