"""Diagrams of declarations: each pattern a box whose shape says its kind, with its parts below it in a frame.

Work goes from the top down. Arrows say what a way is called and which type goes along it; ways that are taken only when
something failed are dashed. It does not know flows, nor how any of it is painted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from casework.actors.drawing.facts import Facts
from casework.actors.drawing.kinds import Way, look_of
from casework.actors.drawing.sketch import (
    Branch,
    Sketch,
    Words,
    beside,
    boxed,
    framed,
    head_of,
    looped,
    stacked,
    through,
)
from casework.actors.drawing.words import DETAIL, NAME, PILL, listed
from casework.actors.patterns.walk import Place
from casework.protocols.wire import RiskTier

#: Parts that come before the others, and after them, by what the way to them is called.
_FIRST: Final = ("chooses", "plans")
_LAST: Final = ("combines", "verify")
#: Ways that are taken when something failed or did not come.
_FAILED: Final = ("otherwise", "too late", "reject", "expire", "on ")
#: Kinds whose ways are called as their authors like, so that a name says nothing about the way.
_NAMED: Final = frozenset({"router", "vote", "manager", "subscription"})
#: What goes on by itself, where a way besides it is declared: kind, and what the way is called.
_PASSES: Final[Mapping[str, str]] = {"approval": "approve", "evidence": "in time"}
#: Lines of figures in a box.
_LINES_MAX: Final = 3
#: What a tier says.
_PILLS: Final = {
    RiskTier.REVERSIBLE: ("writes, can be undone", "undoable"),
    RiskTier.IRREVERSIBLE: ("writes for good", "final"),
}


@dataclass(slots=True, frozen=True)
class _Part:
    label: str
    sketch: Sketch
    gives: str


@dataclass(slots=True, eq=False)
class Diagram:
    """Draws one declaration."""

    places: Sequence[Place]
    told: Callable[[Place], Facts]
    drawn: set[int]
    """Places that have been drawn; again they are only named."""

    def draw(self, number: int) -> Sketch:
        """Draw a place and all that is below it."""
        place = self.places[number]
        facts = self.told(place)
        again = number in self.drawn
        self.drawn.add(number)
        head = _headed(facts, again=again)
        if again or not place.joints:
            return head
        parts = [
            _Part(joint.label, self.draw(joint.to), _typed(self.told(self.places[joint.to]).gives))
            for joint in place.joints
        ]
        return framed(_composed(facts, head, parts))


def _composed(facts: Facts, head: Sketch, parts: Sequence[_Part]) -> Sketch:
    """Put the parts below the head: those that come first, the body, those that come last."""
    way = look_of(facts.kind).way
    first = [part for part in parts[:1] if part.label in _FIRST]
    end = parts if facts.kind not in _NAMED else parts[-1:] if way is Way.CIRCLE else parts[:0]
    last = [part for part in end if part.label.startswith(_LAST) and part not in first]
    body = [part for part in parts if part not in first and part not in last]
    rows: list[_Part] = [*first]
    if body:
        rows.append(_body(facts, body, way))
    top = [_Part("", head, "")]
    if way is Way.CIRCLE:
        lines = ["again:", *(_figure(name, value) for name, value in facts.figures)]
        # Back to what plans; where nothing does, to the head itself.
        above, round_ = (top, rows) if first else ([], [*top, *rows])
        whole = _stack(round_)
        rows = [_Part(round_[0].label, looped(whole, head_of(whole), lines), "")]
        return _stack([*above, *rows, *last])
    return _stack([*top, *rows, *last])


def _body(facts: Facts, parts: Sequence[_Part], way: Way) -> _Part:
    main = [part for part in parts if facts.kind in _NAMED or not part.label.startswith(_FAILED)]
    failed = [Branch(part.sketch, part.label, part.gives, dashed=True) for part in parts if part not in main]
    if way is Way.CHAIN and main:
        label, gives = main[0].label, _typed(facts.gives)
        chain = _stack(main)
        if not failed:
            return _Part(label, chain, gives)
        return _Part("", beside([Branch(chain, label, gives), *failed], labelled=True), "")
    branches = [Branch(part.sketch, part.label, part.gives) for part in main]
    passes = _PASSES.get(facts.kind, "")
    if passes and not any(part.label == passes for part in parts):
        branches.insert(0, Branch(through(), passes))
    branches += failed
    if len(branches) == 1:
        branches = [replace(branches[0], gives="")]
    return _Part("", beside(branches, labelled=any(each.label for each in branches)), "")


def _stack(parts: Sequence[_Part]) -> Sketch:
    ways = [(after.label, before.gives) for before, after in pairwise(parts)]
    return stacked([part.sketch for part in parts], ways)


def _headed(facts: Facts, *, again: bool) -> Sketch:
    look = look_of(facts.kind)
    words = [Words.of(facts.name, NAME)]
    if again:
        words.append(Words.of(f"{facts.kind}, as drawn before", DETAIL))
        return boxed(look.shape, words, hue=look.hue, slope=look.slope, tip=_tip(facts))
    words += [Words.of(text, DETAIL) for text in _details(facts)]
    if facts.tier in _PILLS:
        words.append(Words.of(_PILLS[facts.tier][0], PILL, _PILLS[facts.tier][1]))
    if facts.human:
        words.append(Words.of("a person decides", PILL, "human"))
    elif facts.approved:
        words.append(Words.of("approval by policy", PILL, "human"))
    return boxed(look.shape, words, hue=look.hue, slope=look.slope, tip=_tip(facts))


def _details(facts: Facts) -> list[str]:
    own = next((value for name, value in facts.figures if name == facts.kind), "")
    who = " \u00b7 ".join(each for each in (facts.kind, facts.agent, own) if each)
    tools = [] if facts.tools == (facts.name,) else listed("by", facts.tools, DETAIL)
    if look_of(facts.kind).way is Way.CIRCLE:
        return [who, *tools]
    return [who, *tools, *_lines([_figure(name, value) for name, value in facts.figures if name != facts.kind])]


def _figure(name: str, value: str) -> str:
    """Write a figure as words; a field that says seconds has its unit in its value."""
    words = name.replace("_", " ")
    return f"within {value}" if words == "seconds" else f"{words.removesuffix(' seconds')} {value}"


def _lines(texts: Sequence[str]) -> list[str]:
    """Put figures on as few lines as their style allows."""
    lines: list[str] = []
    for text in texts:
        joined = f"{lines[-1]} \u00b7 {text}" if lines else text
        if lines and len(joined) <= DETAIL.chars_max:
            lines[-1] = joined
        else:
            lines.append(text)
    return lines[:_LINES_MAX]


def _tip(facts: Facts) -> str:
    head = f"{facts.kind} {facts.name}: {facts.takes} \u2192 {facts.gives}"
    figures = [f"{name}: {value}" for name, value in facts.figures]
    return "\n".join([head, *([facts.about] if facts.about else []), *figures])


def _typed(gives: str) -> str:
    return "" if gives == "anything" else gives
