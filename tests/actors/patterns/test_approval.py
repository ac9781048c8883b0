"""Whatever a person decides, or nobody, there is a declared way on."""

import anyio
import msgspec
import pytest

from casework.actors.patterns import Code, HumanGate, Pattern, Pipeline, Terms
from casework.actors.testing import CaseBench, FakePerson
from casework.protocols.codec import decode_entry, plain
from casework.protocols.records import Decided, Review, ReviewAction
from casework.runtime import Case
from casework.runtime.errors import DecisionInvalid
from tests.support.pattern_crew import Crashes, Job, code, crew, unchecked


def way(word: str) -> Pattern:
    return code(word, lambda job: Job(job.number, word))


WAYS = {word: way(word) for word in ("approved", "edited", "rejected", "expired")}


def gate(seconds: float = 0.0, **ways: Pattern) -> HumanGate:
    return HumanGate("limit", Job, Job, "Above the limit", "above_limit", seconds=seconds, **ways)


async def ending(made: HumanGate, person: FakePerson, *, hours: float = 0.0) -> object:
    """Give what the case returned, or the error with which it ended."""
    async with CaseBench(unchecked(made), people=[person]) as bench:
        await bench.open("limit", "c1", Job(900, "asked"))
        await bench.forward(hours=hours)
        closed = bench.log("c1").entries[-1]
        return closed.error or bench.value("c1", Job)  # type: ignore[union-attr]


NOBODY = FakePerson(rule="another")


@pytest.mark.parametrize(
    ("action", "edited", "ends"),
    [
        ("approve", None, Job(900, "approved")),
        ("edit", Job(40, "mine"), Job(40, "edited")),
        ("reject", None, Job(900, "rejected")),
    ],
)
async def test_each_decision_goes_on_in_its_declared_way(action: str, edited: Job | None, ends: Job) -> None:
    with anyio.fail_after(5):
        assert await ending(gate(3_600, **WAYS), FakePerson(action, edited=edited)) == ends


@pytest.mark.parametrize(
    ("action", "edited", "ends"),
    [
        ("approve", None, Job(900, "asked")),
        ("edit", Job(40, "mine"), Job(40, "mine")),
        ("reject", None, "somebody rejected 'Above the limit': no reason given"),
    ],
)
async def test_where_nothing_is_declared_the_value_goes_on_as_decided_or_the_rejection_is_raised(
    action: str, edited: Job | None, ends: object
) -> None:
    with anyio.fail_after(5):
        assert await ending(gate(), FakePerson(action, edited=edited, by="somebody")) == ends


async def test_what_nobody_decides_in_time_goes_its_own_way_or_that_of_a_rejection() -> None:
    with anyio.fail_after(5):
        assert await ending(gate(3_600, **WAYS), NOBODY, hours=1) == Job(900, "expired")
        assert await ending(gate(3_600, rejected=way("rejected")), NOBODY, hours=1) == Job(900, "rejected")
        late = await ending(gate(3_600), NOBODY, hours=1)
    assert late == "expiry rejected 'Above the limit': nobody decided in time"


async def test_a_person_who_rejects_in_the_name_of_expiry_is_refused_and_the_review_stays_open() -> None:
    with anyio.fail_after(5):
        async with CaseBench(unchecked(gate(3_600, **WAYS))) as bench:
            await bench.open("limit", "c1", Job(900, "asked"))
            (review,) = await bench.runtime.store.reviews(state="open")
            with pytest.raises(DecisionInvalid, match="give another name"):
                await bench.runtime.decide(review.id, ReviewAction.REJECT, by="expiry")
            await bench.forward(hours=1)
            (decided,) = [entry for entry in bench.log("c1").entries if isinstance(entry, Decided)]
            assert (decided.by, decided.expired) == ("expiry", True)
            assert bench.value("c1", Job) == Job(900, "expired")


def test_a_log_in_which_only_the_name_says_that_nobody_decided_is_read_as_before() -> None:
    earlier = {"review_id": "r", "action": "reject", "by": "expiry", "proposal_hash": "0", "reason": "late", "at": 1}
    decided = decode_entry(msgspec.msgpack.encode({"type": "decided", **earlier}))
    assert isinstance(decided, Decided)
    assert (decided.expired, decided.by_nobody) == (False, True)
    assert not Decided(review_id="r", action=ReviewAction.REJECT, by="ann", proposal_hash="0").by_nobody


async def test_an_edited_value_goes_the_way_of_an_approved_one_unless_it_has_its_own() -> None:
    with anyio.fail_after(5):
        person = FakePerson("edit", edited=Job(40, "mine"))
        assert await ending(gate(approved=way("approved")), person) == Job(40, "approved")


async def test_a_person_is_shown_exactly_what_is_proposed_and_what_each_answer_leads_to() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(gate(rejected=way("look_again")))) as bench:
            await bench.open("limit", "c1", Job(900, "asked"))
            (review,) = [entry for entry in bench.log("c1").entries if isinstance(entry, Review)]
    assert plain(review.proposal) == {"number": 900, "word": "asked"}
    assert dict(review.consequences) == {
        "approve": "it goes on with exactly this",
        "edit": "it goes on with your value",
        "reject": "look_again goes on",
    }


async def test_a_person_never_has_longer_than_the_work_itself() -> None:
    made = unchecked(gate(9_999_999, **WAYS), seconds=7_200)
    with anyio.fail_after(5):
        async with CaseBench(made) as bench:
            await bench.open("limit", "c1", Job(900))
            await bench.forward(hours=2)
            assert bench.value("c1", Job) == Job(900, "expired")


async def test_a_person_who_is_asked_when_the_time_is_over_is_not_asked_for_ever() -> None:
    async def dawdle(case: Case, job: Job, terms: Terms) -> Job:
        await case.sleep(7_200)
        return job

    late = Pipeline("limit", (Code("dawdle", Job, Job, dawdle), gate(3_600, **WAYS)))
    with anyio.fail_after(5):
        async with CaseBench(crew(late, seconds=3_600)) as bench:
            await bench.open("limit", "c1", Job(900))
            await bench.forward(hours=3)
            assert bench.value("c1", Job) == Job(900, "expired")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (HumanGate("limit", Job, int, "?", "r"), "passes on what was approved, which is not what it gives"),
        (HumanGate("limit", Job, Job, " ", "r"), "shows the person no title; say in `title` what is decided"),
        (HumanGate("limit", Job, Job, "?", ""), "names no rule, so the log cannot say why a person was asked"),
        (gate(-1), "cannot wait -1 seconds; give 0 to wait for ever"),
        (gate(expired=way("expired")), "never expires; say in `seconds` how long a person has"),
        (gate(60), "expires and says not what then; give `expired` or `rejected` a pattern"),
        (gate(rejected=code("stop", lambda job: 1, gives=int)), "'stop' gives int, but Job is wanted"),
        (gate(rejected=code("stop", lambda job: job, takes=int)), "'stop' takes int, but is given Job"),
    ],
)
def test_a_gate_that_leads_nowhere_says_what_to_do(made: HumanGate, says: str) -> None:
    (flaw,) = made.flaws()
    assert flaw.startswith("approval 'limit'")
    assert says in flaw
    assert gate(60, **WAYS).flaws() == []


@pytest.mark.crash_anywhere(crew(gate(3_600, **WAYS)), flow="limit", inputs=Job(1), people=[FakePerson("reject")])
async def test_a_decision_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    ended = await crashes()
    assert isinstance(ended.value, dict)
    assert ended.value["word"] == "rejected"


@pytest.mark.crash_anywhere(crew(gate(3_600, **WAYS)), flow="limit", inputs=Job(1))
async def test_an_expiry_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    ended = await crashes()
    assert isinstance(ended.value, dict)
    assert ended.value["word"] == "expired"
