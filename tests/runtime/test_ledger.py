"""What the entries of a ledger come to, and every change of one that is found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from store_support import NOW, claimed, note

from casework.runtime.ledger import Tally, broken_at, tally
from casework.runtime.seams import World
from casework.runtime.store.accounts import Account, Draw, EntryKind, LedgerEntry, Settlement, draw_id
from casework.runtime.store.base import Append, Appended, CaseKey
from casework.runtime.store.ledger_rules import account_fault, with_draw, with_limit, with_settlement
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify

NAME = "tenant/acme"


def written() -> tuple[Account, list[LedgerEntry]]:
    """Write a ledger: a limit, two draws of which one is settled, and another limit."""
    entries: list[LedgerEntry] = []
    account, entry = with_limit(Account(NAME), 100, by="ann", at=NOW)
    entries.append(entry)
    for id_ in ("d1", "d2"):
        account, entry = with_draw(account, Draw(id_, (NAME,), 40, 1, NOW + 1))
        entries.append(entry)
    account, entry = with_settlement(account, Settlement("d1", 55, NOW + 2), drawn=40, epoch=2)
    entries.append(entry)
    account, entry = with_limit(account, 90, by="bob", at=NOW + 3)
    return account, [*entries, entry]


def test_entries_come_to_what_was_spent_is_reserved_and_is_left() -> None:
    account, entries = written()
    total = tally(entries)
    assert (total.limit, total.spent, total.reserved, total.left) == (90, 55, 40, -5)
    assert (total.open, total.settled) == ({"d2": 40}, {"d1": 55})
    assert (account.limit_micros, account.spent_micros, account.reserved_micros) == (90, 55, 40)
    assert account.left_micros == -5
    assert broken_at(account, entries) is None


def test_nothing_comes_to_nothing() -> None:
    assert tally(()) == Tally()
    assert broken_at(Account(NAME), ()) is None


FIELDS = {"seq": 9, "kind": EntryKind.LIMIT, "micros": 41, "at": NOW, "draw_id": "d3", "epoch": 7, "by": "eve"}


@pytest.mark.parametrize("field", FIELDS)
def test_any_changed_field_of_an_entry_is_found_there(field: str) -> None:
    account, entries = written()
    entries[2] = msgspec.structs.replace(entries[2], **{field: FIELDS[field]})
    broken = broken_at(account, entries)
    assert broken is not None
    assert broken[0] == 2


def test_any_entry_that_is_missing_or_at_another_place_is_found() -> None:
    account, entries = written()
    for place in range(len(entries)):
        assert broken_at(account, [*entries[:place], *entries[place + 1 :]]) is not None
        assert broken_at(account, entries[:place]) is not None
    swapped = [entries[0], entries[2], entries[1], *entries[3:]]
    assert broken_at(account, swapped) == (1, "entry 1 is missing")


@pytest.mark.parametrize("field", ["limit_micros", "spent_micros", "reserved_micros", "next_seq"])
def test_an_account_that_says_something_else_than_its_entries_is_found(field: str) -> None:
    account, entries = written()
    assert broken_at(msgspec.structs.replace(account, **{field: 3}), entries) is not None


def test_a_ledger_that_is_chained_well_but_that_no_store_can_have_written_is_found() -> None:
    account, entries = written()
    for draw, why in (
        (Draw("d1", (NAME,), 1, 1, NOW), "it draws under an id that was drawn before"),
        (Draw("d9", (NAME,), 50, 1, NOW), "it draws 50 micros where -5 were left"),
    ):
        after, entry = with_draw(account, draw)
        assert broken_at(after, [*entries, entry]) == (5, why)
    after, entry = with_settlement(account, Settlement("d1", 5, NOW), drawn=40, epoch=1)
    assert broken_at(after, [*entries, entry]) == (5, "it settles a draw that is not open")


def test_no_two_steps_of_whatever_tenants_share_a_draw_id() -> None:
    keys = (CaseKey("a", "b/c"), CaseKey("a/b", "c"), CaseKey("a", "b%2Fc"), CaseKey("a%2Fb", "c"))
    assert len({draw_id(key, "pay#1") for key in keys}) == len(keys)
    assert draw_id(CaseKey("acme", "2026-Q1"), "branch/pay#1") == "acme/2026-Q1/branch/pay#1"


TAMPERED = {
    "UPDATE ledger SET micros = 41 WHERE seq = 1": (1, "the entry or one before it was changed"),
    "UPDATE ledger SET \"by\" = 'eve' WHERE seq = 0": (0, "the entry or one before it was changed"),
    "UPDATE ledger SET at = 'soon' WHERE seq = 1": (1, "the entry holds values that were never written"),
    "DELETE FROM ledger WHERE seq = 1": (1, "entry 1 is missing"),
    "DELETE FROM ledger WHERE seq = 2": (2, "the ledger ends here, but the account says it has 3 entries"),
    "UPDATE account SET spent_micros = 0": (
        2,
        "the account says (100, 0, 0) of limit, spent and reserved, and its entries come to something else",
    ),
    "UPDATE account SET head = zeroblob(32)": (2, "the account's head is not the hash of its last entry"),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("statement", TAMPERED)
async def test_whoever_changes_a_ledger_in_its_file_is_found_out(tmp_path: Path, statement: str) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"
    store = await open_store(url, World())
    await store.set_limit(NAME, 100, by="ann", at=NOW)
    row = await claimed(store, "c")
    await store.draw(Draw("d1", (NAME,), 40, 1, NOW))
    settles = (Settlement("d1", 30, NOW),)
    assert await store.append(Append(row.key, 1, 1, (note(1),), settles=settles)) == Appended()
    assert await verify(store) == []
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "cases.db")) as connection, connection:
        connection.execute(statement)
    reader = await open_reader(url, World())
    [finding] = await verify(reader)
    await reader.aclose()
    assert (finding.account, finding.seq, finding.why) == (NAME, *TAMPERED[statement])


@pytest.mark.parametrize("name", ["tenant/acme", "agent/acme/a/b", "user/a%20b/x", "case/acme/%00"])
def test_a_limit_is_set_for_an_account_from_which_calls_draw(name: str) -> None:
    assert not account_fault(name)


@pytest.mark.parametrize(
    "name", ["", "x", "tenant/", "tenant/a/b", "agent/a", "tenant/\udcff", "tenant/%ff", "user/a/b c"]
)
def test_no_limit_is_set_under_a_name_from_which_no_call_draws(name: str) -> None:
    assert "is no budget: name one like tenant/default" in account_fault(name)
