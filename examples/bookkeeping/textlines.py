"""Boxes of text on a page become lines of text again, top to bottom and left to right.

A photographed slip is never quite straight: the boxes' own slope is taken out before they are grouped.
It does not know what reads the boxes, nor what the lines mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

# More than this is no longer a slip held a little askew, but a reading error of a single box.
SLOPE_MAX: Final = math.tan(math.radians(15))
# A box must be this much wider than high before its slope says anything.
SLOPE_WIDTH_MIN: Final = 3.0


@dataclass(slots=True, frozen=True)
class Box:
    """One piece of text and the corners round it: clockwise from top left, x to the right, y downwards."""

    text: str
    corners: tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

    @property
    def left(self) -> float:
        """Where the box begins."""
        return min(x for x, _ in self.corners)

    @property
    def height(self) -> float:
        """Length of the box's sides, whatever its rotation."""
        top_left, top_right, bottom_right, bottom_left = self.corners
        return (math.dist(top_left, bottom_left) + math.dist(top_right, bottom_right)) / 2

    @property
    def width(self) -> float:
        """Length of the box's top edge."""
        return math.dist(self.corners[0], self.corners[1])

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        return sum(x for x, _ in self.corners) / 4, sum(y for _, y in self.corners) / 4


def rebuild_lines(boxes: Sequence[Box]) -> list[str]:
    """Group boxes whose centres lie within half a height of each other; give their texts as lines."""
    slope = page_slope(boxes)
    placed = sorted(((_level(box, slope), box) for box in boxes), key=lambda pair: pair[0])
    lines: list[list[tuple[float, Box]]] = []
    for level, box in placed:
        if lines and _same_line(lines[-1], level, box):
            lines[-1].append((level, box))
        else:
            lines.append([(level, box)])
    return [_join([box for _, box in line]) for line in lines]


def page_slope(boxes: Sequence[Box]) -> float:
    """Give the rise of the page's lines per unit to the right: the median over the boxes wide enough to tell."""
    slopes = [
        (_rise(box.corners[0], box.corners[1]) + _rise(box.corners[3], box.corners[2])) / 2
        for box in boxes
        if box.width >= SLOPE_WIDTH_MIN * box.height
    ]
    plausible = [slope for slope in slopes if abs(slope) <= SLOPE_MAX]
    return median(plausible) if plausible else 0.0


def _rise(start: tuple[float, float], end: tuple[float, float]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else 0.0


def _level(box: Box, slope: float) -> float:
    x, y = box.centre
    return y - slope * x


def _same_line(line: list[tuple[float, Box]], level: float, box: Box) -> bool:
    # Against the line's mean, not its last box: otherwise a long drift could join two lines.
    mean = sum(place for place, _ in line) / len(line)
    return abs(level - mean) <= min(box.height, *(other.height for _, other in line)) / 2


def _join(line: list[Box]) -> str:
    return " ".join(box.text.strip() for box in sorted(line, key=lambda box: box.left))
