"""Walks over declarations: every pattern of a tree once, with the path that leads to it; the walk always ends.

What is declared may be anything: parts that go round in a circle, parts that are made anew each time one looks, things
that are no patterns. So the walk is bounded in depth, size and width, knows a pattern again that it has met, and says
what was wrong instead of raising. It does not know what any pattern does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from casework.actors.patterns.base import Edge, Pattern

#: Patterns one below another. Five are plenty for people; this many are a mistake.
DEPTH_MAX: Final = 32
#: Patterns in one declaration.
PARTS_MAX: Final = 1_000
#: Between the names of a path.
STEP: Final = " > "


@dataclass(slots=True, frozen=True, eq=False)
class Joint:
    """One arrow between two patterns of a walk."""

    label: str
    to: int
    """Number of the part in the walk."""


@dataclass(slots=True, eq=False)
class Place:
    """One pattern of a declaration; shared by several others it is one place, at the first way that leads to it."""

    pattern: Pattern
    path: str
    """Names from the root down to it: `refund > fetch > label`."""
    joints: list[Joint] = field(default_factory=list[Joint])
    """What it is made of, in order, without arrows that lead back."""


@dataclass(slots=True, frozen=True)
class Flaw:
    """One thing that is wrong with a declaration."""

    path: str
    why: str
    """What is wrong and what to do about it."""

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(slots=True, eq=False)
class Walk:
    """A declaration, walked over; its places stand in the order in which they are met, the root first."""

    places: list[Place] = field(default_factory=list[Place])
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    """Circles, excess, and things that are no patterns."""


def walk(root: Pattern) -> Walk:
    """Walk over everything that a pattern is made of."""
    walker = _Walker()
    walker.enter(root, "")
    return walker.walk


class _Walker:
    def __init__(self) -> None:
        self.walk = Walk()
        self._numbers: dict[int, int] = {}
        self._above: list[int] = []
        self._full = False

    def enter(self, pattern: Pattern, above: str) -> int | None:
        """Walk over a pattern and what is below it; gives its number, or None where no arrow can lead to it."""
        number = self._numbers.get(id(pattern))
        if number is not None:
            return self._again(number)
        path = f"{above}{STEP}{pattern.name}" if above else str(pattern.name)
        if len(self._above) >= DEPTH_MAX:
            self._flaw(path, f"stands deeper than {DEPTH_MAX} patterns; make it a flow of its own, or name it once")
            return None
        number = len(self.walk.places)
        place = Place(pattern, path)
        self.walk.places.append(place)
        self._numbers[id(pattern)] = number
        self._above.append(number)
        for edge in _parts(pattern):
            to = self._below(edge, path)
            if to is not None:
                place.joints.append(Joint(str(edge.label), to))
        self._above.pop()
        return number

    def _below(self, edge: Edge, path: str) -> int | None:
        kind = type(edge.pattern).__name__
        # Not `isinstance`: that would read all that it says of itself, which need not end where it goes in a circle.
        if not hasattr(type(edge.pattern), "flaws"):
            self._flaw(path, f"one of its parts is of type {kind}, not a pattern; wrap a function in Code")
            return None
        if len(self.walk.places) >= PARTS_MAX and id(edge.pattern) not in self._numbers:
            if not self._full:
                self._flaw(path, f"has more than {PARTS_MAX} patterns in all; make some of them a flow of its own")
            self._full = True
            return None
        return self.enter(edge.pattern, path)

    def _again(self, number: int) -> int | None:
        if number not in self._above:
            return number
        circle = [self.walk.places[each].pattern.name for each in self._above[self._above.index(number) :]]
        way = STEP.join([*circle, circle[0]])
        self._flaw(self.walk.places[number].path, f"goes round in a circle ({way}); use a pattern with bounded rounds")
        return None

    def _flaw(self, path: str, why: str) -> None:
        self.walk.flaws.append(Flaw(path, why))


def _parts(pattern: Pattern) -> Sequence[Edge]:
    return list(islice(pattern.parts, PARTS_MAX + 1))
