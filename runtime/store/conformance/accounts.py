"""What every store promises of accounts: what is drawn, what is refused, and what their ledgers say.

It does not know which store is tested.
"""

from collections.abc import Sequence

import anyio
import msgspec
import pytest

from casework.runtime.ledger import broken_at, tally
from casework.runtime.store.accounts import (
    Account,
    Draw,
    Drawn,
    DrawRefused,
    EntryKind,
    LedgerEntry,
    Overdrawn,
    Settlement,
    draw_id,
)
from casework.runtime.store.base import Append, Appended, CaseRow, Conflict, Fenced, Store
from casework.runtime.store.conformance.support import NOW, OpenStore, bounded, claimed, close, note, there

TENANT_ACCOUNT, AGENT_ACCOUNT = "tenant/acme", "agent/acme/clerk"
WHO = "ann"


def drawing(id_: str, micros: int, *names: str, epoch: int = 1, at: int = NOW) -> Draw:
    return Draw(id_, names or (TENANT_ACCOUNT,), micros, epoch, at)


def settling(row: CaseRow, seq: int, *settles: Settlement) -> Append:
    return Append(row.key, row.epoch, seq, (note(seq, row.epoch),), settles=settles)


async def limited(store: Store, **limits: int) -> None:
    for name, micros in limits.items():
        account = await store.set_limit(
            {"tenant": TENANT_ACCOUNT, "agent": AGENT_ACCOUNT}[name], micros, by=WHO, at=NOW
        )
        assert isinstance(account, Account)


async def amounts(store: Store, name: str = TENANT_ACCOUNT) -> tuple[int, int, int]:
    """Give what was spent, is reserved and is left of an account, once its ledger says the same."""
    account = await store.account(name)
    assert account is not None
    entries = await store.ledger(name)
    assert broken_at(account, entries) is None
    total = tally(entries)
    assert (total.spent, total.reserved, total.left) == (
        account.spent_micros,
        account.reserved_micros,
        account.left_micros,
    )
    return total.spent, total.reserved, total.left


def kinds(entries: Sequence[LedgerEntry]) -> list[EntryKind]:
    return [entry.kind for entry in entries]


@bounded
class AccountConformance:
    """Limits, draws and settlements, case by case."""

    async def test_an_account_that_is_not_there_reads_as_nothing(self, store: Store) -> None:
        assert await store.account("nobody") is None
        assert list(await store.accounts()) == []
        assert list(await store.ledger("nobody")) == []

    async def test_a_limit_makes_an_account_and_says_who_set_it_and_when(self, store: Store) -> None:
        account = await store.set_limit(TENANT_ACCOUNT, 100, by=WHO, at=NOW)
        assert account == await store.account(TENANT_ACCOUNT)
        assert isinstance(account, Account)
        assert (account.limit_micros, account.left_micros, account.next_seq) == (100, 100, 1)
        [entry] = await store.ledger(TENANT_ACCOUNT)
        assert (entry.kind, entry.micros, entry.by, entry.at) == (EntryKind.LIMIT, 100, WHO, NOW)
        assert entry.hash == account.head

    async def test_another_limit_is_one_more_entry_and_keeps_what_was_drawn(self, store: Store) -> None:
        await limited(store, tenant=100)
        await store.draw(drawing("d1", 80))
        await store.set_limit(TENANT_ACCOUNT, 50, by="bob", at=NOW + 1)
        assert await amounts(store) == (0, 80, -30)
        assert await store.draw(drawing("d2", 1)) == Overdrawn(TENANT_ACCOUNT, -30)
        await store.set_limit(TENANT_ACCOUNT, 200, by="bob", at=NOW + 2)
        assert await store.draw(drawing("d2", 1)) == Drawn("d2")
        assert [entry.by for entry in await store.ledger(TENANT_ACCOUNT)] == [WHO, "", "bob", "bob", ""]

    async def test_a_limit_for_new_accounts_leaves_one_that_is_there_as_it_is(self, store: Store) -> None:
        made = await store.set_limit(TENANT_ACCOUNT, 100, by="policy", at=NOW, only_new=True)
        assert isinstance(made, Account)
        assert (made.limit_micros, made.next_seq) == (100, 1)
        assert await store.set_limit(TENANT_ACCOUNT, 7, by="policy", at=NOW, only_new=True) == made
        raised = await store.set_limit(TENANT_ACCOUNT, 200, by=WHO, at=NOW)
        assert await store.set_limit(TENANT_ACCOUNT, 7, by="policy", at=NOW, only_new=True) == raised
        assert [entry.by for entry in await store.ledger(TENANT_ACCOUNT)] == ["policy", WHO]

    async def test_accounts_come_by_name(self, store: Store) -> None:
        for name in ("b", "a/x", "a"):
            await store.set_limit(name, 1, by=WHO, at=NOW)
        assert [account.name for account in await store.accounts()] == ["a", "a/x", "b"]

    async def test_a_draw_reserves_and_says_so_in_the_ledger(self, store: Store) -> None:
        await limited(store, tenant=100)
        assert await store.draw(drawing("d1", 60, epoch=3, at=NOW + 5)) == Drawn("d1")
        assert await amounts(store) == (0, 60, 40)
        _, entry = await store.ledger(TENANT_ACCOUNT)
        assert (entry.kind, entry.micros, entry.draw_id, entry.epoch, entry.at) == ("draw", 60, "d1", 3, NOW + 5)

    async def test_a_draw_of_all_that_is_left_stands_and_one_more_is_overdrawn(self, store: Store) -> None:
        await limited(store, tenant=100)
        assert await store.draw(drawing("d1", 100)) == Drawn("d1")
        assert await store.draw(drawing("d2", 1)) == Overdrawn(TENANT_ACCOUNT, 0)
        assert len(await store.ledger(TENANT_ACCOUNT)) == 2

    async def test_nothing_is_left_of_an_account_that_is_not_there(self, store: Store) -> None:
        await limited(store, tenant=100)
        assert await store.draw(drawing("d1", 1, TENANT_ACCOUNT, "project/x")) == Overdrawn("project/x", 0)
        assert await amounts(store) == (0, 0, 100)
        assert await store.account("project/x") is None

    async def test_a_draw_is_of_all_its_accounts_or_of_none(self, store: Store) -> None:
        await limited(store, tenant=100, agent=30)
        both = (TENANT_ACCOUNT, AGENT_ACCOUNT)
        assert await store.draw(drawing("d1", 30, *both)) == Drawn("d1")
        assert await store.draw(drawing("d2", 10, *both)) == Overdrawn(AGENT_ACCOUNT, 0)
        assert await amounts(store) == (0, 30, 70)
        assert await amounts(store, AGENT_ACCOUNT) == (0, 30, 0)

    async def test_the_same_draw_again_gives_the_same_answer_and_draws_once(self, store: Store) -> None:
        await limited(store, tenant=100)
        assert await store.draw(drawing("d1", 60)) == Drawn("d1")
        assert await store.draw(drawing("d1", 60, epoch=2, at=NOW + 9)) == Drawn("d1")
        assert await amounts(store) == (0, 60, 40)
        assert len(await store.ledger(TENANT_ACCOUNT)) == 2

    async def test_another_amount_or_other_accounts_under_the_same_id_are_refused(self, store: Store) -> None:
        await limited(store, tenant=100, agent=100)
        await store.draw(drawing("d1", 60))
        for other in (drawing("d1", 61), drawing("d1", 59), drawing("d1", 60, AGENT_ACCOUNT)):
            assert await store.draw(other) == DrawRefused("d1")
        assert await store.draw(drawing("d1", 60, TENANT_ACCOUNT, AGENT_ACCOUNT)) == DrawRefused("d1")
        assert await amounts(store) == (0, 60, 40)
        assert await amounts(store, AGENT_ACCOUNT) == (0, 0, 100)

    @pytest.mark.parametrize(("cost", "left"), [(0, 100), (20, 80), (60, 40), (150, -50)])
    async def test_a_settlement_frees_what_the_call_did_not_cost_and_records_what_it_did(
        self, store: Store, cost: int, left: int
    ) -> None:
        await limited(store, tenant=100, agent=100)
        row = await claimed(store, "c")
        await store.draw(drawing("d1", 60, TENANT_ACCOUNT, AGENT_ACCOUNT))
        assert await store.append(settling(row, 1, Settlement("d1", cost, NOW + 7))) == Appended()
        for name in (TENANT_ACCOUNT, AGENT_ACCOUNT):
            assert await amounts(store, name) == (cost, 0, left)
            entry = (await store.ledger(name))[-1]
            assert (entry.kind, entry.micros, entry.draw_id) == ("settle", cost, "d1")
            assert (entry.epoch, entry.at) == (row.epoch, NOW + 7)
        assert (await there(store, "c")).next_seq == 2

    async def test_a_draw_is_settled_once_and_its_first_settlement_stands(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        await store.draw(drawing("d1", 60))
        twice = (Settlement("d1", 20, NOW), Settlement("d1", 30, NOW))
        assert await store.append(settling(row, 1, *twice)) == Appended()
        assert await store.append(settling(row, 2, Settlement("d1", 40, NOW))) == Appended()
        assert await amounts(store) == (20, 0, 80)
        assert await store.draw(drawing("d1", 60)) == Drawn("d1")
        assert kinds(await store.ledger(TENANT_ACCOUNT)) == ["limit", "draw", "settle"]

    async def test_a_settlement_of_a_draw_that_was_made_elsewhere_changes_nothing(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        assert await store.append(settling(row, 1, Settlement("elsewhere", 20, NOW))) == Appended()
        assert await amounts(store) == (0, 0, 100)

    async def test_an_append_that_is_refused_settles_nothing(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        await store.draw(drawing("d1", 60))
        settles = (Settlement("d1", 20, NOW),)
        assert await store.append(Append(row.key, 9, 1, (note(1, 9),), settles=settles)) == Fenced(1)
        assert await store.append(settling(row, 5, *settles)) == Conflict(1)
        assert await amounts(store) == (0, 60, 40)

    async def test_a_closed_case_keeps_what_it_reserved_until_somebody_settles_it(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        await store.draw(drawing(draw_id(row.key, "pay#1"), 60))
        await close(store, row)
        assert await amounts(store) == (0, 60, 40)

    async def test_a_hundred_draws_at_once_take_what_there_is_and_no_more(self, store: Store) -> None:
        await limited(store, tenant=1_000_000)
        answers: list[object] = []

        async def draw(number: int) -> None:
            answers.append(await store.draw(drawing(f"d{number}", 20_000)))

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(draw, number)
        assert sum(isinstance(answer, Drawn) for answer in answers) == 50
        assert sum(answer == Overdrawn(TENANT_ACCOUNT, 0) for answer in answers) == 50
        assert await amounts(store) == (0, 1_000_000, 0)

    async def test_draws_at_once_in_any_order_of_their_accounts_are_each_of_both_or_none(self, store: Store) -> None:
        await limited(store, tenant=300, agent=200)
        answers: list[object] = []

        async def draw(number: int) -> None:
            both = (TENANT_ACCOUNT, AGENT_ACCOUNT) if number % 2 else (AGENT_ACCOUNT, TENANT_ACCOUNT)
            answers.append(await store.draw(drawing(f"d{number}", 10, *both)))

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(draw, number)
        assert sum(isinstance(answer, Drawn) for answer in answers) == 20
        assert await amounts(store) == (0, 200, 100)
        assert await amounts(store, AGENT_ACCOUNT) == (0, 200, 0)

    async def test_the_same_draw_many_times_at_once_draws_once(self, store: Store) -> None:
        await limited(store, tenant=100)
        answers: list[object] = []

        async def draw() -> None:
            answers.append(await store.draw(drawing("d1", 60)))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(draw)
        assert answers == [Drawn("d1")] * 10
        assert await amounts(store) == (0, 60, 40)

    async def test_settlements_of_appends_that_travel_together_all_count(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        for number in range(1, 6):
            await store.draw(drawing(f"d{number}", 20))
        turns = [anyio.Event() for _ in range(7)]

        async def append(seq: int) -> None:
            await turns[seq].wait()
            turns[seq + 1].set()
            assert await store.append(settling(row, seq, Settlement(f"d{seq}", seq, NOW))) == Appended()

        async with anyio.create_task_group() as group:
            for seq in range(1, 6):
                group.start_soon(append, seq)
            turns[1].set()
        assert await amounts(store) == (15, 0, 85)

    async def test_accounts_are_there_when_the_store_is_opened_again(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await limited(store, tenant=100, agent=50)
            await store.draw(drawing("d1", 30, TENANT_ACCOUNT, AGENT_ACCOUNT))
            accounts, entries = await store.accounts(), await store.ledger(AGENT_ACCOUNT)
        async with open_store() as store:
            assert list(await store.accounts()) == list(accounts)
            assert list(await store.ledger(AGENT_ACCOUNT)) == list(entries)
            assert await store.draw(drawing("d1", 30, TENANT_ACCOUNT, AGENT_ACCOUNT)) == Drawn("d1")

    async def test_a_ledger_that_was_changed_anywhere_does_not_verify(self, store: Store) -> None:
        await limited(store, tenant=100)
        row = await claimed(store, "c")
        await store.draw(drawing("d1", 60))
        await store.append(settling(row, 1, Settlement("d1", 20, NOW)))
        account, entries = await store.account(TENANT_ACCOUNT), list(await store.ledger(TENANT_ACCOUNT))
        assert account is not None
        assert broken_at(account, entries) is None
        for place, entry in enumerate(entries):
            changed = msgspec.structs.replace(entry, micros=entry.micros + 1)
            broken = broken_at(account, [*entries[:place], changed, *entries[place + 1 :]])
            assert broken == (place, "the entry or one before it was changed")
            assert broken_at(account, [*entries[:place], *entries[place + 1 :]]) is not None
        assert broken_at(msgspec.structs.replace(account, spent_micros=0), entries) is not None
        assert broken_at(account, entries[:-1]) == (2, "the ledger ends here, but the account says it has 3 entries")
