"""Made-up flows run on the real engine, by a clock that is moved by hand: what is told of their time must add up.

How long a flow takes follows from how it was made up, so the critical path is held against something that knows no log.
"""

from collections.abc import Coroutine
from typing import Any, NamedTuple, cast

from hypothesis import given
from hypothesis import strategies as st

from casework.actors.timing import timing
from casework.protocols.codec import unpack
from casework.protocols.records import Cancel, Done, Entry, Won
from casework.runtime.flow.case import Case
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.entries import Setting
from casework.runtime.flow.operations import CallTool, Delegate, Park, Sleep
from casework.runtime.store.base import CaseKey, Record
from tests.support.timed_logs import (
    ARRIVED,
    CLOSED,
    DECIDED,
    FIRED,
    INTENT,
    OPENED,
    REVIEW,
    TASK,
    TIMER,
    call,
    completed,
    failed,
    log,
)


class Leaf(NamedTuple):
    """A step that takes so long."""

    kind: str
    micros: int
    queue: int
    tool: int


class Group(NamedTuple):
    """Parts that run one after the other, or side by side."""

    parallel: bool
    parts: tuple[Any, ...]


leaves = st.builds(
    Leaf,
    st.sampled_from(["task", "call", "park", "timer"]),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
)
plans = st.recursive(
    leaves,
    lambda parts: st.builds(Group, st.booleans(), st.lists(parts, min_size=1, max_size=4).map(tuple)),
    max_leaves=12,
)


def longest(plan: Leaf | Group) -> int:
    """Give how long a plan takes if nothing is in between."""
    if isinstance(plan, Leaf):
        return plan.micros
    times = [longest(part) for part in plan.parts]
    return max(times) if plan.parallel else sum(times)


async def follow(case: Case, plan: Leaf | Group) -> None:
    """Do what a plan says, each step with its plan in what it asks for."""
    if isinstance(plan, Group) and plan.parallel:
        await case.gather(*(follow(case, part) for part in plan.parts))
    elif isinstance(plan, Group):
        for part in plan.parts:
            await follow(case, part)
    elif plan.kind == "task":
        await case.delegate("book", tuple(plan), returns=object, goal="Book it")
    elif plan.kind == "call":
        await case.call("look", {"plan": tuple(plan)}, returns=object)
    elif plan.kind == "park":
        await case.park(str(plan.micros), reason="r")
    else:
        await case.sleep(plan.micros / 1_000_000)


def run(plan: Leaf | Group, gap: int = 0) -> list[Record]:
    """Lead the engine through a plan and write its log; before each record that the flow causes, `gap` goes by."""
    now = 0
    setting = Setting(
        key=CaseKey("default", "c"),
        flow="f",
        purpose="p",
        trace="",
        policy_hash="",
        identity=b"i",
        now=lambda: now,
        draw=lambda operation, waited: 0,
    )
    case = Case("default", "c")
    flow = cast("Coroutine[object, object, object]", case.run(follow, plan))
    engine, told, due = Engine(flow, setting), [(0, "case", cast("Entry", OPENED))], dict[str, tuple[int, int]]()
    engine.begin()
    while not engine.finished:
        for output in engine.outputs:
            now += gap
            told.append((now, output.step_id, output.entry))
        engine.outputs.clear()
        for step, pending in engine.pending.items():
            due.setdefault(step, (now, now + leaf_of(pending.operation).micros))
        step = min(due, key=lambda each: due[each][1])
        (began, at), pending = due.pop(step), engine.pending[step]
        now = max(now, at)
        entry = end_of(leaf_of(pending.operation), now - began)
        told.append((now, step, entry))
        engine.feed(step, entry)
    return log(*told, (now, "case", CLOSED))


def leaf_of(operation: object) -> Leaf:
    match operation:
        case Delegate(inputs=inputs):
            return unpack(inputs, Leaf)
        case CallTool(arguments=arguments):
            return unpack(arguments, dict[str, Leaf])["plan"]
        case Park(key=key):
            return Leaf("park", int(key), 0, 0)
        case Sleep(seconds=seconds):
            return Leaf("timer", round(seconds * 1_000_000), 0, 0)
        case _:
            raise AssertionError(operation)


def end_of(leaf: Leaf, took: int) -> Entry:
    match leaf.kind:
        case "task":
            queued = min(leaf.queue, took)
            return completed(queued=queued, worked=took - queued)
        case "call":
            return call()
        case "park":
            return ARRIVED
        case _:
            return FIRED


@given(plans)
def test_without_gaps_the_critical_path_is_as_long_as_the_longest_chain_of_steps(plan: Leaf | Group) -> None:
    times = timing(run(plan))
    assert times.micros == sum(each.spent.total for each in times.path) == longest(plan)
    assert times.gaps == ()


@given(plans, st.integers(0, 50))
def test_the_parts_of_every_step_add_up_to_its_time_and_the_path_with_its_gaps_to_the_case(
    plan: Leaf | Group, gap: int
) -> None:
    times = timing(run(plan, gap))
    for each in times.steps:
        assert each.spent.total == each.ended - each.began
        assert min(each.spent.waiting, each.spent.queue, each.spent.working, each.spent.tools) >= 0
    assert sum(each.spent.total for each in times.path) + sum(each.micros for each in times.gaps) == times.micros
    assert all(first.ended <= then.began for first, then in zip(times.path, times.path[1:], strict=False))
    assert [each.after for each in times.path] == ["", *(each.step for each in times.path[:-1])]


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(range(14))), max_size=30))
def test_any_log_at_all_is_told_and_adds_up(picks: list[tuple[int, int]]) -> None:
    entries: list[tuple[str, Entry]] = [
        ("book", TASK),
        ("book:look", call(took=40)),
        ("book:pay:(approval)", REVIEW),
        ("book:pay:(approval)", DECIDED),
        ("book:(attempt)#1", failed()),
        ("book", completed(queued=300, worked=900)),
        ("gather/0/timer", TIMER),
        ("gather/0/timer", FIRED),
        ("gather/1/look", call()),
        ("first", Won(branch=0)),
        ("case", Cancel(message_id="m", by="ann")),
        ("pay", INTENT),
        ("pay", Done(tool="pay")),
        ("review", REVIEW),
    ]
    times = timing(log((0, "case", OPENED), *((at, *entries[which]) for at, which in picks)))
    assert all(each.spent.total == each.ended - each.began for each in times.steps)
    assert sum(each.spent.total for each in times.path) + sum(each.micros for each in times.gaps) == times.micros
