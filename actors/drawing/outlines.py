"""Outlines of boxes, as paths of SVG, by the name of the shape. It does not know which kind has which shape."""

from collections.abc import Callable
from typing import Final

#: Radius of a rounded corner.
CORNER: Final = 9.0
#: How deep a shape cuts into its box.
CUT: Final = 14.0
SMALL: Final = 8.0


def outline(shape: str, x: float, y: float, width: float, height: float) -> str:
    """Give the path of a shape; one that is not known is a plain box."""
    return _SHAPES.get(shape, _plain)(x, y, width, height)


def _points(*points: tuple[float, float]) -> str:
    head, *rest = [f"{x:g} {y:g}" for x, y in points]
    return f"M{head} L{' L'.join(rest)} Z"


def _rounded(x: float, y: float, w: float, h: float, radius: float) -> str:
    r = min(radius, w / 2, h / 2)
    arc = f"a{r:g} {r:g} 0 0 1"
    return (
        f"M{x + r:g} {y:g} h{w - 2 * r:g} {arc} {r:g} {r:g} v{h - 2 * r:g} {arc} {-r:g} {r:g} "
        f"h{2 * r - w:g} {arc} {-r:g} {-r:g} v{2 * r - h:g} {arc} {r:g} {-r:g} Z"
    )


def _plain(x: float, y: float, w: float, h: float) -> str:
    return _rounded(x, y, w, h, 2.0)


def _round(x: float, y: float, w: float, h: float) -> str:
    return _rounded(x, y, w, h, CORNER)


def _pill(x: float, y: float, w: float, h: float) -> str:
    return _rounded(x, y, w, h, h)


def _subroutine(x: float, y: float, w: float, h: float) -> str:
    bars = f"M{x + SMALL:g} {y:g} v{h:g} M{x + w - SMALL:g} {y:g} v{h:g}"
    return f"{_rounded(x, y, w, h, 2.0)} {bars}"


def _diamond(x: float, y: float, w: float, h: float) -> str:
    c, middle = CUT + 4, y + h / 2
    return _points((x + c, y), (x + w - c, y), (x + w, middle), (x + w - c, y + h), (x + c, y + h), (x, middle))


def _octagon(x: float, y: float, w: float, h: float) -> str:
    c, r, b = SMALL + 2, x + w, y + h
    return _points(
        (x + c, y), (r - c, y), (r, y + c), (r, b - c), (r - c, b), (x + c, b), (x, b - c), (x, y + c)
    )  # fmt: skip


def _trapezoid(x: float, y: float, w: float, h: float) -> str:
    return _points((x + CUT, y), (x + w - CUT, y), (x + w, y + h), (x, y + h))


def _signal(x: float, y: float, w: float, h: float) -> str:
    return _points((x, y), (x + w, y), (x + w, y + h), (x, y + h), (x + CUT, y + h / 2))


def _shield(x: float, y: float, w: float, h: float) -> str:
    c, r, b = SMALL, x + w, y + h
    return _points((x, y), (r, y), (r, b - c), (r - 2 * c, b), (x + 2 * c, b), (x, b - c))


def _person(x: float, y: float, w: float, h: float) -> str:
    return f"{_rounded(x, y, w, h, 4.0)} {_rounded(x + 3.5, y + 3.5, w - 7, h - 7, 2.5)}"


def _document(x: float, y: float, w: float, h: float) -> str:
    wave, b = 5.0, y + h - 3
    return f"M{x:g} {y:g} h{w:g} V{b:g} q{-w / 4:g} {-2 * wave:g} {-w / 2:g} 0 t{-w / 2:g} 0 Z"


def _page(x: float, y: float, w: float, h: float) -> str:
    c, r = CUT, x + w
    page = _points((x, y), (r - c, y), (r, y + c), (r, y + h), (x, y + h))
    return f"{page} M{r - c:g} {y:g} v{c:g} h{c:g}"


def _gear(x: float, y: float, w: float, h: float) -> str:
    c, r, b = 5.0, x + w, y + h
    return _points(
        (x + c, y), (r - c, y), (r - c, y + c), (r, y + c), (r, b - c), (r - c, b - c), (r - c, b), (x + c, b),
        (x + c, b - c), (x, b - c), (x, y + c), (x + c, y + c),
    )  # fmt: skip


def _ring(x: float, y: float, w: float, h: float) -> str:
    return f"{_pill(x, y, w, h)} {_pill(x + 3.5, y + 3.5, w - 7, h - 7)}"


def _slanted(x: float, y: float, w: float, h: float) -> str:
    return _points((x + CUT, y), (x + w, y), (x + w - CUT, y + h), (x, y + h))


def _end(x: float, y: float, w: float, h: float) -> str:
    return f"{_pill(x, y, w, h)} {_pill(x + 4, y + 4, w - 8, h - 8)}"


_SHAPES: Final[dict[str, Callable[[float, float, float, float], str]]] = {
    "diamond": _diamond,
    "document": _document,
    "end": _end,
    "gear": _gear,
    "octagon": _octagon,
    "page": _page,
    "person": _person,
    "pill": _pill,
    "ring": _ring,
    "round": _round,
    "shield": _shield,
    "signal": _signal,
    "slanted": _slanted,
    "start": _pill,
    "subroutine": _subroutine,
    "trapezoid": _trapezoid,
}
