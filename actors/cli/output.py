"""What the command prints: plain lines or JSON on standard output, everything about itself on standard error.

Contents of a log come from strangers, so control characters, terminal escapes and marks that turn the direction of
text are taken out before anything reaches a terminal; JSON is pure ASCII. It does not know what the lines say.
"""

import datetime as dt
import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

#: Categories of characters that do something instead of showing something: controls, formats, surrogates, line ends.
_ACTING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean(text: str) -> str:
    """Make text safe to print on one line: what acts on a terminal is taken out, a line end becomes a space."""
    if text.isprintable():
        return text
    spaced = text.replace("\n", " ").replace("\t", " ")
    return "".join(character for character in spaced if unicodedata.category(character) not in _ACTING)


def moment(micros: int) -> str:
    """Show a moment, in UTC, to the millisecond; one that no calendar has as the number that it is."""
    try:
        at = dt.datetime.fromtimestamp(micros / 1_000_000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{micros} us"
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}"


def say(*lines: str) -> None:
    """Print lines on standard output."""
    for line in lines:
        print(clean(line))


def say_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns under each other; the last column is as long as it is."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cleaned, strict=True)]
    for row in cleaned:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_json(value: object) -> None:
    """Print a value (dataclass, Struct, list, dict) as JSON."""
    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=True))


def tell(kind: str, text: str) -> None:
    """Print one line about the command itself on standard error; `kind` is `error`, `warning` or `note`."""
    print(f"casework: {kind}: {clean(text)}", file=sys.stderr)


def complain(line: str) -> None:
    """Print one line about bad input on standard error, as `file:line: message`."""
    print(clean(line), file=sys.stderr)
