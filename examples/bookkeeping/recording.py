"""The sample's payments with the texts of their receipts, read once and kept: what a simulation of the crew draws from.

Run `python -m examples.bookkeeping.recording` to read the sample anew, its PDFs and photos included.
It does not know which payments a run takes.
"""

import pathlib
from decimal import Decimal
from typing import Final

import msgspec

from examples.bookkeeping.bank import read_bank_folder
from examples.bookkeeping.business import Business, read_business
from examples.bookkeeping.ledger import Transaction
from examples.bookkeeping.messages import Transcript
from examples.bookkeeping.tools import transcribe

HERE: Final = pathlib.Path(__file__).parent
FILE: Final = HERE / "recording.json"


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as its reader read it."""

    path: str
    """Below the input folder."""
    transcript: Transcript


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A payment and the receipts that fit it."""

    transaction: Transaction
    papers: tuple[Paper, ...] = ()
    vat: Decimal
    """What the receipt says, worked out by another way; see `expected.py`."""
    special: str = ""
    """What is special about it."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The sample's quarter."""

    business: Business
    payments: tuple[Recorded, ...]


class _Expected(msgspec.Struct):
    id: str
    vat: Decimal
    receipt: str | None = None
    receipts_that_fit: tuple[str, ...] = ()
    special: str = ""


class _Answers(msgspec.Struct):
    transactions: tuple[_Expected, ...]


def read_recording() -> Recording:
    """Give what was recorded."""
    return msgspec.json.decode(FILE.read_bytes(), type=Recording)


def record(sample: pathlib.Path) -> Recording:
    """Read the sample: a minute's work, with the reader of photos installed."""
    folder = sample / "2026Q2"
    answers = msgspec.json.decode((sample / "expected.json").read_bytes(), type=_Answers)
    expected = {each.id: each for each in answers.transactions}
    transactions, _ = read_bank_folder(folder / "bank")
    return Recording(
        business=read_business(folder),
        payments=tuple(_recorded(folder, each, expected[each.id]) for each in transactions),
    )


def _recorded(folder: pathlib.Path, transaction: Transaction, expected: _Expected) -> Recorded:
    names = expected.receipts_that_fit or ((expected.receipt,) if expected.receipt else ())
    return Recorded(
        transaction=transaction,
        papers=tuple(
            Paper(path=f"receipts/{_file(folder, name).name}", transcript=_read(folder, name)) for name in names
        ),
        vat=expected.vat,
        special=expected.special,
    )


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
    return (folder.parent if name.startswith("late/") else folder) / name


def _read(folder: pathlib.Path, name: str) -> Transcript:
    path = _file(folder, name)
    return transcribe(path.name, path.read_bytes())


def main() -> None:
    """Read the sample and write down what was read."""
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(record(HERE / "sample")), indent=1) + b"\n")


if __name__ == "__main__":
    main()
