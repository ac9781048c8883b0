"""Work that lacks evidence waits without a process and goes on by itself, or not for ever where that is said."""

import anyio
import pytest

from casework.actors.patterns import EvidenceGate, Need, Pattern
from casework.actors.testing import CaseBench
from casework.protocols.wire import Evidence
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_crew import Crashes, Job, code, crew, unchecked

RECEIPT = Need("receipt", Job, "the receipt of this payment is missing")
PHOTO = Need("photo", Evidence, "somebody has to photograph it")
LATE = code("without", lambda job: Job(job.number, "went on without"))


def gate(*needs: Need, seconds: float = 0.0, late: Pattern | None = None) -> EvidenceGate:
    def join(job: Job, found: dict[str, object]) -> Job:
        return Job(job.number, ", ".join(f"{name} {getattr(each, 'word', 'file')}" for name, each in found.items()))

    return EvidenceGate("missing", Job, Job, needs, join, lambda job: str(job.number), seconds, late)  # type: ignore[arg-type]


async def test_work_waits_for_everything_it_needs_under_its_own_names_and_goes_on_by_itself() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(gate(RECEIPT, PHOTO))) as bench:
            await bench.open("missing", "c1", Job(17))
            assert [(wait.key, wait.reason) for wait in bench.waits("c1")] == [
                ("receipt:17", RECEIPT.reason),
                ("photo:17", PHOTO.reason),
            ]
            await bench.deliver("photo:17", data=b"pixels", label="photo.png")
            assert bench.row("c1").status is CaseStatus.PARKED
            await bench.forward(days=400)
            await bench.crash()
            await bench.deliver("receipt:17", Job(1, "of Tuesday"))
            assert bench.value("c1", Job) == Job(17, "receipt of Tuesday, photo file")


async def test_what_is_of_no_use_is_told_and_waited_for_again() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(gate(RECEIPT))) as bench:
            await bench.open("missing", "c1", Job(17))
            await bench.deliver("receipt:17", "no receipt", by="ann")
            await bench.deliver("receipt:17", data=b"a file", by="bob")
            assert [wait.key for wait in bench.waits("c1")] == ["receipt:17"]
            notes = [entry.text for entry in bench.log("c1").entries if hasattr(entry, "text")]
            assert [note.partition(" cannot be used")[0] for note in notes] == [
                "what ann delivered as receipt:17",
                "what bob delivered as receipt:17",
            ]
            await bench.deliver("receipt:17", Job(1, "at last"))
            assert bench.value("c1", Job) == Job(17, "receipt at last")


async def test_what_comes_too_late_is_not_waited_for_where_something_else_is_declared() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(gate(RECEIPT, PHOTO, seconds=3_600, late=LATE))) as bench:
            await bench.open("missing", "c1", Job(17))
            await bench.deliver("receipt:17", Job(1, "in time"))
            await bench.forward(minutes=59)
            assert bench.row("c1").status is CaseStatus.PARKED
            await bench.forward(minutes=1)
            assert bench.value("c1", Job) == Job(17, "went on without")


async def test_evidence_in_time_goes_on_and_nothing_is_late_afterwards() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(gate(RECEIPT, seconds=3_600, late=LATE))) as bench:
            await bench.open("missing", "c1", Job(17))
            await bench.deliver("receipt:17", Job(1, "in time"))
            await bench.forward(hours=2)
            assert bench.value("c1", Job) == Job(17, "receipt in time")


async def test_the_latest_moment_is_never_later_than_the_works_own() -> None:
    with anyio.fail_after(5):
        async with CaseBench(unchecked(gate(RECEIPT, seconds=9_999_999, late=LATE), seconds=3_600)) as bench:
            await bench.open("missing", "c1", Job(17))
            await bench.forward(hours=1)
            assert bench.value("c1", Job) == Job(17, "went on without")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (gate(), "waits for nothing; name what it needs"),
        (gate(RECEIPT, RECEIPT), "needs two things of one name"),
        (gate(RECEIPT, seconds=-1), "cannot wait -1 seconds"),
        (gate(RECEIPT, seconds=60), "stops waiting and says not what then; give `late` a pattern"),
        (gate(RECEIPT, late=LATE), "is never late; say in `seconds` how long it waits"),
        (gate(RECEIPT, seconds=60, late=code("no", lambda job: 1, gives=int)), "'no' gives int, but Job is wanted"),
    ],
)
def test_a_wait_that_leads_nowhere_says_what_to_do(made: EvidenceGate, says: str) -> None:
    (flaw,) = made.flaws()
    assert flaw.startswith("evidence 'missing'")
    assert says in flaw
    assert gate(RECEIPT, seconds=60, late=LATE).flaws() == []


@pytest.mark.crash_anywhere(
    crew(gate(RECEIPT, seconds=3_600, late=LATE)),
    flow="missing",
    inputs=Job(17),
    deliveries={"receipt:17": Job(1, "in time")},
)
async def test_waiting_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    ended = await crashes()
    assert isinstance(ended.value, dict)
    assert ended.value["word"] == "receipt in time"


@pytest.mark.crash_anywhere(crew(gate(RECEIPT, seconds=3_600, late=LATE)), flow="missing", inputs=Job(17))
async def test_being_late_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    ended = await crashes()
    assert isinstance(ended.value, dict)
    assert ended.value["word"] == "went on without"
