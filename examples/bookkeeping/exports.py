"""What every reader of a bank export shares: a row with named cells, its refusal, dates, and white space.

This module does not know any bank's columns.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from examples.bookkeeping.errors import BookkeepingError

# Free text is cut here, so that one export line cannot swell every later record of its case.
TEXT_CHARACTERS_MAX: Final = 1000

_DATE_FORMS: Final = {
    "yyyymmdd": re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
    "yyyy-mm-dd": re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII),
}


class RowRefused(BookkeepingError):
    """One row cannot be used; the text says what was expected and what to do."""


@dataclass(slots=True, frozen=True)
class Row:
    """One line of an export, its cells by column name."""

    file: str
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Give a cell with its white space collapsed; empty when the export lacks the column."""
        return squeeze(self.cells.get(column, ""))

    def needed(self, column: str) -> str:
        """Give a cell that may not be empty; RowRefused if it is."""
        text = self.text(column)
        if not text:
            raise RowRefused(f"column {column!r} is empty; restore the value from a fresh export")
        return text

    def iban(self, column: str) -> str:
        """Give an account number without spaces, in capitals."""
        return self.cells.get(column, "").replace(" ", "").upper()


def squeeze(text: str) -> str:
    """Collapse white space and cut what is longer than any bank writes."""
    return " ".join(text.split())[:TEXT_CHARACTERS_MAX]


def parse_date(text: str, form: str) -> dt.date:
    """Read a date written in `form` (a key of the known forms); RowRefused if it is not one."""
    found = _DATE_FORMS[form].fullmatch(text)
    if found is None:
        raise RowRefused(f"date {text[:40]!r} is not written as {form}; restore it from a fresh export")
    try:
        return dt.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise RowRefused(f"date {text!r} does not exist; correct it from a fresh export") from None
