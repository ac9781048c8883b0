"""A crew's flows are drawn from what they declare: all of it, nothing upon anything else, and no name gets out."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.actors.drawing.crews import crew_json, sketch_crew
from casework.actors.drawing.kinds import LOOKS
from casework.actors.drawing.sketch import Box, Frame, Line, Note, Sketch, Words, boxed
from casework.actors.drawing.svg import as_svg
from casework.actors.drawing.words import DETAIL, NAME, listed, shortened, width
from casework.actors.patterns.base import Assignment, Edge, Pattern
from casework.actors.patterns.flows import Allowance, Declaration, declaring, pattern_flow
from casework.actors.patterns.walk import walk
from casework.actors.policy import Approval
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from tests.support.command_desk import Desk
from tests.support.declared_patterns import Made, chain, code, task, trees

SVG = "{http://www.w3.org/2000/svg}"
#: Of a pixel.
ROUNDING = 0.001
Area = tuple[float, float, float, float]


class Order(Struct, frozen=True):
    number: int


@skill
async def fetch(inputs: Order, work: Work) -> Order:
    return inputs


async def asks(case: Case, inputs: Order) -> None:
    """Ask for an order."""
    await asks_for(case, inputs)


async def asks_for(case: Case, inputs: Order) -> Order:
    return (await case.delegate("fetch", inputs, returns=Order, goal="fetch it")).value


def crew(*flows: Flow, **more: Any) -> Crew:
    agents = [Agent("clerk", {"fetch": fetch})]
    return Crew("shop", flows=flows, agents=agents, policy=more.pop("policy", Policy(name="p")), **more)


def sketched(pattern: Pattern) -> Sketch:
    """Draw a flow of a pattern, whether a crew could have it or not."""
    return sketch_crew(crew(Flow.of(asks, inputs=Order)), [pattern_flow_of(pattern)])


def pattern_flow_of(pattern: Pattern) -> Flow:
    allowance = Allowance(calls=1, micros=0, seconds=1.0, tools=(), tier=RiskTier.READ_ONLY)
    declaration = Declaration(patterns=(pattern,), allowance=allowance)
    return Flow("drawn", "1", asks, Order, "", declaration=declaration)


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    return [each.text or "" for each in root.iter() if each.tag in {f"{SVG}text", f"{SVG}title"}] + [
        (title.tail or "") for title in root.iter(f"{SVG}title")
    ]


def area(item: Box | Frame | Note) -> Area:
    return item.x, item.y, item.x + item.width, item.y + item.height


def apart(one: Area, other: Area) -> bool:
    """Tell whether two things do not overlap by more than a rounding; they may touch."""
    sides = (other[0] - one[2], one[0] - other[2], other[1] - one[3], one[1] - other[3])
    return max(sides) > -ROUNDING


def within(one: Area, other: Area) -> bool:
    return min(one[0] - other[0], one[1] - other[1], other[2] - one[2], other[3] - one[3]) > -ROUNDING


def segments(items: list[Line]) -> Iterator[Area]:
    for item in items:
        for (x1, y1), (x2, y2) in zip(item.points, item.points[1:], strict=False):
            yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@settings(max_examples=60, deadline=None)
@given(trees(3))
def test_nothing_is_drawn_upon_anything_else(tree: Pattern) -> None:
    sketch = sketched(tree)
    boxes = [area(item) for item in sketch.items if isinstance(item, Box)]
    notes = [area(item) for item in sketch.items if isinstance(item, Note)]
    frames = [area(item) for item in sketch.items if isinstance(item, Frame)]
    lines = list(segments([item for item in sketch.items if isinstance(item, Line)]))
    assert all(apart(one, other) for one, other in combinations([*boxes, *notes], 2))
    assert all(apart(each, frame) or within(each, frame) for frame in frames for each in [*boxes, *notes])
    assert all(apart(a, b) or within(a, b) or within(b, a) for a, b in combinations(frames, 2))
    assert all(apart(line, box) for line in lines for box in boxes)
    whole = (0.0, 0.0, sketch.width, sketch.height)
    assert all(within(each, whole) for each in [*boxes, *notes, *frames, *lines])


@settings(max_examples=30, deadline=None)
@given(trees())
def test_every_part_is_drawn_and_its_words_fit_its_box(tree: Pattern) -> None:
    sketch = sketched(tree)
    boxes = [item for item in sketch.items if isinstance(item, Box)]
    named = [each.full or each.text for box in boxes for each in box.words if each.style is NAME]
    assert sorted(named) == sorted(place.pattern.name for place in walk(tree).places)
    for box in boxes:
        assert all(each.width <= box.width for each in box.words)
        assert sum(each.height for each in box.words) <= box.height
    assert set(named) <= set(texts(as_svg(sketch, "t")))


@settings(max_examples=30, deadline=None)
@given(trees())
def test_a_picture_is_well_formed_and_says_so_of_every_line_of_it(tree: Pattern) -> None:
    sketch = sketched(tree)
    root = ET.fromstring(as_svg(sketch, "t"))
    assert root.tag == f"{SVG}svg"
    drawn = [each for each in root.iter(f"{SVG}path") if "line" in (each.get("class") or "").split()]
    assert len(drawn) == sum(isinstance(item, Line) for item in sketch.items)


def test_no_name_gets_out_of_the_picture() -> None:
    evil = "</text><script>alert('&')</script>\x00\x1b[31m\ud800\ufffe"
    pattern = chain("ok", Made(evil, [Edge(code("a"), f'"{evil}"')], figure=evil))
    svg = as_svg(sketched(pattern), f'"{evil}')
    root = ET.fromstring(svg.encode())
    assert not list(root.iter(f"{SVG}script"))
    assert any(text.startswith("</text><script>alert") for text in texts(svg))


def test_a_write_a_person_and_the_agent_are_marked() -> None:
    gate = Made("sign", kind="approval")
    pay = Assignment("fetch", Order, Order, "Pay it back", tools=("pay",), tier=RiskTier.IRREVERSIBLE)
    told = texts(as_svg(sketched(chain("f", gate, pay)), "t"))
    assert {"writes for good", "a person decides", "task · clerk", "by pay"} <= set(told)
    assert any("Pay it back" in each for each in told)


def test_a_call_that_the_policy_has_approved_is_marked() -> None:
    policy = Policy(name="p", approvals=(Approval(rule="big", title="Pay?", tool="pay"),))
    flow = pattern_flow_of(task("fetch", tools=("pay",)))
    # The crew itself has no such tool; the picture does not mind.
    made = crew(Flow.of(asks, inputs=Order))
    made.policy = policy
    assert "approval by policy" in texts(as_svg(sketch_crew(made, [flow]), "t"))


def test_types_and_labels_stand_on_the_arrows() -> None:
    routes = Made("desk", [Edge(code("one", gives=int), "billing"), Edge(code("two"), "shipping")], kind="router")
    told = texts(as_svg(sketched(chain("f", code("zero", gives=list[Order]), routes)), "t"))
    assert {"Order", "list[Order]", "int", "billing", "shipping"} <= set(told)


def test_a_way_for_failures_is_dashed_but_not_a_route_that_only_sounds_like_one() -> None:
    for kind, dashed in (("alternative", True), ("router", False)):
        sketch = sketched(Made("desk", [Edge(code("one")), Edge(code("two"), "on hold")], kind=kind))
        assert any(item.dashed for item in sketch.items if isinstance(item, Line)) is dashed


def test_what_stands_at_several_places_is_drawn_once_and_named_where_it_stands_again() -> None:
    shared = chain("shared", code("inner"))
    told = texts(as_svg(sketched(chain("f", shared, shared)), "t"))
    assert told.count("shared") == 2
    assert told.count("inner") == 1
    assert "pipeline, as drawn before" in told


def test_a_flow_that_declares_nothing_is_one_box_with_its_tools_and_the_agents_that_its_code_asks() -> None:
    flow = Flow("asks", "1", asks, Order, "", ("look",))
    told = texts(as_svg(sketch_crew(crew(Flow.of(asks, inputs=Order)), [flow]), "t"))
    assert {"asks", "written by hand", "asks clerk", "calls look", "Order"} <= set(told)


def test_a_flow_of_ones_own_is_drawn_with_the_patterns_that_it_runs() -> None:
    flow = declaring(Flow.of(asks, inputs=Order), chain("lookup", task("fetch", takes=Order, gives=Order)))
    told = texts(as_svg(sketch_crew(crew(flow), [flow]), "t"))
    assert {"written by hand", "may run", "lookup", "fetch"} <= set(told)


def test_every_kind_has_a_shape_of_its_own() -> None:
    paths = {as_svg(boxed(look.shape, [Words.of("x", NAME)]), "t") for look in LOOKS.values()}
    assert len(paths) == len(LOOKS)


def test_words_that_are_too_long_are_cut_and_kept_beside() -> None:
    cut = Words.of("w" * 300, DETAIL)
    assert len(cut.text) == DETAIL.chars_max
    assert cut.full == "w" * 300
    assert shortened("a\n b\t\x1bc", DETAIL) == "a b c"
    assert width("漢字", NAME) > width("ii", NAME)


def test_a_long_list_goes_on_in_the_next_line() -> None:
    names = [f"tool_number_{number}" for number in range(5)]
    lines = listed("by", names, DETAIL)
    assert " ".join(lines) == f"by {', '.join(names)}"
    assert len(lines) == 2
    assert all(shortened(line, DETAIL) == line for line in lines)


def test_what_json_says_is_all_that_is_drawn() -> None:
    flow = pattern_flow(chain("f", task("fetch", takes=Order, gives=Order, micros=2)), inputs=Order, micros=2)
    said: Any = crew_json(crew(flow), [flow])
    (parts,) = said["flows"][0]["patterns"]
    assert [(each["path"], each["agent"], each["writes"]) for each in parts] == [
        ("f", "", False),
        ("f > fetch", "clerk", False),
    ]
    assert parts[0]["parts"] == [{"label": "", "part": 1}]
    assert parts[1]["figures"] == {"micros": "2"}


def test_the_command_prints_a_picture(desk: Desk) -> None:
    done = desk("graph", "tiny_crew:crew")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"line", "asks reader", "Line"} <= set(texts(done.stdout))
    assert "prefers-color-scheme:dark" in done.stdout


def test_the_command_writes_a_picture_into_a_file_and_says_where(desk: Desk) -> None:
    file = desk.folder / "crew.svg"
    done = desk("graph", "tiny_crew:crew", "--out", file, "--flow", "line")
    assert (done.returncode, done.stdout) == (0, f"{file}: line\n")
    assert "written by hand" in texts(file.read_text())
    said: Any = json.loads(desk("graph", "tiny_crew:crew", "--json").stdout)
    assert [each["flow"] for each in said["flows"]] == ["line"]
    assert said["flows"][0]["agents"] == ["reader"]


@pytest.mark.parametrize(
    ("arguments", "code_", "why"),
    [
        (("tiny_crew:crew", "--flow", "lien"), 3, "crew 'tiny' has no flow 'lien'; it has line"),
        (("tiny_crew:crew", "--out", "nowhere/of/all/crew.svg"), 2, "there is no folder nowhere/of/all; make it"),
        (("tiny_crew",), 2, "write it as module:attribute"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(desk: Desk, arguments: tuple[str, ...], code_: int, why: str) -> None:
    done = desk("graph", *map(Path, arguments))
    assert done.returncode == code_
    assert why in done.stderr
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
