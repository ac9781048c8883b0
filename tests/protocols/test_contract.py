"""The task contract: a missing term means not sent, and a child is never wider than its parent."""

import msgspec
import pytest

from casework.protocols.errors import REMEDIES, ContractIncomplete, ContractWidened
from casework.protocols.wire import (
    ATTEMPTS_MAX,
    BUDGET_MAX,
    DEADLINE_MAX,
    Budget,
    Criterion,
    Mandate,
    OnStop,
    RiskTier,
    Task,
    missing_terms,
    widened_term,
)
from tests.protocols.wire_samples import SAMPLES

TASK = next(sample for sample in SAMPLES if isinstance(sample, Task))


def changed(**terms: object) -> Task:
    return msgspec.structs.replace(TASK, **terms)


def test_a_whole_contract_lacks_nothing() -> None:
    assert missing_terms(TASK) == ()


@pytest.mark.promise("CONTRACT-1")
@pytest.mark.parametrize(
    ("term", "empty"),
    [
        ("case_id", ""),
        ("tenant", ""),
        ("task", ""),
        ("goal", ""),
        ("success_criteria", ()),
        ("inputs", msgspec.Raw()),
        ("deadline", 0),
        ("attempts", 0),
        ("budget", Budget(calls=-1)),
        ("budget", Budget(calls=1, micros=-1)),
        ("sender", ""),
        ("purpose", ""),
        ("goal", "  "),
        ("success_criteria", (Criterion(name=""),)),
        ("tools_allowed", ("read_receipt", "")),
        ("risk_tier", "reversible"),
        ("deadline", DEADLINE_MAX + 1),
        ("deadline", 1.5),
        ("attempts", ATTEMPTS_MAX + 1),
        ("attempts", True),
        ("budget", Budget(calls=BUDGET_MAX + 1)),
        ("budget", Budget(calls=1, micros=BUDGET_MAX + 1)),
        ("on_stop", "park"),
        ("on_stop", None),
        ("goal", None),
    ],
)
def test_a_contract_without_a_term_names_it(term: str, empty: object) -> None:
    assert missing_terms(changed(**{term: empty})) == (term,)


def test_all_missing_terms_are_named_at_once() -> None:
    assert missing_terms(changed(case_id="", deadline=-1, purpose="")) == ("case_id", "deadline", "purpose")
    assert "case_id, purpose" in str(ContractIncomplete("categorise", ("case_id", "purpose")))


def test_what_to_do_about_a_missing_term_is_said() -> None:
    said = str(ContractIncomplete("categorise", ("success_criteria", "attempts")))
    assert "success_criteria: name at least one predicate of the crew" in said
    assert f"attempts: allow from 1 to {ATTEMPTS_MAX}" in said
    assert {"sender", "tenant", "case_id", *REMEDIES} >= set(missing_terms(changed(**NOTHING)))


#: A value of each term that is none.
NOTHING: dict[str, object] = {
    "case_id": "",
    "tenant": "",
    "task": "",
    "goal": "",
    "success_criteria": (),
    "inputs": msgspec.Raw(),
    "tools_allowed": ("",),
    "risk_tier": "",
    "deadline": 0,
    "attempts": 0,
    "budget": Budget(calls=-1),
    "on_stop": "",
    "sender": "",
    "purpose": "",
}


def test_no_tools_and_no_money_are_terms_like_others() -> None:
    assert missing_terms(changed(tools_allowed=(), budget=Budget(calls=0))) == ()


@pytest.mark.parametrize("required", ["id", "tools_allowed", "risk_tier", "on_stop", "step_id"])
def test_no_contract_is_even_made_without_its_terms(required: str) -> None:
    terms = {field: getattr(TASK, field) for field in TASK.__struct_fields__ if field != required}
    with pytest.raises(TypeError, match=required):
        Task(**terms)


@pytest.mark.promise("CONTRACT-1")
@pytest.mark.parametrize(
    ("terms", "widened"),
    [
        ({"tools_allowed": ("read_receipt", "pay")}, ("tools_allowed", "pay", "read_receipt")),
        ({"risk_tier": RiskTier.IRREVERSIBLE}, ("risk_tier", "irreversible", "reversible")),
        ({"deadline": TASK.deadline + 1}, ("deadline", str(TASK.deadline + 1), str(TASK.deadline))),
        ({"budget": Budget(calls=101, micros=5)}, ("budget.calls", "101", "100")),
        ({"budget": Budget(calls=100, micros=6)}, ("budget.micros", "6", "5")),
    ],
)
def test_a_child_that_asks_for_more_than_its_parent_is_caught(
    terms: dict[str, object], widened: tuple[str, str, str]
) -> None:
    assert widened_term(changed(**terms), TASK) == widened
    assert widened[0] in str(ContractWidened("child", *widened))


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"tools_allowed": ()},
        {"risk_tier": RiskTier.READ_ONLY},
        {"deadline": TASK.deadline - 1},
        {"budget": Budget(calls=0)},
        {"attempts": 99, "on_stop": OnStop.FAIL, "goal": "something else"},
    ],
)
def test_a_child_as_narrow_as_its_parent_or_narrower_may_be_sent(terms: dict[str, object]) -> None:
    assert widened_term(changed(**terms), TASK) is None


def test_a_task_is_held_against_a_mandate_as_against_another_task() -> None:
    mandate = Mandate(
        tools_allowed=TASK.tools_allowed, risk_tier=TASK.risk_tier, deadline=TASK.deadline, budget=TASK.budget
    )
    assert widened_term(TASK, mandate) is None
    assert widened_term(changed(deadline=TASK.deadline + 1), mandate) == (
        "deadline",
        str(TASK.deadline + 1),
        str(TASK.deadline),
    )


def test_a_parent_without_tools_is_named_as_having_none() -> None:
    assert widened_term(TASK, changed(tools_allowed=())) == ("tools_allowed", "read_receipt", "none")


def test_risk_grows_from_reading_to_what_cannot_be_taken_back() -> None:
    assert sorted(RiskTier, key=lambda tier: tier.rank) == [
        RiskTier.READ_ONLY,
        RiskTier.REVERSIBLE,
        RiskTier.IRREVERSIBLE,
    ]
