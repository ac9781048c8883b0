"""Sketches: boxes, lines and words put above and beside each other; whatever is put together never overlaps.

A sketch has an axis: work comes in at its top and goes out at its bottom, so any two can be joined by a straight line.
All figures are pixels, from the sketch's own upper left corner. It does not know what the boxes stand for, nor how
anything is painted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from casework.actors.drawing.words import DETAIL, LABEL, PILL, TYPE, Style, shortened, width

#: Room inside a box, beside and above its words.
PAD_X: Final = 18.0
PAD_Y: Final = 10.0
#: Room between things side by side, and between a frame and what is in it.
ASIDE: Final = 20.0
MARGIN: Final = 18.0
#: Length of an arrow, without words, with words beside it, and with a label upon it.
ARROW: Final = 26.0
ARROW_TYPED: Final = 38.0
ARROW_LABELLED: Final = 52.0
#: From the end of branches to where they come together.
JOIN: Final = 24.0
#: From a line to the words beside it.
BESIDE: Final = 7.0
#: Where work begins and ends.
DOT: Final = 14.0

Point: TypeAlias = tuple[float, float]


@dataclass(slots=True, frozen=True)
class Words:
    """One line of words."""

    text: str
    style: Style
    tone: str = ""
    """What a pill says by its colour."""
    full: str = ""
    """What it was before it was cut."""

    @classmethod
    def of(cls, text: str, style: Style, tone: str = "") -> "Words":
        """Make words that are as long as their style allows."""
        cut = shortened(text, style)
        return cls(cut, style, tone, text if cut != text else "")

    @property
    def width(self) -> float:
        """How wide it is, at most."""
        return width(self.text, self.style) + (16.0 if self.style is PILL else 0.0)

    @property
    def height(self) -> float:
        """How high it is, with what separates it from the next line."""
        return self.style.line + (7.0 if self.style is PILL else 0.0)


@dataclass(slots=True, frozen=True)
class Box:
    """A thing with words in it."""

    x: float
    y: float
    width: float
    height: float
    shape: str
    words: tuple[Words, ...]
    hue: str = "plain"
    tip: str = ""
    """What is told when one points at it."""


@dataclass(slots=True, frozen=True)
class Frame:
    """What holds the parts of a thing together; nothing is written on it."""

    x: float
    y: float
    width: float
    height: float
    deep: int = 0
    """Frames that it holds, one within the other."""


@dataclass(slots=True, frozen=True)
class Line:
    """A way from one thing to another."""

    points: tuple[Point, ...]
    arrow: bool = True
    dashed: bool = False


@dataclass(slots=True, frozen=True)
class Note:
    """Words that stand by themselves; upon a line they have the paper's colour behind them."""

    x: float
    y: float
    words: Words
    upon: bool = False

    @property
    def width(self) -> float:
        """How wide it is."""
        return self.words.width + (12.0 if self.upon else 0.0)

    @property
    def height(self) -> float:
        """How high it is."""
        return self.words.style.line + (4.0 if self.upon else 0.0)


Item: TypeAlias = Box | Frame | Line | Note


@dataclass(slots=True, frozen=True)
class Sketch:
    """Things that were put together."""

    width: float
    height: float
    axis: float
    top: float
    """Where an arrow that comes in ends."""
    bottom: float
    """Where a line that goes out begins."""
    items: tuple[Item, ...]
    open: bool = False
    """Whether it begins with a line that parts, so that what comes in needs no point."""

    def moved(self, right: float, down: float) -> "Sketch":
        """Give it moved, with its upper left corner where it was."""
        return replace(
            self,
            width=self.width + right,
            height=self.height + down,
            axis=self.axis + right,
            top=self.top + down,
            bottom=self.bottom + down,
            items=tuple(_moved(item, right, down) for item in self.items),
        )


def boxed(shape: str, words: Sequence[Words], *, hue: str = "plain", tip: str = "", slope: float = 0.0) -> Sketch:
    """Draw a box round some lines of words; `slope` is the room that its shape takes away at either side."""
    wide = max(each.width for each in words) + 2 * (PAD_X + slope)
    high = sum(each.height for each in words) + 2 * PAD_Y
    return Sketch(wide, high, wide / 2, 0.0, high, (Box(0.0, 0.0, wide, high, shape, tuple(words), hue, tip),))


def through() -> Sketch:
    """Draw nothing: work passes."""
    return Sketch(2 * BESIDE, 0.0, BESIDE, 0.0, 0.0, (), open=True)


def stacked(sketches: Sequence[Sketch], ways: Sequence[tuple[str, str]] = ()) -> Sketch:
    """Put things below each other, each with an arrow to the next; beside it stand what it is called and its type."""
    axis = max(each.axis for each in sketches)
    wide = axis + max(each.width - each.axis for each in sketches)
    items: list[Item] = []
    down, out = 0.0, 0.0
    for at, each in enumerate(sketches):
        label, type_ = ways[at - 1] if 0 < at <= len(ways) else ("", "")
        gap = 0.0 if not at else ARROW_TYPED if label or type_ else ARROW
        placed = each.moved(axis - each.axis, down + gap)
        if at:
            notes = _said(label, type_, axis + BESIDE, down + (gap - TYPE.line) / 2 - 2)
            items += [Line(((axis, out), (axis, placed.top)), arrow=not each.open), *notes]
            wide = max([wide, *(note.x + note.width for note in notes)])
        items.extend(placed.items)
        down, out = placed.height, placed.bottom
    return Sketch(wide, down, axis, sketches[0].top, out, tuple(items), open=sketches[0].open)


def _said(label: str, type_: str, x: float, y: float) -> list[Note]:
    notes: list[Note] = []
    for text, style in ((label, LABEL), (type_, TYPE)):
        if text:
            notes.append(Note(x, y, Words.of(text, style)))
            x += notes[-1].width + BESIDE
    return notes


@dataclass(slots=True, frozen=True)
class Branch:
    """One of several things side by side."""

    sketch: Sketch
    label: str = ""
    """What stands on the arrow to it."""
    gives: str = ""
    dashed: bool = False
    """Whether the way to it is taken only when another one failed."""


def beside(branches: Sequence[Branch], *, labelled: bool) -> Sketch:
    """Put things beside each other: one line comes in and parts, and those that go out come together again."""
    arrow = ARROW_LABELLED if labelled else ARROW
    high = max(each.sketch.height for each in branches)
    typed = any(each.gives for each in branches)
    join = arrow + high + (JOIN + 14.0 if typed else JOIN)
    items: list[Item] = []
    axes: list[float] = []
    right = 0.0
    for each in branches:
        column, wide = _column(each, arrow, join)
        placed = column.moved(right, 0.0)
        items.extend(placed.items)
        axes.append(placed.axis)
        right += wide + ASIDE
    axis = (axes[0] + axes[-1]) / 2
    if len(axes) > 1:
        items.append(Line(((axes[0], 0.0), (axes[-1], 0.0)), arrow=False))
        items.append(Line(((axes[0], join), (axes[-1], join)), arrow=False))
    return Sketch(right - ASIDE, join, axis, 0.0, join, tuple(items), open=True)


def _column(branch: Branch, arrow: float, join: float) -> tuple[Sketch, float]:
    """Draw one branch with its way in and its way out; gives how wide that is as well."""
    sketch = branch.sketch
    axis, wide = sketch.axis, sketch.width
    label = Note(0.0, 0.0, Words.of(branch.label, LABEL), upon=True)
    gives = Note(0.0, 0.0, Words.of(branch.gives, TYPE))
    if branch.label:
        extra = max(0.0, label.width / 2 - axis)
        axis, wide = axis + extra, wide + extra
        wide = max(wide, axis + label.width / 2)
    if branch.gives:
        wide = max(wide, axis + BESIDE + gives.width)
    placed = sketch.moved(axis - sketch.axis, arrow)
    items: list[Item] = [
        Line(((axis, 0.0), (axis, placed.top)), arrow=not sketch.open, dashed=branch.dashed),
        *placed.items,
    ]
    items.append(Line(((axis, placed.bottom), (axis, join)), arrow=False))
    if branch.label:
        items.append(replace(label, x=axis - label.width / 2, y=(arrow - label.height) / 2 - 3))
    if branch.gives:
        items.append(replace(gives, x=axis + BESIDE, y=join - gives.height - 4))
    return Sketch(wide, join, axis, 0.0, join, tuple(items)), wide


def looped(sketch: Sketch, head: Box, lines: Sequence[str]) -> Sketch:
    """Draw a way back from the end to the head, at the right side, with some lines of words beside it."""
    said = written([Words.of(line, DETAIL) for line in lines])
    side = sketch.width + ASIDE / 2
    low, high = max(sketch.bottom, said.height) + JOIN / 2, head.y + head.height / 2
    way = Line(((sketch.axis, low), (side, low), (side, high), (head.x + head.width, high)), dashed=True)
    down = Line(((sketch.axis, sketch.bottom), (sketch.axis, low)), arrow=False)
    placed = said.moved(side + BESIDE, max(0.0, (low + high - said.height) / 2))
    items = (*sketch.items, down, way, *placed.items)
    return replace(sketch, width=placed.width, height=low, bottom=low, items=items)


def framed(sketch: Sketch) -> Sketch:
    """Draw a frame round something."""
    inner = sketch.moved(MARGIN, MARGIN)
    wide, high = inner.width + MARGIN, inner.height + MARGIN
    deep = 1 + max((item.deep for item in inner.items if isinstance(item, Frame)), default=-1)
    return replace(inner, width=wide, height=high, items=(Frame(0.0, 0.0, wide, high, deep), *inner.items))


def head_of(sketch: Sketch) -> Box:
    """Give the first box of a sketch, to which a way back may lead."""
    return next(item for item in sketch.items if isinstance(item, Box))


def written(words: Sequence[Words]) -> Sketch:
    """Write some lines below each other, from the left."""
    items: list[Item] = []
    down = 0.0
    for each in words:
        items.append(Note(0.0, down, each))
        down += each.style.line + 3
    return Sketch(max(each.width for each in words), down, 0.0, 0.0, down, tuple(items))


def dot(shape: str) -> Sketch:
    """Draw a mark without words, for where work comes in and where it has ended."""
    return Sketch(DOT, DOT, DOT / 2, 0.0, DOT, (Box(0.0, 0.0, DOT, DOT, shape, (), shape),))


def below(sketches: Sequence[Sketch], between: float) -> Sketch:
    """Put things below each other from the left, without arrows."""
    items: list[Item] = []
    down = 0.0
    for each in sketches:
        placed = each.moved(0.0, down)
        items.extend(placed.items)
        down = placed.height + between
    wide = max(each.width for each in sketches)
    return Sketch(wide, down - between, 0.0, 0.0, down - between, tuple(items))


def _moved(item: Item, right: float, down: float) -> Item:
    if isinstance(item, Line):
        return replace(item, points=tuple((x + right, y + down) for x, y in item.points))
    return replace(item, x=item.x + right, y=item.y + down)
