"""A fork is held to its case step by step, and the first thing that it does otherwise is told."""

import pytest

from casework.protocols.codec import encode, kind_of, pack
from casework.protocols.records import (
    CaseResult,
    Closed,
    Done,
    Entry,
    Fired,
    Intent,
    Noted,
    Opened,
    Timer,
    Undone,
    Verdict,
)
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.departing import Departure, departure
from casework.runtime.flow.replay import marked
from casework.runtime.store.base import Record

OPENED = ("case", Opened(flow="f", version="1", source_hash="s", crew="c"))
LEFT, RIGHT = ("gather/0/note", Noted(text="left")), ("gather/1/note", Noted(text="right"))
CLOSED = ("case", Closed(result=CaseResult.COMPLETED))
INTENT = (
    "pay",
    Intent(
        tool="pay",
        arguments=pack({"cents": 5}),
        tier=RiskTier.IRREVERSIBLE,
        key="k",
        call_before=7,
        verdict=Verdict(allowed=True, rule="allowed", policy_hash="p"),
    ),
)


def log(*said: tuple[str, Entry], at: int = 0) -> list[Record]:
    """Make a log of what stands at each step, all of it at one moment."""
    return [
        Record(seq=seq, epoch=0, kind=kind_of(entry), step_id=step, at=at, frame=encode(entry))
        for seq, (step, entry) in enumerate(said)
    ]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ((LEFT, RIGHT, CLOSED), (RIGHT, LEFT, CLOSED)),
        ((("timer", Timer(due=1)), ("timer", Fired(due=1))), (("timer", Timer(due=2)), ("timer", Fired(due=2)))),
        ((LEFT, CLOSED), (LEFT, (marked("gather/0", "late"), Noted(text="aside")), CLOSED)),
    ],
    ids=["branches in another order", "another moment", "an aside"],
)
def test_what_no_two_runs_have_in_common_is_no_difference(
    then: tuple[tuple[str, Entry], ...], now: tuple[tuple[str, Entry], ...]
) -> None:
    assert departure(log(OPENED, *then), log(OPENED, *now, at=9), 0) is None


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (
            (LEFT, ("gather/1/note", Noted(text="wrong")), CLOSED),
            Departure(2, "noted at step gather/1/note, where the case has another noted at step gather/1/note"
                         " (its record 2)"),
        ),
        (
            (LEFT, ("gather/1/note", Timer(due=1)), CLOSED),
            Departure(2, "timer at step gather/1/note, where the case has noted at step gather/1/note (its record 2)"),
        ),
        (
            (LEFT, RIGHT, ("note", Noted(text="more")), CLOSED),
            Departure(3, "noted at step note, which the case does not have"),
        ),
        ((LEFT,), Departure(2, "nothing more, where the case has noted at step gather/1/note")),
    ],
    ids=["another text", "another kind", "one more", "no more"],
)  # fmt: skip
def test_the_first_record_that_says_something_else_is_told(now: tuple[tuple[str, Entry], ...], told: Departure) -> None:
    assert departure(log(OPENED, LEFT, RIGHT, CLOSED), log(OPENED, *now), 0) == told


def test_what_stands_before_the_fork_is_not_looked_at() -> None:
    assert departure(log(OPENED, LEFT, CLOSED), log(OPENED, RIGHT, CLOSED), 1) is None


def test_by_whom_the_end_of_a_write_was_found_out_is_no_difference() -> None:
    then = log(OPENED, INTENT, ("pay", Done(tool="pay", value=pack(1))), CLOSED)
    now = log(OPENED, INTENT, ("pay", Done(tool="pay", value=pack(1), found_by="lookup")), CLOSED)
    assert departure(then, now, 1) is None
    assert departure(then, now, 0) is None


def test_how_a_write_ended_that_had_begun_is_found_out_anew() -> None:
    unavailable = Undone(tool="pay", kind=FailureKind.UNAVAILABLE, message="it did not happen")
    then, now = log(OPENED, INTENT, ("pay", Done(tool="pay", value=pack(1)))), log(OPENED, INTENT, ("pay", unavailable))
    assert departure(then, now, 1) is None
    assert departure(then, now, 0) == Departure(
        2, "undone at step pay, where the case has done at step pay (its record 2)"
    )
