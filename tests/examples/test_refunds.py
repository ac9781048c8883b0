"""The refund crew on its sample: every request ends as its policy says, and the shop's systems hold just that."""

import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from casework.actors.testing import CaseBench, FakeTool, TimesOut
from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Closed, Partial, ReviewAction
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow
from casework.runtime.store.urls import wait_settled
from casework.runtime.store.verify import verify
from casework.runtime.telemetry import Telemetry
from examples.refunds.crew import crew, intake
from examples.refunds.messages import Customer, Delivery, Facts, Order, Resolved, Tickets, Tier, Wish
from examples.refunds.rules import figures_of, judge
from examples.refunds.shop import NAME

SAMPLE: Final = Path(__file__).parents[2] / "examples/refunds/sample"
EXPECTED: Final[dict[str, Any]] = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
DECISIONS: Final[dict[str, Any]] = EXPECTED["decisions"]
PATIENCE_SECONDS: Final = 60.0
#: The request whose label cannot be cancelled any more.
PARTLY: Final = "r-112"
TODAY: Final = dt.date(2026, 5, 15)


@asynccontextmanager
async def working(store: str, out: Path, *, folder: Path = SAMPLE) -> AsyncGenerator[Runtime, None]:
    """Run the crew on a folder until nothing can go on."""
    settings = {"input": str(folder), "out": str(out)}
    async with Runtime(crew, store, settings=settings, telemetry=Telemetry()) as runtime:
        for opening in intake(folder, settings).openings:
            await runtime.open(opening.flow, opening.case_id, opening.inputs)
        await settled(runtime)
        yield runtime


async def settled(runtime: Runtime) -> None:
    """Wait until nothing goes on by itself; what is undone may be tried again after a moment."""
    with anyio.fail_after(PATIENCE_SECONDS):
        await wait_settled(runtime.store, runtime.wait_idle, World())


async def ends(runtime: Runtime) -> dict[str, dict[str, object]]:
    """Give how each closed case ended."""
    found: dict[str, dict[str, object]] = {}
    for row in await runtime.store.cases():
        last = decode_entry((await runtime.store.records(row.key))[-1].frame)
        if isinstance(last, Closed):
            assert last.result == ("partial" if row.key.case_id == PARTLY else "completed"), row
            resolved = unpack(last.value, Resolved)
            found[row.key.case_id] = {"outcome": resolved.outcome, "rule": resolved.rule, "cents": resolved.cents}
    return found


async def waiting(runtime: Runtime) -> dict[str, str]:
    """Give by which rule each case that waits was parked."""
    return {row.key.case_id: row.waits[0].reason for row in await runtime.store.cases() if row.waits}


async def decide_all(runtime: Runtime) -> None:
    for review in await runtime.store.reviews(state="open"):
        said = DECISIONS[review.key.case_id]
        await runtime.decide(review.id, ReviewAction(said["action"]), by="ann", edited=said.get("value"))
    await settled(runtime)


def systems(out: Path) -> dict[str, Any]:
    """Read what the shop's systems hold."""
    with closing(sqlite3.connect(out / NAME)) as link:
        return {
            "paid": dict(link.execute("SELECT number, cents FROM payment ORDER BY number")),
            "labels": dict(link.execute("SELECT number, state FROM label ORDER BY number")),
            "reversed": [number for (number,) in link.execute(_REVERSED)],
        }


_REVERSED: Final = "SELECT number FROM booking WHERE state = 'reversed' ORDER BY number"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_each_request_ends_as_expected_before_and_after_people_decide(kind: str, tmp_path: Path) -> None:
    store = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/cases.db"
    out = tmp_path / "out"
    out.mkdir()
    async with working(store, out) as runtime:
        assert await ends(runtime) == EXPECTED["closed"]
        assert await waiting(runtime) == EXPECTED["waiting"]
        await decide_all(runtime)
        assert await ends(runtime) == {**EXPECTED["closed"], **EXPECTED["closed_after_decisions"]}
        assert await waiting(runtime) == {}
        assert await verify(runtime.store) == []
    assert systems(out) == EXPECTED["systems"]


async def test_what_could_not_be_taken_back_is_named_in_the_log(tmp_path: Path) -> None:
    async with working("memory:", tmp_path) as runtime:
        rows: dict[str, CaseRow] = {row.key.case_id: row for row in await runtime.store.cases()}
        records = await runtime.store.records(rows[PARTLY].key)
        (partial,) = [each for each in map(decode_entry, (record.frame for record in records)) if type(each) is Partial]
        assert [each.tool for each in partial.done] == ["make_label"]
        assert sorted(each.tool for each in partial.undone) == ["book_refund", "set_status"]


async def test_each_customer_is_written_to_once_when_the_request_is_at_its_end(tmp_path: Path) -> None:
    async with working("memory:", tmp_path) as runtime:
        await decide_all(runtime)
        closed = await ends(runtime)
    with closing(sqlite3.connect(tmp_path / NAME)) as link:
        letters = [request for (request,) in link.execute("SELECT request FROM letter ORDER BY request")]
    assert letters == sorted(closed)


async def test_a_payment_is_made_however_long_a_person_took_to_approve_it(tmp_path: Path) -> None:
    settings = {"input": str(SAMPLE), "out": str(tmp_path)}
    (large,) = [each for each in intake(SAMPLE, settings).openings if each.case_id == "r-103"]
    with anyio.fail_after(PATIENCE_SECONDS):
        async with CaseBench(crew, settings=settings) as bench:
            await bench.open(large.flow, large.case_id, large.inputs)
            await bench.forward(hours=60)
            await bench.decide("approve")
            resolved = bench.value(large.case_id, Resolved)
    assert (resolved.outcome, resolved.cents) == ("refunded", 48_000)


async def test_nobody_is_refused_because_a_system_of_the_shop_could_not_be_asked(tmp_path: Path) -> None:
    settings = {"input": str(SAMPLE), "out": str(tmp_path)}
    opening, *_ = intake(SAMPLE, settings).openings
    away = FakeTool(plan=[TimesOut()] * 9)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with CaseBench(crew, settings=settings, tools={"read_order": away}) as bench:
            await bench.open(opening.flow, opening.case_id, opening.inputs)
            await bench.forward(hours=1)
            assert [wait.kind for wait in bench.waits(opening.case_id)] == ["evidence"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is no Request"),
        (b'{"id": "r-1", "order": "o", "customer": "c", "received": "2026-13-01", "text": ""}', "received"),
        (b'{"id": "r-1", "order": "o", "customer": "c", "received": "2026-01-01", "text": "", "vip": true}', "vip"),
        (b" " * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_request_is_told_by_name_and_the_others_are_opened(
    content: bytes, says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / "bad.json").write_bytes(content)
    (folder / "good.json").write_bytes((SAMPLE / "requests/r-101.json").read_bytes())
    (folder / "same.json").write_bytes((SAMPLE / "requests/r-101.json").read_bytes())
    taken = intake(tmp_path, {})
    assert [opening.case_id for opening in taken.openings] == ["r-101"]
    assert [Path(problem.file).name for problem in taken.problems] == ["bad.json", "same.json"]
    assert says in taken.problems[0].text
    assert "like good.json" in taken.problems[1].text


@pytest.mark.parametrize("name", ["r 103", "", "ré", "r" * 255])
def test_a_request_whose_id_is_none_of_a_case_is_told_by_its_file(name: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "requests", tmp_path / "requests")
    file = tmp_path / "requests" / "r-103.json"
    file.write_text(file.read_text().replace('"r-103"', json.dumps(name)))
    taken = intake(tmp_path, {})
    (problem,) = taken.problems
    assert (problem.file, len(taken.openings)) == (str(file), 15)
    assert "must be names of at most 100 letters" in problem.text


def test_a_folder_without_requests_is_told(tmp_path: Path) -> None:
    (problem,) = intake(tmp_path, {}).problems
    assert "requests" in problem.file
    assert "cannot be read" in problem.text


def facts(wish: Wish, days: int, *, tier: Tier = "standard", refunds: int = 0, **order: Any) -> Facts:
    """Make a request that comes so many days after delivery."""
    delivered = Delivery("delivered", TODAY - dt.timedelta(days=days))
    shipped = Order(
        **{
            "order": "o",
            "customer": "c",
            "product": "lamp",
            "kind": "goods",
            "cents": 1000,
            "charged_cents": 1000,
            "status": "delivered",
            **order,
        }
    )
    return Facts(
        wish=wish,
        received=TODAY,
        order=shipped,
        customer=Customer(customer="c", tier=tier),
        tickets=Tickets(refunds),
        delivery=delivered,
    )


@pytest.mark.parametrize(
    ("asked", "verdict", "rule"),
    [
        (facts(Wish.CHANGED_MIND, 14), "refund", "in_time"),
        (facts(Wish.CHANGED_MIND, 15), "refuse", "too_late"),
        (facts(Wish.CHANGED_MIND, 30, tier="gold"), "refund", "in_time"),
        (facts(Wish.CHANGED_MIND, 31, tier="gold"), "refuse", "too_late"),
        (facts(Wish.CHANGED_MIND, 1, kind="digital"), "exception", "digital"),
        (facts(Wish.DAMAGED, 60), "refund", "damaged"),
        (facts(Wish.DAMAGED, 61), "refuse", "too_late"),
        (facts(Wish.DAMAGED, 1, refunds=3), "exception", "many_refunds"),
        (facts(Wish.DAMAGED, 1, refunds=5, tier="gold"), "refund", "damaged"),
        (facts(Wish.CHARGED_TWICE, 1), "refuse", "charged_once"),
        (facts(Wish.CHARGED_TWICE, 1, charged_cents=1500), "refund", "charged_twice"),
        (facts(Wish.NOT_RECEIVED, 1), "refuse", "delivered"),
        (facts(Wish.OTHER, 1), "exception", "no_rule"),
        (facts(Wish.DAMAGED, 1, status="refunded"), "refuse", "refunded_before"),
    ],
)
def test_the_policy_holds_to_the_day_and_the_tier(asked: Facts, verdict: str, rule: str) -> None:
    judged = judge(asked, figures_of(crew.policy.settings))
    assert (judged.verdict, judged.rule) == (verdict, rule)


def test_of_a_double_charge_only_what_was_too_much_goes_back() -> None:
    judged = judge(facts(Wish.CHARGED_TWICE, 1, charged_cents=1500), figures_of(crew.policy.settings))
    assert judged.cents == 500
    assert not judged.goods_come_back
