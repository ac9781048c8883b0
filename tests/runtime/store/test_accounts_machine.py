"""The same draws, limits and settlements on every store, in any order: the same answers, and the same ledgers."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from postgres_server import PostgresServer
from store_support import NODE, NOW, key_of, note, opening

from casework.runtime.ledger import broken_at, tally
from casework.runtime.seams import World
from casework.runtime.store.accounts import Account, Draw, Drawn, LedgerEntry, Settlement
from casework.runtime.store.base import Append, Appended, Fenced, Store
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_store

T = TypeVar("T")

NUMBERS = count()
NAMES = ("tenant", "project", "agent")
IDS = st.sampled_from([f"d{number}" for number in range(6)])


class Bench(NamedTuple):
    """Stores that stay open for all examples, each of which has names of its own."""

    portal: BlockingPortal
    stores: Sequence[Store]


@pytest.fixture
def bench(tmp_path: Path, postgres: PostgresServer) -> Iterator[Bench]:
    urls = (f"sqlite:///{tmp_path}/cases.db", postgres.url("accounts_machine"))
    with start_blocking_portal() as portal:
        stores: list[Store] = [MemoryStore(), *(portal.call(open_store, url, World()) for url in urls)]
        yield Bench(portal, stores)
        for store in stores:
            portal.call(store.aclose)


class Books(RuleBasedStateMachine):
    """Runs each operation on all stores, and compares."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.mark = f"{next(NUMBERS)}"
        self.case = key_of(f"case-{self.mark}")
        self.seq = 1
        self.at = NOW
        self.costs: dict[str, int] = {}
        self.drawn: dict[str, Draw] = {}
        self.on_each(self._begin)

    async def _begin(self, store: Store) -> None:
        await store.renew(NODE, until=NOW + 1_000_000)
        await store.open_case(opening(self.case))
        (given,) = (await store.claim(NODE, limit=9, now=NOW)).cases
        assert given.row.key == self.case

    def on_each(self, operation: Callable[[Store], Awaitable[T]]) -> T:
        """Do it on each store; gives what all of them answer."""
        answers = [self.bench.portal.call(operation, store) for store in self.bench.stores]
        assert answers[1:] == answers[:-1]
        return answers[0]

    def named(self, name: str) -> str:
        return f"{name}/{self.mark}"

    @rule(name=st.sampled_from(NAMES), micros=st.integers(0, 200))
    def limit(self, name: str, micros: int) -> None:
        async def operation(store: Store) -> object:
            return await store.set_limit(self.named(name), micros, by="ann", at=self.at)

        self.at += 1
        answer = self.on_each(operation)
        assert isinstance(answer, Account)
        assert answer.limit_micros == micros

    @rule(
        id_=IDS, names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), micros=st.integers(1, 80)
    )
    def draw(self, id_: str, names: list[str], micros: int) -> None:
        async def operation(store: Store) -> object:
            return await store.draw(draw)

        self.at += 1
        draw = Draw(f"{id_}/{self.mark}", tuple(map(self.named, names)), micros, 1, self.at)
        if isinstance(self.on_each(operation), Drawn):
            before = self.drawn.setdefault(draw.id, draw)
            assert (set(before.accounts), before.micros) == (set(draw.accounts), draw.micros)

    @rule(costs=st.lists(st.tuples(IDS, st.integers(0, 120)), min_size=1, max_size=3), stale=st.booleans())
    def settle(self, costs: list[tuple[str, int]], stale: bool) -> None:
        async def operation(store: Store) -> object:
            return await store.append(append)

        self.at += 1
        settles = tuple(Settlement(f"{id_}/{self.mark}", micros, self.at) for id_, micros in costs)
        epoch = 9 if stale else 1
        append = Append(self.case, epoch, self.seq, (note(self.seq, epoch),), settles=settles)
        answer = self.on_each(operation)
        assert answer == (Fenced(1) if stale else Appended())
        if not stale:
            self.seq += 1
            for settlement in settles:
                if settlement.draw_id in self.drawn:
                    self.costs.setdefault(settlement.draw_id, settlement.micros)

    @invariant()
    def every_ledger_is_the_same_and_comes_to_what_was_answered(self) -> None:
        async def operation(store: Store) -> tuple[Account | None, list[LedgerEntry]]:
            return await store.account(name), list(await store.ledger(name))

        for name in map(self.named, NAMES):
            account, entries = self.on_each(operation)
            if account is None:
                assert not entries
                continue
            assert broken_at(account, entries) is None
            mine = {id_ for id_, draw in self.drawn.items() if name in draw.accounts}
            total = tally(entries)
            assert total.open == {id_: self.drawn[id_].micros for id_ in mine - self.costs.keys()}
            assert total.settled == {id_: self.costs[id_] for id_ in mine & self.costs.keys()}


def test_any_order_of_limits_draws_and_settlements_gives_the_same_on_every_store(bench: Bench) -> None:
    bounds = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(lambda: Books(bench), settings=bounds)  # type: ignore[arg-type]  # any that makes one will do
