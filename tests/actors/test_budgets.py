"""Budgets that cases share: what is drawn before a call and settled after it, and what becomes of one that has none."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from casework.actors.testing import CaseBench
from casework.actors.testing.process import Kill
from casework.protocols.codec import decode_entry, inputs_hash
from casework.protocols.records import Decision, Done, Entry, Intent, ReviewAction, Undone
from casework.protocols.wire import FailureKind
from casework.runtime.ledger import broken_at, tally
from casework.runtime.limits import set_limit
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, Store, WaitKind
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from tests.support.budget_crew import CHEAP, DEAR, Job, crew, purchases

AGENT = "agent/default/clerk"
TENANT = "tenant/default"


def runtime(store: Store, policy: str = "") -> Runtime:
    return Runtime(crew(policy), store, telemetry=Telemetry.off())


async def log_of(store: Store, case_id: str = "c1") -> list[Entry]:
    return [decode_entry(record.frame) for record in await store.records(CaseKey("default", case_id))]


def of_kind(log: Sequence[Entry], *kinds: type) -> list[Entry]:
    return [entry for entry in log if isinstance(entry, kinds)]


async def money(store: Store, name: str = AGENT) -> tuple[int, int]:
    """Give what was spent and is reserved of an account, once its ledger says the same and nothing was overspent."""
    account = await store.account(name)
    assert account is not None
    entries = await store.ledger(name)
    assert broken_at(account, entries) is None
    assert account.left_micros >= 0
    total = tally(entries)
    return total.spent, total.reserved


async def test_a_call_draws_its_most_before_and_settles_its_cost_after_in_every_account_of_its_case() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store) as made:
            await made.open("job", "c1", Job(calls=2, micros=7), project="q3", user="ann")
            await made.wait("c1")
    names = ["agent/default/clerk", "case/default/c1", "project/default/q3", TENANT, "user/default/ann"]
    assert [account.name for account in await store.accounts()] == names
    for name in names:
        assert await money(store, name) == (14, 0)
        assert [entry.kind for entry in await store.ledger(name)] == ["limit", "draw", "settle", "draw", "settle"]
    intents = [entry for entry in await log_of(store) if isinstance(entry, Intent)]
    assert [(sorted(intent.accounts), intent.micros) for intent in intents] == [(names, DEAR)] * 2


async def test_a_tool_that_does_not_say_what_it_cost_cost_the_most_that_it_could() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store) as made:
            await made.open("job", "c1", Job())
            await made.wait("c1")
    assert await money(store) == (DEAR, 0)


@pytest.mark.parametrize("kind", ["case", "agent", "project", "user", "tenant"])
async def test_a_case_waits_for_whichever_budget_has_too_little_and_goes_on_when_its_limit_is_raised(kind: str) -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(5):
        async with runtime(store, f"[budgets]\n{kind} = 0.03\n") as made:
            await made.open("job", "c1", Job(calls=2, micros=DEAR), project="q3", user="ann")
            row = await made.wait("c1")
            assert row.status is CaseStatus.PARKED
            [wait] = row.waits
            account = wait.key.partition(":")[2]
            assert (wait.kind, account.split("/")[0]) == (WaitKind.OPERATOR, kind)
            assert await money(store, account) == (DEAR, 0)
            await set_limit(store, account, 39_999, by="ann", world=world)
            row = await made.wait("c1")
            assert row.status is CaseStatus.PARKED, "it is not enough"
            await set_limit(store, account, 40_000, by="ann", world=world)
            await made.wait_idle()
            assert (await made.wait("c1")).status is CaseStatus.CLOSED
            assert await money(store, account) == (2 * DEAR, 0)
    log = await log_of(store)
    decisions = [entry for entry in log if isinstance(entry, Decision) and entry.subject == f"budget:{account}"]
    assert [(each.chosen, each.rule) for each in decisions] == [("park", f"budget.{kind}")] * 2
    asked = {inputs_hash(each.arguments) for each in log if isinstance(each, Intent)}
    assert {each.inputs_hash for each in decisions} <= asked
    assert len(of_kind(log, Done)) == 2


async def test_a_case_that_waits_for_its_budget_goes_on_in_another_process() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(5):
        async with runtime(store, "[budgets]\nagent = 0\n") as made:
            await made.open("job", "c1", Job())
            assert (await made.wait("c1")).status is CaseStatus.PARKED
        await set_limit(store, AGENT, DEAR, by="ann", world=world)
        async with runtime(store, "[budgets]\nagent = 0\n") as made:
            await made.wait_idle()
            assert (await made.wait("c1")).status is CaseStatus.CLOSED
    assert await money(store) == (DEAR, 0)


async def test_a_cheaper_tool_is_called_where_the_policy_names_one_and_enough_is_left_for_it() -> None:
    store, policy = MemoryStore(), '[budgets]\nagent = 0.024\non_overdrawn = "fail"\ncheaper = { think = "guess" }\n'
    with anyio.fail_after(5):
        async with runtime(store, policy) as made:
            await made.open("job", "c1", Job(calls=3, micros=2_000))
            await made.wait("c1")
            assert await money(store) == (6_000, 0)
            await made.open("job", "c2", Job(calls=9, micros=CHEAP))
            await made.wait("c2")
    assert [entry.tool for entry in await log_of(store) if isinstance(entry, Intent)] == ["think"] * 3
    log = await log_of(store, "c2")
    assert [entry.tool for entry in log if isinstance(entry, Done)] == ["guess"] * 3
    chosen = [entry.chosen for entry in log if isinstance(entry, Decision) and entry.subject.startswith("budget:")]
    assert chosen == ["tool:guess"] * 4 + ["fail"]
    assert await money(store) == (6_000 + 3 * CHEAP, 0)


@pytest.mark.parametrize("action", [ReviewAction.APPROVE, ReviewAction.REJECT])
async def test_a_person_who_is_asked_lets_a_call_be_tried_again_or_refuses_it(action: ReviewAction) -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(5):
        async with runtime(store, '[budgets]\nagent = 0\non_overdrawn = "review"\n') as made:
            await made.open("job", "c1", Job())
            assert (await made.wait("c1")).status is CaseStatus.PARKED
            (review,) = await made.store.reviews(state="open")
            await made.decide(review.id, ReviewAction.APPROVE, by="ann")
            await made.wait_idle()
            (review,) = await made.store.reviews(state="open")
            await set_limit(store, AGENT, DEAR, by="ann", world=world)
            await made.decide(review.id, action, by="ann")
            await made.wait_idle()
            assert (await made.wait("c1")).status is CaseStatus.CLOSED
    assert await money(store) == ((DEAR, 0) if action is ReviewAction.APPROVE else (0, 0))


async def test_a_call_that_the_policy_refuses_for_want_of_money_says_so_in_the_log() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store, '[budgets]\ntenants = { default = 0.01 }\non_overdrawn = "fail"\n') as made:
            await made.open("job", "c1", Job())
            await made.wait("c1")
    [end] = [entry for entry in await log_of(store) if isinstance(entry, Undone)]
    assert (end.kind, end.cost.micros) == (FailureKind.REFUSED, 0)
    assert end.message == "budget.tenant: think may cost 20000 and 10000 is left of tenant/default"
    assert await money(store, TENANT) == (0, 0)


async def test_a_hundred_agents_at_once_spend_a_budget_to_its_end_and_no_further() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(30):
        async with runtime(store, "[budgets]\nagent = 1.00\n") as made:
            for number in range(100):
                await made.open("job", f"c{number}", Job(micros=DEAR))
            await made.wait_idle()
            assert await money(store) == (1_000_000, 0)
            statuses = [(await made.wait(f"c{number}")).status for number in range(100)]
            assert statuses.count(CaseStatus.PARKED) == statuses.count(CaseStatus.CLOSED) == 50
            await set_limit(store, AGENT, 2_000_000, by="ann", world=world)
            await made.wait_idle()
            assert await money(store) == (2_000_000, 0)
            assert {row.status for row in await store.cases()} == {CaseStatus.CLOSED}


async def test_calls_that_cost_nothing_reserve_nothing() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(store) as made:
            await made.open("job", "c1", Job(calls=0))
            await made.wait("c1")
    assert not await store.accounts()
    assert not of_kind(await log_of(store), Intent, Undone)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


async def ended(out: Path, kill: Kill | None) -> tuple[int, bool]:
    """Buy twice, with a crash somewhere; see that it was drawn and settled twice, and give the number of appends."""
    async with CaseBench(crew("[budgets]\nagent = 0.04\n"), settings={"out": str(out)}, kill=kill) as bench:
        appends = bench.store.appends
        with anyio.CancelScope() as scope:
            bench.store.on_death = scope.cancel
            await bench.open("job", "c1", Job(calls=2, tool="buy"))
        bench.store.on_death = lambda: None
        killed = not bench.store.alive
        if killed:
            await bench.crash()
            await bench.open("job", "c1", Job(calls=2, tool="buy"))
        assert bench.row("c1").status is CaseStatus.CLOSED, bench.log("c1").told()
        store = bench.store.inner
        assert await money(store) == (2 * DEAR, 0)
        assert [entry.kind for entry in await store.ledger(AGENT)] == ["limit", "draw", "settle", "draw", "settle"]
        assert list(purchases(out).values()) == [DEAR, DEAR]
        return len(appends), killed


async def test_killed_at_any_append_a_call_is_drawn_for_once_and_settled_once(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        appends, _ = await ended(folder(tmp_path / "whole"), None)
        assert appends > 4
        for number in range(1, appends + 1):
            for durable in (False, True):
                _, killed = await ended(folder(tmp_path / f"{number}-{durable}"), Kill(number, durable))
                assert killed or number == appends
