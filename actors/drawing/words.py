"""Words in a picture: how wide they will be at most, and how they are made to fit.

Whoever looks has a font of his own, so widths are those of a wide one; a narrower font leaves some room.
It does not know where the words stand.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Widths by character, in parts of the font's size.
_NARROW: Final = dict.fromkeys("iljtfrI.,:;'|!()[]{} -\"", 0.43)
_WIDE: Final = dict.fromkeys("mwMW@%&", 1.0)
_CAPITAL: Final = 0.78
_OTHER: Final = 0.65
_FULL: Final = 1.1
_BOLD: Final = 1.12


@dataclass(slots=True, frozen=True)
class Style:
    """How words are written."""

    name: str
    """Class of the style sheet."""
    size: float
    """Height of the letters, in pixels."""
    bold: bool = False
    chars_max: int = 38
    """Longer words are cut; what they were is told when one points at them."""

    @property
    def line(self) -> float:
        """Height of a line."""
        return round(self.size * 1.38, 1)


HEADING: Final = Style("heading", 19, bold=True, chars_max=64)
NAME: Final = Style("name", 13, bold=True)
DETAIL: Final = Style("detail", 11, chars_max=46)
LEAD: Final = Style("lead", 12, chars_max=110)
PILL: Final = Style("pill", 10, bold=True, chars_max=44)
LABEL: Final = Style("label", 11, bold=True, chars_max=30)
TYPE: Final = Style("type", 11, chars_max=34)


def shortened(words: str, style: Style) -> str:
    """Give words that are no longer than the style allows."""
    plain = " ".join("".join(each for each in words if each.isprintable() or each.isspace()).split())
    return plain if len(plain) <= style.chars_max else f"{plain[: style.chars_max - 1]}\u2026"


def listed(verb: str, names: Sequence[str], style: Style) -> list[str]:
    """Put names on as few lines as the style allows, the first of them after a verb; no names, no lines."""
    lines: list[str] = []
    for name in names:
        joined = f"{lines[-1]}, {name}" if lines else f"{verb} {name}"
        if lines and len(joined) >= style.chars_max:
            lines[-1] += ","
            lines.append(name)
        else:
            lines[-1:] = [joined]
    return lines


def width(words: str, style: Style) -> float:
    """Say how wide words are at most, in pixels, rounded up."""
    ems = sum(_ems(each) for each in words)
    return float(int(ems * style.size * (_BOLD if style.bold else 1.0)) + 1)


def _ems(character: str) -> float:
    if character in _NARROW or character in _WIDE:
        return _NARROW.get(character) or _WIDE[character]
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return _FULL
    return _CAPITAL if character.isupper() or ord(character) > 0x24F else _OTHER
