"""What `skill` takes, as the type checker sees it: an ignore below that is not needed fails the check of types."""

import pytest
from msgspec import Struct

from casework.actors.agent import Answer, Work, skill
from casework.actors.errors import CrewInvalid


class Amount(Struct, frozen=True):
    amount: int


async def value(inputs: Amount, work: Work) -> int:
    return inputs.amount


async def answer(inputs: Amount, work: Work) -> Answer[int]:
    return Answer(inputs.amount)


async def perhaps(inputs: Amount, work: Work) -> Answer[str | None]:
    return Answer(None)


def at_once(inputs: Amount, work: Work) -> int:
    return inputs.amount


async def alone(inputs: Amount) -> int:
    return inputs.amount


async def by_text(inputs: Amount, work: str) -> str:
    return work


async def of_a_dict(inputs: dict[str, int], work: Work) -> int:
    return len(inputs)


def test_a_skill_gives_a_value_or_an_answer_with_one() -> None:
    assert [skill(value).returns, skill(answer).returns, skill(perhaps).returns] == [int, int, str | None]


def test_what_is_no_skill_fails_the_check_of_types() -> None:
    with pytest.raises(CrewInvalid, match="async def"):
        skill(at_once)  # type: ignore[arg-type]  # nothing to await
    with pytest.raises(CrewInvalid, match="takes `inputs` and `work`"):
        skill(alone)  # type: ignore[arg-type]  # no work
    # These two are found when they are used, the second by the crew that gets it; the checker is earlier.
    skill(by_text)  # type: ignore[arg-type]  # work is no text
    skill(of_a_dict)  # type: ignore[type-var]  # inputs are declared field by field


class Other(Struct, frozen=True):
    other: int


async def either(inputs: Amount, work: Work) -> Amount | Other:
    return inputs


def test_values_that_no_frame_could_tell_apart_are_refused_when_the_skill_is_made() -> None:
    with pytest.raises(CrewInvalid, match=r"what a frame can hold: .*Struct"):
        skill(either)
