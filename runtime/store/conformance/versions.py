"""What a store promises on which several processes work: a node leaves to others what only they carry.

It does not know which store is tested.
"""

import msgspec
import pytest

from casework.runtime.store.base import Append, Appended, CaseOpened, CaseRow, CaseStatus, Store
from casework.runtime.store.conformance.support import (
    NODE,
    NOW,
    TENANT,
    arrived,
    evidence,
    key_of,
    opening,
    take,
    timer,
)
from casework.runtime.store.rules import pin

#: Longer than any lease that these cases give.
LATER = 10_000
OLD, NEW = pin("quarter", "1", "abc"), pin("quarter", "2", "abc")


async def opened(store: Store, name: str, version: str) -> None:
    """Open a case of a version."""
    one = msgspec.structs.replace(opening(key_of(name)), version=version)
    assert await store.open_case(one) == CaseOpened(key_of(name))


async def living(store: Store) -> None:
    """Have an old node and a new one, each with its version."""
    await store.renew("old", until=NOW + 1_000, carries=(OLD,))
    await store.renew("new", until=NOW + 1_000, carries=(NEW,))


async def parked(store: Store, row: CaseRow, due: int = 0) -> None:
    """Park a case that was claimed, for evidence or until a moment."""
    wait = timer(due) if due else evidence("receipt")
    append = Append(row.key, row.epoch, row.next_seq, (), CaseStatus.PARKED, waits=(wait,), release=True)
    assert isinstance(await store.append(append), Appended)


async def taken(store: Store, node: str, now: int = NOW) -> list[str]:
    """Claim, and name what was claimed."""
    return [row.key.case_id for row in await take(store, node, limit=9, now=now)]


class VersionConformance:
    """Claims of nodes that carry different versions of a flow, case by case."""

    @pytest.fixture
    def shared(self, store: Store, several_processes: bool) -> Store:
        """Give a store on which several processes work."""
        if not several_processes:
            pytest.skip("one process alone works on such a store")
        return store

    @pytest.mark.promise("FLOW-6")
    async def test_a_node_leaves_alone_what_only_another_living_one_carries(self, shared: Store) -> None:
        await living(shared)
        for name, version in (("a", "2"), ("b", "1"), ("c", "2")):
            await opened(shared, name, version)
        assert await taken(shared, "old") == ["b"]
        assert await taken(shared, "new") == ["a", "c"]

    async def test_what_it_leaves_alone_does_not_count_against_the_limit_of_a_claim(self, shared: Store) -> None:
        await living(shared)
        for number in range(40):
            await opened(shared, f"a{number}", "2")
        await opened(shared, "b", "1")
        claims = await shared.claim("old", limit=1, now=NOW)
        assert [claimed.row.key.case_id for claimed in claims.cases] == ["b"]
        assert not (await shared.claim("old", limit=1, now=NOW)).more

    async def test_a_message_or_a_moment_wakes_a_case_only_for_who_carries_it(self, shared: Store) -> None:
        await living(shared)
        for name in ("a", "b"):
            await opened(shared, name, "2")
        message, moment = await take(shared, "new", limit=9, now=NOW)
        await parked(shared, message)
        await parked(shared, moment, due=NOW + 5)
        await shared.deliver(TENANT, "receipt", "m1", arrived())
        assert (await shared.claim("old", limit=0, now=NOW)).next_due is None
        assert (await shared.claim("new", limit=0, now=NOW)).next_due == NOW + 5
        assert await taken(shared, "old", NOW + 5) == []
        assert sorted(await taken(shared, "new", NOW + 5)) == ["a", "b"]

    @pytest.mark.promise("FLOW-6")
    @pytest.mark.parametrize("ending", ["dies", "ends", "says something else"])
    async def test_what_no_living_node_carries_is_given_to_any(self, shared: Store, ending: str) -> None:
        await living(shared)
        await opened(shared, "a", "2")
        assert await taken(shared, "old") == []
        if ending == "ends":
            await shared.renew("new", until=0)
        elif ending == "says something else":
            await shared.renew("new", until=NOW + 1_000, carries=(pin("quarter", "3", "abc"),))
        else:
            await shared.renew("old", until=NOW + 2 * LATER, carries=(OLD,))
        assert await taken(shared, "old", NOW + LATER if ending == "dies" else NOW) == ["a"]

    async def test_a_node_that_does_not_say_what_it_carries_takes_everything_and_keeps_nothing(
        self, shared: Store
    ) -> None:
        await shared.renew("old", until=NOW + 1_000, carries=(OLD,))
        await shared.renew(NODE, until=NOW + 1_000)
        await opened(shared, "a", "1")
        assert await taken(shared, NODE) == ["a"]
        await opened(shared, "b", "2")
        assert await taken(shared, "old") == ["b"]

    async def test_what_both_carry_either_takes(self, shared: Store) -> None:
        await shared.renew("old", until=NOW + 1_000, carries=(OLD,))
        await shared.renew("new", until=NOW + 1_000, carries=(OLD, NEW))
        await opened(shared, "a", "1")
        assert await taken(shared, "new") == ["a"]
        await opened(shared, "b", "1")
        assert await taken(shared, "old") == ["b"]

    async def test_a_case_that_was_moved_is_left_to_who_carries_its_version_now(self, shared: Store) -> None:
        await living(shared)
        await opened(shared, "a", "1")
        (row,) = await take(shared, "old", limit=9, now=NOW)
        moved = Append(row.key, row.epoch, row.next_seq, (), pinned=("2", "abc"), release=True)
        assert await shared.append(moved) == Appended()
        assert await taken(shared, "old") == []
        assert await taken(shared, "new") == ["a"]
