"""What follows from a log whose contents were dropped is held against its row all the same."""

from itertools import combinations
from typing import Any

import msgspec
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Opened
from casework.runtime import verifier
from casework.runtime.export import exported, imported
from casework.runtime.store.archive import Transfer, without_frame
from casework.runtime.store.base import CaseStatus, Wait, WaitKind
from casework.runtime.store.crosscheck import EPOCH_MAX, difference
from tests.support.record_logs import FOLDER

ODD = "its contents are missing, and neither retention nor compaction drops them so"


@pytest.fixture(scope="module")
def long() -> Transfer:
    """A case of three chapters, with a record 12 that closes it."""
    [transfer] = imported((FOLDER / "0.1.0" / "chapters.json").read_bytes()).transfers
    return transfer


def ongoing(transfer: Transfer) -> Transfer:
    """Give a case as it was before its last record."""
    records = transfer.records[:-1]
    row = transfer.row
    row = msgspec.structs.replace(
        row, next_seq=row.next_seq - 1, head=records[-1].hash, status=CaseStatus.OPEN, result="", waits=()
    )
    return msgspec.structs.replace(transfer, row=row, records=records)


def dropped(transfer: Transfer, *seqs: int) -> Transfer:
    records = tuple(without_frame(each) if each.seq in seqs else each for each in transfer.records)
    return msgspec.structs.replace(transfer, records=records)


@pytest.mark.promise("STORE-8")
def test_of_all_ways_to_drop_contents_only_those_of_commands_are_taken_by_verify_and_by_the_verifier(
    long: Transfer,
) -> None:
    for case, end in ((long, {tuple(range(13))}), (ongoing(long), set[tuple[int, ...]]())):
        length = len(case.records)
        fine = {(), tuple(range(1, 4)), tuple(range(1, 8)), *end}
        for count in range(length + 1):
            for seqs in combinations(range(length), count):
                changed = dropped(case, *seqs)
                other = difference(changed)
                assert other == (None if seqs in fine else (seqs[0], ODD)), seqs
        for seqs in [*fine, (0,), (1,), (3,), (1, 2), (4,), (1, 2, 3, 4), (length - 1,), tuple(range(length - 1))]:
            wrong = verifier.findings(verifier.load(exported([dropped(case, *seqs)], {})))
            assert bool(wrong) is (seqs not in fine), seqs


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": CaseStatus.OPEN}, "its log says that it ended, but its row says open"),
        ({"opened_at": 1}, "its row says another opened_at than its log"),
        ({"chapter": 4}, "its row says another chapter than its log"),
        ({"epoch": 0}, "its row says that it was owned 0 times, its log 3"),
        ({"epoch": EPOCH_MAX + 1}, f"its row says that it was owned {EPOCH_MAX + 1} times, which is more than can be"),
        ({"waits": (Wait("k", WaitKind.EVIDENCE),)}, "its row says that it waits, though it has ended"),
    ],
    ids=str,
)
def test_what_needs_no_contents_is_held_against_the_row_after_retention(
    long: Transfer, change: dict[str, Any], why: str
) -> None:
    bare = dropped(long, *range(13))
    assert difference(bare) is None
    for case in (long, bare):
        assert difference(msgspec.structs.replace(case, row=msgspec.structs.replace(case.row, **change))) == (12, why)


def test_a_case_of_a_flow_without_a_name_is_held_against_its_log_like_any_other() -> None:
    [case] = imported((FOLDER / "0.1.0" / "steps.json").read_bytes()).transfers
    nameless = encode(Opened(flow="", version="1", source_hash="abc", crew="books"))
    records = (msgspec.structs.replace(case.records[0], frame=nameless), *case.records[1:])
    row = msgspec.structs.replace(case.row, opened_at=1, flow="", version="1", source_hash="abc", crew="books")
    why = (case.row.next_seq - 1, "its row says another opened_at than its log")
    assert difference(msgspec.structs.replace(case, records=records, row=row)) == why
