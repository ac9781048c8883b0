"""A pattern that somebody writes for themselves lives in a file of theirs, such as this one, and is named nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from casework.actors.drawing.crews import sketch_crew
from casework.actors.drawing.svg import as_svg
from casework.actors.errors import CrewInvalid
from casework.actors.patterns import Edge, Pattern, Terms, pattern_flow
from casework.actors.patterns.fitting import misfits
from casework.runtime import Case, Result
from tests.support.pattern_crew import Job, code, staffed
from tests.support.pattern_nesting import SKILLS, stands_anywhere
from tests.support.pattern_trees import LEAF, Leaf


@dataclass(frozen=True, eq=False)
class SecondLook:
    """A part, and another one that looks again where the first is not sure enough."""

    name: str
    first: Pattern
    second: Pattern
    floor: float
    kind: str = "second_look"

    @property
    def takes(self) -> Any:
        return self.first.takes

    @property
    def gives(self) -> Any:
        return self.first.gives

    @property
    def parts(self) -> Sequence[Edge]:
        return (Edge(self.first), Edge(self.second, "not sure enough"))

    def flaws(self) -> Sequence[str]:
        who = f"second look {self.name!r}"
        floor = () if 0 < self.floor <= 1 else (f"{who} has a floor of {self.floor}: give more than 0, up to 1",)
        return (*floor, *misfits(who, self.second, given=self.takes, wanted=self.gives))

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        mine, rest = terms.shares([1, 1])
        found = await self.first(case, given, mine)
        then = "keep" if found.confidence >= self.floor else "look again"
        await case.decide(
            self.name, ("keep", "look again"), then, rule="second_look.floor", confidence=found.confidence
        )
        return found if then == "keep" else await self.second(case, given, rest)


@dataclass(slots=True, frozen=True, eq=False)
class Unsure:
    """A part that is not sure of anything."""

    name: str
    takes: Any = Job
    gives: Any = Job
    kind: str = "unsure"
    parts: Sequence[Edge] = ()

    def flaws(self) -> Sequence[str]:
        return ()

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        return Result(given, 0.1, (), "")


PLACES = {
    "second look, first": lambda inner: SecondLook("sure", inner, LEAF, 0.5),
    "second look, second": lambda inner: SecondLook("sure", Unsure("unsure"), inner, 0.5),
}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_it_stands_in_every_kind_and_every_kind_in_it() -> None:
    await stands_anywhere(PLACES)


def test_a_crew_checks_it_like_any_other() -> None:
    for wrong, why in (
        (SecondLook("sure", LEAF, Leaf("other"), 7), "sure: second look 'sure' has a floor of 7: give more than 0"),
        (SecondLook("sure", LEAF, code("text", str, takes=str), 0.5), "'text' takes str, but is given Job"),
    ):
        with pytest.raises(CrewInvalid, match=why):
            staffed(SKILLS, pattern_flow(wrong, inputs=Job))


def test_it_is_drawn_with_its_figures_and_its_ways() -> None:
    flow = pattern_flow(SecondLook("sure", LEAF, Leaf("other"), 0.5), inputs=Job)
    picture = as_svg(sketch_crew(staffed(SKILLS, flow), [flow]), "own")
    assert all(word in picture for word in ("second_look", "floor 0.5", "not sure enough"))


def test_a_case_notices_when_its_declaration_has_changed() -> None:
    flows = [pattern_flow(SecondLook("sure", LEAF, Leaf("other"), floor), inputs=Job) for floor in (0.5, 0.6, 0.5)]
    hashes = [flow.source_hash for flow in flows]
    assert hashes[0] == hashes[2] != hashes[1]
