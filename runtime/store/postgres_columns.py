"""Turns rows into the columns that `unnest` takes: as arrays of the driver, or as text that the server reads.

The driver asks of each value in an array whether it is an array again, which costs more than to send it. The statement
through which every case goes takes its numbers and texts as one text for each column, at half the price: such a
parameter is written `$1::text::bigint[]`. Bytes stay with the driver, for as text they would be twice as long.
It does not know what is in the columns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

#: What stands between two texts. One that holds the quote itself is told by there being more of them.
_BETWEEN: Final = '","'


def columns(rows: Sequence[Sequence[object]], width: int) -> Sequence[Sequence[object]]:
    """Turn rows into columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def written(rows: Sequence[Sequence[object]], kinds: str) -> list[object]:
    """Turn rows into columns, each by its kind: `n` numbers and `t` texts, as text; `d` is left to the driver."""
    return [_WRITE[kind](column) for kind, column in zip(kinds, columns(rows, len(kinds)), strict=True)]


def numbers(column: Sequence[object]) -> str:
    """Write numbers, booleans and None."""
    if None in column:
        column = ["NULL" if value is None else value for value in column]
    return f"{{{','.join(map(str, column))}}}"


def texts(column: Sequence[str | None]) -> str:
    """Write texts and None."""
    there = [text for text in column if text is not None]
    joined = _BETWEEN.join(there)
    # The short way must not be taken by a text that could be read as two, or by none as an empty one.
    if len(there) < len(column) or not there or "\\" in joined or joined.count('"') != 2 * (len(there) - 1):
        return f"{{{','.join('NULL' if text is None else _quoted(text) for text in column)}}}"
    return f'{{"{joined}"}}'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_WRITE: Final[Mapping[str, Callable[[Any], object]]] = {"n": numbers, "t": texts, "d": lambda column: column}
