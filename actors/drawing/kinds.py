"""Kinds of patterns as a picture shows them: which shape stands for each, and how its parts hang together.

A kind that is not listed is drawn as well: as a plain box from which arrows lead to its parts.
It does not know any pattern's class.
"""

import enum
from dataclasses import dataclass
from typing import Final


class Way(enum.Enum):
    """How work goes through the parts of a pattern."""

    ROW = "row"
    """All of them at once, or one of them: side by side."""
    CHAIN = "chain"
    """One after another."""
    CIRCLE = "circle"
    """Side by side, and round again."""
    FALL = "fall"
    """The first one; each other when the one before it failed."""


@dataclass(slots=True, frozen=True)
class Look:
    """How a kind is drawn."""

    shape: str
    way: Way = Way.ROW
    hue: str = "plain"
    """Which colours of the palette it has."""
    slope: float = 0.0
    """Pixels at either side of a box that its shape takes from the words."""
    human: bool = False
    """Whether a person acts here."""


LOOKS: Final[dict[str, Look]] = {
    "task": Look("round", hue="blue"),
    "code": Look("subroutine", hue="grey", slope=6.0),
    "tool": Look("gear", hue="teal", slope=8.0),
    "flow": Look("page", hue="grey", slope=4.0),
    "pipeline": Look("pill", Way.CHAIN, hue="indigo", slope=4.0),
    "verified": Look("shield", Way.CHAIN, hue="green", slope=8.0),
    "router": Look("diamond", hue="violet", slope=16.0),
    "merge": Look("trapezoid", hue="indigo", slope=12.0),
    "vote": Look("octagon", hue="violet", slope=8.0),
    "alternative": Look("slanted", Way.FALL, hue="orange", slope=12.0),
    "manager": Look("ring", Way.CIRCLE, hue="indigo", slope=8.0),
    "approval": Look("person", hue="amber", slope=14.0, human=True),
    "evidence": Look("document", hue="amber", slope=2.0),
    "subscription": Look("signal", hue="teal", slope=12.0),
}
PLAIN: Final = Look("plain")


def look_of(kind: str) -> Look:
    """Give how a kind is drawn."""
    return LOOKS.get(kind, PLAIN)
