"""What a simulation draws from is what the sample says: payments, receipts and their texts."""

from pathlib import Path

import pytest

from examples.bookkeeping.bank import read_bank_folder
from examples.bookkeeping.recording import FILE, Paper, Recording, read_recording
from examples.bookkeeping.tools import transcribe

SAMPLE = Path(FILE).parent / "sample"
#: To read them all again takes long: every so manyth is.
EVERY = 16


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording()


def papers(recording: Recording) -> list[Paper]:
    return [paper for each in recording.payments for paper in each.papers if paper.path.endswith(".pdf")]


def test_the_payments_are_those_of_the_sample(recording: Recording) -> None:
    transactions, problems = read_bank_folder(SAMPLE / "2026Q2" / "bank")
    assert not problems
    assert [each.transaction for each in recording.payments] == list(transactions)


def test_the_texts_of_receipts_are_what_their_reader_reads(recording: Recording) -> None:
    for paper in papers(recording)[::EVERY]:
        path = next(SAMPLE.glob(f"*/**/{Path(paper.path).name}"))
        assert transcribe(path.name, path.read_bytes()) == paper.transcript


def test_every_receipt_of_the_sample_is_recorded_once(recording: Recording) -> None:
    names = [Path(paper.path).name for each in recording.payments for paper in each.papers]
    files = [path.name for folder in ("2026Q2/receipts", "late") for path in (SAMPLE / folder).iterdir()]
    assert sorted(names) == sorted(files)
