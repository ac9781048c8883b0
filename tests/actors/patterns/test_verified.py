"""Nothing counts as done before it was read back and the invariant holds; else it is undone and somebody takes over."""

import anyio
import pytest

from casework.actors.patterns import HumanGate, Pattern, Proof, Verified
from casework.actors.patterns.base import Use
from casework.actors.testing import CaseBench, Fails, FakePerson, FakeTool
from casework.protocols.records import Closed, Decision
from casework.protocols.wire import RiskTier
from tests.support.pattern_crew import LEDGER, Crashes, Job, calls, code, crew, does, fakes, task, unchecked

SAME = Proof("what is there is what was written", lambda written, there: written == there)
SKILLS = {"plan": does(lambda job: Job(job.number * 2)), "write": calls("ledger.write"), "look": calls("ledger.read")}
WRITE = task("write", tools=LEDGER[:1], tier=RiskTier.REVERSIBLE)
LOOK = task("look", tools=LEDGER[1:])
PERSON = HumanGate("somebody", Job, Job, "It could not be written", "unverified")


def verified(**more: Pattern | None) -> Verified:
    parts = {"plan": task("plan"), "execute": WRITE, "read_back": LOOK, **more}
    return Verified("booking", invariant=SAME, **parts)  # type: ignore[arg-type]


def bench_of(made: Verified, **instead: FakeTool) -> CaseBench:
    return CaseBench(crew(made, SKILLS), tools=fakes(**instead))


def decided(bench: CaseBench) -> list[tuple[str, str, str]]:
    entries = bench.log("c1").entries
    return [
        (each.chosen, each.rule, each.why)
        for each in entries
        if isinstance(each, Decision) and each.subject == "booking"
    ]


async def test_what_was_written_is_read_back_and_then_counts_as_done() -> None:
    with anyio.fail_after(5):
        async with bench_of(verified()) as bench:
            await bench.open("booking", "c1", Job(2))
            assert bench.value("c1", Job) == Job(4)
            assert bench.calls("ledger.write") == bench.calls("ledger.read") == [Job(4)]
            assert decided(bench) == [("done", SAME.name, "")]
            bench.log("c1").assert_has("done saga/write:ledger.write", "call saga/look:ledger.read", "decision *")


@pytest.mark.promise("PATTERN-3")
async def test_what_is_not_there_when_read_back_is_undone_and_the_failure_goes_on() -> None:
    with anyio.fail_after(5):
        async with bench_of(verified(), ledger_read=FakeTool(Job(5))) as bench:
            await bench.open("booking", "c1", Job(2))
            assert len(bench.calls("ledger.erase")) == 1
            closed = bench.log("c1").entries[-1]
            assert isinstance(closed, Closed)
            assert f"invariant {SAME.name!r} does not hold" in closed.error


async def test_what_cannot_be_read_back_is_undone_as_well() -> None:
    with anyio.fail_after(5):
        async with bench_of(verified(), ledger_read=FakeTool(plan=[Fails("out of order")] * 9)) as bench:
            await bench.open("booking", "c1", Job(2))
            await bench.forward(hours=1)
            assert len(bench.calls("ledger.write")) == len(bench.calls("ledger.erase")) == 1
            assert bench.row("c1").result == "failed"


async def test_whoever_is_declared_takes_over_once_everything_is_undone() -> None:
    with anyio.fail_after(5):
        async with bench_of(verified(otherwise=PERSON), ledger_read=FakeTool(Job(5))) as bench:
            await bench.open("booking", "c1", Job(2))
            (review,) = bench.reviews()
            assert review.title == "It could not be written"
            assert len(bench.calls("ledger.erase")) == 1
            assert [each[0] for each in decided(bench)] == ["otherwise"]
            await bench.decide("edit", rule="unverified", edited=Job(9, "by hand"))
            assert bench.value("c1", Job) == Job(9, "by hand")


async def test_a_cancel_between_write_and_reading_back_undoes_the_write_and_asks_nobody() -> None:
    hanging = HumanGate("wait", Job, Job, "Look yourself", "looks")
    with anyio.fail_after(5):
        async with bench_of(verified(read_back=hanging, otherwise=PERSON)) as bench:
            await bench.open("booking", "c1", Job(2))
            assert (len(bench.calls("ledger.write")), len(bench.reviews())) == (1, 1)
            await bench.cancel("c1")
            assert bench.row("c1").result == "cancelled"
            assert (len(bench.calls("ledger.erase")), len(bench.reviews())) == (1, 0)


async def test_without_a_way_to_verify_nothing_is_begun() -> None:
    with anyio.fail_after(5):
        async with CaseBench(unchecked(verified(read_back=None), SKILLS), tools=fakes()) as bench:
            await bench.open("booking", "c1", Job(2))
            assert bench.calls("ledger.write") == []
            assert bench.row("c1").result == "failed"


@pytest.mark.parametrize("place", ["plan", "read_back"])
async def test_what_should_only_read_cannot_write(place: str) -> None:
    with anyio.fail_after(5):
        async with CaseBench(unchecked(verified(**{place: WRITE}), SKILLS), tools=fakes()) as bench:
            await bench.open("booking", "c1", Job(2))
            assert len(bench.calls("ledger.write")) == (place == "read_back")
            (wait,) = bench.waits("c1")
            assert "write asks for tier reversible, where read_only is granted" in wait.reason


FINAL = task("send", tier=RiskTier.IRREVERSIBLE)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"read_back": None}, "would count as done without having been verified; give it `read_back`"),
        ({"execute": FINAL}, "cannot undo 'send', which is irreversible; say in `otherwise` who takes over"),
        ({"plan": WRITE}, "writes in its plan, which nothing verifies; do that in `execute`"),
        (
            {"read_back": Use("ledger.erase", Job, Job, RiskTier.IRREVERSIBLE)},
            "reads back by 'ledger.erase', which may write",
        ),
        ({"read_back": task("write")}, "reads back by 'write', which has written it; read back in another way"),
        ({"plan": code("plan", lambda job: 1, gives=int)}, "'write' takes Job, but is given int"),
        ({"otherwise": code("park", lambda job: 1, gives=int)}, "'park' gives int, but Job is wanted"),
    ],
)
def test_a_declaration_that_could_leave_a_write_unverified_says_what_to_do(
    parts: dict[str, Pattern | None], says: str
) -> None:
    assert verified().flaws() == ()
    (flaw,) = verified(**parts).flaws()
    assert flaw.startswith("verified 'booking'")
    assert says in flaw


def test_an_irreversible_write_is_no_flaw_when_somebody_takes_over() -> None:
    assert verified(execute=FINAL, otherwise=PERSON).flaws() == ()


@pytest.mark.crash_anywhere(
    crew(verified(otherwise=PERSON), SKILLS),
    flow="booking",
    inputs=Job(2),
    tools=fakes(ledger_read=FakeTool(Job(5))),
    people=[FakePerson(rule="unverified")],
)
async def test_verifying_and_undoing_survive_whatever_happens_to_their_process(crashes: Crashes) -> None:
    assert (await crashes()).value == {"number": 4, "word": ""}
