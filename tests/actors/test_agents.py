"""An agent at work: what it is shown, what it may answer, and how its failures are told."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Answer, Skill, Work, skill
from casework.actors.errors import CallRefused, CrewInvalid, WorkFailed
from casework.protocols.codec import FRAME_BYTES_MAX, decode_task, encode, pack, unpack
from casework.protocols.errors import FrameInvalid
from casework.protocols.wire import NIL, CallAnswered, Completed, Evidence, Failed, FailureKind, Task
from tests.support.staff_scene import CaseDouble, Scene


class Amount(Struct, frozen=True):
    amount: int


async def outcome_of(
    scene: Scene,
    function: Callable[..., Any],
    *,
    values: dict[str, CallAnswered] | None = None,
    checks: dict[str, Callable[..., bool]] | None = None,
    returns: type = int,
    **terms: Any,
) -> tuple[Any, CaseDouble]:
    """Have one task done by an agent whose skill `work` is `function`, and give its outcome."""
    crew = scene.crew([Agent("worker", {"work": Skill(Amount, returns, function)}, version="2")], criteria=checks)
    case, task = scene.case(values), scene.task(**terms)
    with anyio.fail_after(5):
        async with scene.staff(crew) as staff:
            assert staff.dispatch(encode(task), task, 1, case) is None
            (outcome,) = await case.wait_outcomes(1)
    return outcome, case


async def test_an_outcome_carries_value_confidence_evidence_and_who_did_it(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> Answer[int]:
        return Answer(inputs.amount + 1, 0.8, (Evidence(ref="input:a.pdf"),))

    outcome, case = await outcome_of(scene, work)
    assert isinstance(outcome, Completed)
    assert (unpack(outcome.value, int), outcome.confidence, outcome.agent) == (8, 0.8, "worker/2")
    assert (outcome.evidence[0].ref, outcome.task_id, case.attempts) == ("input:a.pdf", "t1", [1])


@pytest.mark.promise("AGENT-1")
async def test_undeclared_inputs_are_refused_by_the_name_of_the_field(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        return 1

    outcome, _ = await outcome_of(scene, work, inputs={"amount": 1, "iban": "NL00"})
    assert (outcome.kind, outcome.message) == (FailureKind.INVALID, "skill work does not declare iban")


async def test_inputs_of_a_wrong_type_name_the_place_and_not_the_contents(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        return 1

    outcome, _ = await outcome_of(scene, work, inputs={"amount": "secret"})
    assert outcome.kind is FailureKind.INVALID
    assert "$.amount" in outcome.message
    assert "secret" not in outcome.message


@pytest.mark.parametrize("raised", [SystemExit(3), BaseExceptionGroup("some", [SystemExit(3)])], ids=repr)
async def test_an_agent_that_exits_has_failed_its_task_and_ends_nobody(scene: Scene, raised: BaseException) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        raise raised

    outcome, _ = await outcome_of(scene, work)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.ERROR
    assert "test_agents.py" in outcome.message


@pytest.mark.parametrize("text", ["no file a\udcffb", "long " * 400_000], ids=["undecodable", "long"])
async def test_a_failure_is_told_whatever_its_text_is(scene: Scene, text: str) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        raise WorkFailed(text)

    outcome, _ = await outcome_of(scene, work)
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith(text[:9])


@pytest.mark.promise("AGENT-2")
async def test_a_value_that_misses_a_criterion_is_not_done(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        return inputs.amount

    criteria = {"positive": lambda value: value > 0}
    met, _ = await outcome_of(scene, work, checks=criteria, inputs={"amount": 1}, criteria=("positive",))
    assert isinstance(met, Completed)


async def missed(scene: Scene, inputs: Any, names: tuple[str, ...]) -> tuple[FailureKind, str]:
    async def work(inputs: Amount, work: Work) -> int | None:
        return inputs.amount or None

    crew_criteria = {"positive": lambda value: value > 0}
    agent = Agent("worker", {"work": Skill(Amount, object, work)})
    crew, case = scene.crew([agent], criteria=crew_criteria), scene.case()
    task = scene.task(inputs=inputs, criteria=names)
    with anyio.fail_after(5):
        async with scene.staff(crew) as staff:
            staff.dispatch(encode(task), task, 1, case)
            (outcome,) = await case.wait_outcomes(1)
    assert isinstance(outcome, Failed)
    return outcome.kind, outcome.message


async def test_the_criterion_that_was_missed_is_named(scene: Scene) -> None:
    kind, message = await missed(scene, {"amount": -1}, ("returned", "positive"))
    assert (kind, message) == (FailureKind.CRITERION, "criterion 'positive' is not met")
    assert (await missed(scene, {"amount": 0}, ("returned",)))[0] is FailureKind.CRITERION


async def test_an_unknown_criterion_is_refused_before_any_work(scene: Scene) -> None:
    kind, message = await missed(scene, {"amount": 1}, ("blessed",))
    assert (kind, message) == (FailureKind.REFUSED, "the crew has no criterion 'blessed'")


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (ValueError("iban NL00"), FailureKind.ERROR, False),
        (ConnectionError("host secret"), FailureKind.UNAVAILABLE, True),
        (FileNotFoundError("/home/secret"), FailureKind.ERROR, False),
        (TimeoutError(), FailureKind.TIMEOUT, True),
        (WorkFailed("cannot tell", kind=FailureKind.INVALID), FailureKind.INVALID, False),
        (CallRefused("read", FailureKind.UNKNOWN, "may have happened"), FailureKind.UNKNOWN, False),
        (CallRefused("read", FailureKind.UNAVAILABLE, "circuit open"), FailureKind.UNAVAILABLE, True),
    ],
)
async def test_what_an_agent_raises_is_told_by_kind_and_without_contents(
    scene: Scene, error: Exception, kind: FailureKind, retryable: bool
) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        raise error

    outcome, _ = await outcome_of(scene, work)
    assert (outcome.kind, outcome.retryable, outcome.agent) == (kind, retryable, "worker/2")
    assert "secret" not in outcome.message
    assert "NL00" not in outcome.message


async def test_a_value_of_another_type_or_a_confidence_beyond_1_is_invalid(scene: Scene) -> None:
    async def text(inputs: Amount, work: Work) -> str:
        return "text"

    async def sure(inputs: Amount, work: Work) -> Answer[int]:
        return Answer(1, 1.5)

    functions: tuple[Callable[..., Any], ...] = (text, sure)
    for function in functions:
        outcome, _ = await outcome_of(scene, function)
        assert outcome.kind is FailureKind.INVALID


@pytest.mark.parametrize(
    "answer",
    [
        Answer("long" * (FRAME_BYTES_MAX // 4 - 10)),
        Answer("fine", confidence=Fraction(1, 2)),  # type: ignore[arg-type]  # what an agent gives can be anything
        Answer("fine", confidence=True),
        Answer("fine", evidence=(Evidence(ref="input:a", label="a\udc80"),)),
        Answer("fine", evidence=("input:a",)),  # type: ignore[arg-type]  # as above
    ],
    ids=["no room for the rest", "a fraction", "a truth", "a label without bytes", "a text as evidence"],
)
async def test_an_answer_that_has_no_frame_is_invalid_and_is_told_at_once(scene: Scene, answer: Answer[str]) -> None:
    async def work(inputs: Amount, work: Work) -> Answer[str]:
        return answer

    outcome, _ = await outcome_of(scene, work, returns=str)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.agent, outcome.attempt) == (FailureKind.INVALID, "worker/2", 1)
    assert outcome.message.startswith("its answer is no outcome: ")


async def test_a_failure_that_cannot_even_say_what_it_is_is_told_by_its_place(scene: Scene) -> None:
    class Mute(WorkFailed):
        def __str__(self) -> str:
            raise AttributeError

    async def work(inputs: Amount, work: Work) -> int:
        raise Mute("why", kind=FailureKind.REFUSED)

    outcome, _ = await outcome_of(scene, work)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.message.partition(":")[0]) == (FailureKind.REFUSED, "Mute at test_agents.py")


@pytest.mark.promise("GATE-9")
async def test_calls_go_through_the_case_and_nowhere_else(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        with pytest.raises(CallRefused) as caught:
            await work.call("gone", {}, returns=int)
        assert caught.value.kind is FailureKind.REFUSED
        return await work.call("read", inputs, returns=int)

    values = {"gone": CallAnswered(failure=FailureKind.REFUSED, message="no"), "read": CallAnswered(value=pack(5))}
    outcome, case = await outcome_of(scene, work, values=values)
    assert unpack(outcome.value, int) == 5
    assert case.asked == [("gone", bytes(pack({}))), ("read", bytes(pack({"amount": 7})))]


async def test_what_a_person_says_has_happened_has_no_value_and_says_so_by_its_kind(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        await work.call("pay", inputs, returns=type(None))
        with pytest.raises(FrameInvalid):
            await work.call("read", inputs, returns=int)
        return await work.call("pay", inputs, returns=int)

    values = {"pay": CallAnswered(value=NIL), "read": CallAnswered(value=pack("five"))}
    outcome, _ = await outcome_of(scene, work, values=values)
    assert (outcome.kind, outcome.retryable) == (FailureKind.UNKNOWN, False)
    assert outcome.message == "tool 'pay' gave no value (unknown): it happened, but what it returned is not known"


async def test_a_task_whose_deadline_has_passed_is_not_begun(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> int:
        raise AssertionError

    outcome, _ = await outcome_of(scene, work, deadline_seconds=0)
    assert (outcome.kind, outcome.retryable) == (FailureKind.TIMEOUT, False)


@pytest.mark.promise("FRAME-1")
async def test_the_agent_decodes_the_very_bytes_that_were_dispatched(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[bytes]()

    def spy(frame: bytes) -> Task:
        seen.append(frame)
        return decode_task(frame)

    async def work(inputs: Amount, work: Work) -> int:
        return 1

    monkeypatch.setattr("casework.actors.agent.decode_task", spy)
    crew, case, task = scene.crew([Agent("worker", {"work": Skill(Amount, int, work)})]), scene.case(), scene.task()
    frame = encode(task)
    with anyio.fail_after(5):
        async with scene.staff(crew) as staff:
            staff.dispatch(frame, task, 1, case)
            await case.wait_outcomes(1)
    assert len(seen) == 1
    assert seen[0] is frame


def test_a_skill_takes_its_types_from_the_function() -> None:
    async def work(inputs: Amount, work: Work) -> Answer[int]:
        return Answer(1)

    made = skill(work)
    assert (made.inputs, made.returns) == (Amount, int)

    async def bare(inputs: Any, work: Any):  # type: ignore[no-untyped-def]  # what it lacks is the point
        return 1

    with pytest.raises(CrewInvalid, match="by annotation"):
        skill(bare)
