"""A flow made of a pattern runs it within what one case may use, and is pinned by all that was declared."""

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.actors.patterns.base import Assignment, Code, Pattern
from casework.actors.patterns.description import declared_hash, describe, type_name
from casework.actors.patterns.flows import Declaration, declaring, pattern_flow
from casework.actors.patterns.terms import Terms
from casework.actors.testing import CaseBench
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from casework.runtime.store.base import CaseStatus
from tests.support.declared_patterns import Made, chain, code, task, trees


class Number(Struct, frozen=True):
    value: int


@skill
async def double(inputs: Number, work: Work) -> Number:
    return Number(inputs.value * 2)


async def plus_one(case: Case, given: Number, terms: Terms) -> Number:
    return Number(given.value + 1)


async def minus_one(case: Case, given: Number, terms: Terms) -> Number:
    return Number(given.value - 1)


DOUBLE = task("double", takes=Number, gives=Number)
PLUS_ONE = code("plus_one", plus_one, takes=Number, gives=Number)
REACHES = chain("sums", DOUBLE, PLUS_ONE, takes=Number, gives=Number)


def crew(*flows: Flow) -> Crew:
    return Crew("sums", flows=flows, agents=[Agent("doubler", {"double": double})], policy=Policy(name="p"))


async def test_a_flow_of_a_pattern_runs_it_and_gives_its_value() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(pattern_flow(REACHES, inputs=Number))) as bench:
            await bench.open("sums", "c1", Number(20))
            assert bench.value("c1", Number) == Number(41)


async def test_the_work_of_a_case_has_the_terms_that_its_flow_was_given() -> None:
    seen: list[Terms] = []

    async def looks(case: Case, given: Number, terms: Terms) -> None:
        seen.append(terms)

    flow = pattern_flow(code("looks", looks), inputs=Number, calls=7, micros=9, seconds=60)
    with anyio.fail_after(5):
        async with CaseBench(crew(flow)) as bench:
            now = bench.clock.wall_micros()
            await bench.open("looks", "c1", Number(1))
    assert seen[0] == Terms(deadline=now + 60_000_000, calls=7, micros=9)


async def test_the_work_of_a_case_that_another_opened_within_a_mandate_has_terms_no_wider_than_that() -> None:
    seen: list[Terms] = []

    async def looks(case: Case, given: Number, terms: Terms) -> None:
        seen.append(terms)

    async def opens(case: Case, inputs: Number) -> None:
        within = Terms(deadline=await case.now() + 30_000_000, calls=5)
        await case.open("looks", "c1/below", inputs, within=within.mandate())

    flow = pattern_flow(code("looks", looks), inputs=Number, calls=7, micros=9, seconds=60)
    with anyio.fail_after(5):
        async with CaseBench(crew(flow, Flow.of(opens, inputs=Number))) as bench:
            now = bench.clock.wall_micros()
            await bench.open("opens", "c1", Number(1))
            await bench.settle()
    assert seen[0] == Terms(deadline=now + 30_000_000, calls=5)


async def test_a_case_that_began_under_another_declaration_parks_as_if_its_flow_had_changed() -> None:
    async def waits(case: Case, given: Number, terms: Terms) -> None:
        await case.park("paper", reason="the paper is missing")

    before = pattern_flow(chain("sums", code("waits", waits), DOUBLE), inputs=Number)
    with anyio.fail_after(5):
        async with CaseBench(crew(before)) as bench:
            await bench.open("sums", "c1", Number(1))
            dearer = chain("sums", code("waits", waits), replace(DOUBLE, calls=99))
            bench._crew = crew(pattern_flow(dearer, inputs=Number))
            await bench.crash()
            await bench.deliver("paper")
            row = bench.row("c1")
    assert row.status is CaseStatus.PARKED
    assert any(before.source_hash in wait.reason for wait in row.waits), row.waits


def test_a_name_that_no_flow_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="'two words' must be 1 to 64 letters"):
        pattern_flow(code("two words"), inputs=Number)


def test_a_version_that_no_flow_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="flow 'plus_one': its version must be printable text"):
        pattern_flow(PLUS_ONE, inputs=Number, version="2\0")


def test_a_flow_may_call_the_tools_of_its_own_code_but_not_those_of_its_agents() -> None:
    async def calls(case: Case, given: Number, terms: Terms) -> None: ...

    parts = (task("double", tools=("calculator",)), Code("calls", object, object, calls, tools=("printer",)))
    assert pattern_flow(chain("f", *parts), inputs=Number, tools=("calculator", "printer")).tools == ("printer",)


async def sums(case: Case, inputs: Number) -> int:
    return inputs.value


def test_a_flow_of_ones_own_says_which_patterns_it_runs_and_is_pinned_by_them_too() -> None:
    plain = Flow.of(sums, inputs=Number)
    said, other = declaring(plain, REACHES), declaring(plain, chain("sums", DOUBLE))
    assert isinstance(said.declaration, Declaration)
    assert said.declaration.patterns == (REACHES,)
    assert said.function is plain.function
    assert len({plain.source_hash, said.source_hash, other.source_hash}) == 3


class Above(Struct, frozen=True):
    limit: int

    def __call__(self, value: int) -> bool:
        return value > self.limit


def above(limit: int) -> Callable[[int], bool]:
    return lambda value: value > limit


CHANGES: dict[str, tuple[object, object]] = {
    "a task's budget": (DOUBLE, replace(DOUBLE, calls=99)),
    "a task's tier": (DOUBLE, replace(DOUBLE, tier=RiskTier.REVERSIBLE)),
    "the type that is given": (code("f", gives=int), code("f", gives=int | None)),
    "code": (code("f", plus_one), code("f", minus_one)),
    "the order of parts": (chain("f", DOUBLE, PLUS_ONE), chain("f", PLUS_ONE, DOUBLE)),
    "what a function has taken along": (Made("f", figure=above(1)), Made("f", figure=above(2))),
    "an argument given before": (
        Made("f", figure=functools.partial(max, 1)),
        Made("f", figure=functools.partial(max, 2)),
    ),
    "a predicate's figure": (Made("f", figure=Above(1)), Made("f", figure=Above(2))),
    "a method's object": (Made("f", figure=Above(1).__call__), Made("f", figure=Above(2).__call__)),
    "a table": (Made("f", figure={"a": 1}), Made("f", figure={"a": 2})),
    "a pattern among the figures": (Made("f", figure={"a": DOUBLE}), Made("f", figure={"a": PLUS_ONE})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_declaration_has_another_hash(change: str) -> None:
    before, after = CHANGES[change]
    assert declared_hash([before]) != declared_hash([after])  # type: ignore[list-item]
    assert declared_hash([before]) == declared_hash([before])  # type: ignore[list-item]


def test_what_a_whole_case_may_use_counts_for_the_hash() -> None:
    assert pattern_flow(DOUBLE, inputs=Number).source_hash != pattern_flow(DOUBLE, inputs=Number, calls=1).source_hash


ODD = Made("f", figure=[{"of", "a", "set"}, object(), iter([]), above(3), print, Made])
ELSEWHERE = """
from tests.actors.patterns.test_flows import ODD, REACHES
from casework.actors.patterns.description import declared_hash
print(declared_hash([REACHES, ODD]))
"""


def test_the_hash_is_the_same_in_every_process() -> None:
    said = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == declared_hash([REACHES, ODD])


@settings(max_examples=50, deadline=None)
@given(trees())
def test_a_declaration_is_described_with_each_of_its_patterns_once(tree: Pattern) -> None:
    names: list[str] = []

    def gather(pattern: Pattern) -> None:
        names.append(pattern.name)
        for edge in pattern.parts:
            gather(edge.pattern)

    gather(tree)
    assert sorted(str(each[1]) for each in describe(tree)) == sorted(names)


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (int, "int"),
        (object, "anything"),
        (Any, "anything"),
        (None, "nothing"),
        (int | None, "int | nothing"),
        (list[Number], "list[Number]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, int | str], "dict[str, int | str]"),
        (Assignment, "Assignment"),
    ],
    ids=str,
)
def test_a_type_is_named_as_its_author_would(type_: object, name: str) -> None:
    assert type_name(type_) == name
