"""Bank exports, as files or a folder of files, become transactions and problems; one bad line costs one line.

Lines are cut and decoded one by one, so a broken byte, a lost quote or a monstrous line stays where it is.
It does not know what a transaction is for.
"""

from __future__ import annotations

import csv
import pathlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from examples.bookkeeping import ing, rabobank
from examples.bookkeeping.errors import MoneyUnclear
from examples.bookkeeping.exports import Row, RowRefused, parse_date
from examples.bookkeeping.ledger import Problem, Transaction
from examples.bookkeeping.paths import BAD_NAME, is_text, shown

# A quarter of a busy shop is a few MiB; 64 leaves room for years and still fits in memory.
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
# Real lines stay under 2 KiB; anything near this is not a bank's.
LINE_BYTES_MAX: Final = 64 * 1024
# More rows than a sole trader has in a lifetime; beyond it the file is a mistake.
ROWS_MAX: Final = 200_000
# A wholly broken file should not bury the reader; the rest is counted.
PROBLEMS_MAX: Final = 100

_AGAIN: Final = "download the export again"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_FOREIGN_AMOUNT = re.compile(r"Bedrag \((\w{1,10})\)")


@dataclass(slots=True, frozen=True)
class _Layout:
    bank: str
    delimiter: str
    header: tuple[str, ...]


class _FileRefused(Exception):
    """The whole file cannot be used; `line` is 0 when no line is to blame."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.line = line
        super().__init__(message)


def read_bank_folder(folder: pathlib.Path) -> tuple[list[Transaction], list[Problem]]:
    """Read every export in a folder, by name; a transaction id that comes twice is refused the second time."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        return [], [
            Problem(file=shown(folder), message=f"folder cannot be read ({error.strerror}); check path and rights")
        ]
    if not paths:
        return [], [Problem(file=shown(folder), message="folder holds no bank export; put the bank's .csv files here")]
    known: dict[str, Transaction] = {}
    problems: list[Problem] = []
    for path in paths:
        found, refused = read_bank_file(path)
        problems.extend(refused)
        for transaction in found:
            first = known.setdefault(transaction.id, transaction)
            if first is not transaction:
                problems.append(_twice(transaction, first))
    return list(known.values()), problems


def read_bank_file(path: pathlib.Path) -> tuple[list[Transaction], list[Problem]]:
    """Read one export, oldest transaction first.

    Never raises for bad input: a file without a usable header gives one problem and no rows,
    a bad row gives one problem and the other rows go on.
    """
    try:
        lines = list(_numbered_lines(_load(path)))
        layout = _layout(lines)
    except _FileRefused as refusal:
        return [], [Problem(file=shown(path.name), line=refusal.line, message=str(refusal))]
    problems: list[Problem] = []
    rows = _rows(path.name, lines[1:], layout, problems)
    transactions = _from_ing(rows, problems) if layout.bank == "ing" else _from_rabobank(rows, problems)
    transactions.sort(key=lambda transaction: transaction.date)
    problems.sort(key=lambda problem: problem.line)
    if len(problems) > PROBLEMS_MAX:
        more = len(problems) - PROBLEMS_MAX
        del problems[PROBLEMS_MAX:]
        problems.append(Problem(file=path.name, message=f"{more} more lines were refused; {_AGAIN}"))
    return transactions, problems


def _load(path: pathlib.Path) -> bytes:
    if not is_text(path.name):
        raise _FileRefused(BAD_NAME)
    try:
        if not path.is_file():
            raise _FileRefused("is not a file; put the bank's .csv exports here")
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise _FileRefused(f"is {size} bytes long, the limit is {FILE_BYTES_MAX}; export a shorter period")
        data = path.read_bytes()
    except OSError as error:
        raise _FileRefused(f"cannot be read ({error.strerror}); check path and rights") from error
    if not data.strip():
        raise _FileRefused(f"is empty; {_AGAIN}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _FileRefused("is encoded as UTF-16; save it as UTF-8 or download the export again", 1)
    return data.removeprefix(b"\xef\xbb\xbf")


def _numbered_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the lines that hold something; both banks write one record per line, quotes never span lines."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        bare = line.rstrip(b"\r")
        if bare.strip():
            yield number, bare


def _layout(lines: list[tuple[int, bytes]]) -> _Layout:
    number, first = lines[0]
    if len(first) > LINE_BYTES_MAX:
        raise _FileRefused(f"header is longer than {LINE_BYTES_MAX} bytes; {_AGAIN}", number)
    try:
        text = _decode(first)
        headers = {mark: _header(text, mark) for mark in (";", ",", "\t", "|")}
    except RowRefused as refusal:
        raise _FileRefused(f"header: {refusal}", number) from refusal
    for bank, reader in (("ing", ing), ("rabobank", rabobank)):
        for mark, header in headers.items():
            if set(reader.COLUMNS) <= set(header):
                if mark not in reader.DELIMITERS:
                    wanted = " or ".join(repr(delimiter) for delimiter in reader.DELIMITERS)
                    raise _FileRefused(f"wrong delimiter {mark!r}, expected {wanted}; {_AGAIN}", number)
                if len(set(header)) < len(header):
                    raise _FileRefused(f"the header names a column twice; {_AGAIN}", number)
                return _Layout(bank, mark, header)
    raise _FileRefused(_header_complaint(headers), number)


def _header_complaint(headers: dict[str, tuple[str, ...]]) -> str:
    """Say which bank's header comes nearest, and what it lacks."""
    choices = [
        (len(set(columns) & set(header)), bank, columns, header)
        for bank, columns in (("ING", ing.COLUMNS), ("Rabobank", rabobank.COLUMNS))
        for header in headers.values()
    ]
    shared, bank, columns, header = max(choices, key=lambda choice: choice[0])
    if shared < 3:
        return f"no ING or Rabobank header; expected {ing.COLUMNS[0]!r};{ing.COLUMNS[1]!r};... : {_AGAIN} as CSV"
    foreign = [found[1] for name in header if (found := _FOREIGN_AMOUNT.fullmatch(name)) and found[1] != "EUR"]
    if foreign:
        return f"currency {foreign[0]!r} is unknown; only EUR accounts can be booked"
    missing = ", ".join(repr(column) for column in columns if column not in header)
    return f"{bank} export lacks the column(s) {missing}; {_AGAIN} with all columns"


def _rows(file: str, lines: list[tuple[int, bytes]], layout: _Layout, problems: list[Problem]) -> Iterator[Row]:
    for count, (number, line) in enumerate(lines, start=1):
        if count > ROWS_MAX:
            message = f"has more than {ROWS_MAX} rows, the rest is not read; export a shorter period"
            problems.append(Problem(file=file, line=number, message=message))
            return
        try:
            cells = _cells(line, layout)
        except RowRefused as refusal:
            problems.append(Problem(file=file, line=number, message=str(refusal)))
            continue
        yield Row(file, number, dict(zip(layout.header, cells, strict=True)))


def _cells(line: bytes, layout: _Layout) -> list[str]:
    if len(line) > LINE_BYTES_MAX:
        raise RowRefused(f"line is {len(line)} bytes long, the limit is {LINE_BYTES_MAX}; {_AGAIN}")
    cells = _split(_decode(line, cp1252=layout.bank == "rabobank"), layout.delimiter)
    if len(cells) != len(layout.header):
        wanted = f"expected {len(layout.header)} cells separated by {layout.delimiter!r}"
        raise RowRefused(f"row has {len(cells)} cell(s), {wanted}; {_AGAIN}")
    return cells


def _decode(line: bytes, *, cp1252: bool = True) -> str:
    """Decode one line as UTF-8, else (where the bank still writes it) as CP1252."""
    for encoding in ("utf-8", "cp1252") if cp1252 else ("utf-8",):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text):
            raise RowRefused(f"line holds control characters, it is not text; {_AGAIN}")
        return text
    raise RowRefused(f"line holds bytes that are not {'UTF-8 or CP1252' if cp1252 else 'UTF-8'}; {_AGAIN}")


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    # Not strict: three of the four delimiters tried are wrong, and must not complain about quotes.
    return tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter), list[str]()))


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), list[str]())
    except csv.Error:
        raise RowRefused(f"quotes do not match, or cells are not separated by {delimiter!r}; {_AGAIN}") from None


def _from_ing(rows: Iterator[Row], problems: list[Problem]) -> list[Transaction]:
    """Number the day's rows from the bottom up: the file is newest first, and later rows must not renumber old ones."""
    transactions: list[Transaction] = []
    of_day: Counter[str] = Counter()
    for row in reversed(list(rows)):
        try:
            day = parse_date(row.needed(ing.DATE), "yyyymmdd")
            # A refused row keeps its number, so that its repair leaves its neighbours' ids alone.
            of_day[f"{day:%Y%m%d}"] += 1
            transactions.append(ing.read_row(row, f"ing-{day:%Y%m%d}-{of_day[f'{day:%Y%m%d}']:02d}"))
        except (RowRefused, MoneyUnclear) as refusal:
            problems.append(Problem(file=row.file, line=row.line, message=str(refusal)))
    return transactions


def _from_rabobank(rows: Iterator[Row], problems: list[Problem]) -> list[Transaction]:
    known: dict[str, Transaction] = {}
    for row in rows:
        try:
            transaction = rabobank.read_row(row)
        except (RowRefused, MoneyUnclear) as refusal:
            problems.append(Problem(file=row.file, line=row.line, message=str(refusal)))
            continue
        first = known.setdefault(transaction.id, transaction)
        if first is not transaction:
            problems.append(_twice(transaction, first))
    return list(known.values())


def _twice(second: Transaction, first: Transaction) -> Problem:
    message = f"{second.id} stands already at {first.source}:{first.line}, this one is not used; remove the overlap"
    return Problem(file=second.source, line=second.line, message=message)
