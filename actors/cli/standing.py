"""Where a store's cases stand, in a few numbers and lines, and what changed between two looks.

It does not know why anything changed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from casework.actors.cli.output import say, say_columns
from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Entry, Noted
from casework.runtime.review import ReviewView, open_reviews
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, Record, StoreReader, WaitKind

#: Lines of one kind in a summary at most; `casework cases` has them all.
LINES_MAX: Final = 25

#: Records by which a case begins to wait for somebody.
_ASKING: Final = frozenset({"parked", "review", "halted"})
#: What only somebody outside can give.
_WANTED: Final = frozenset({WaitKind.EVIDENCE, WaitKind.OPERATOR, WaitKind.REVIEW})
#: Levels of notes that are told when they are written.
_LOUD: Final = frozenset({"warning", "error"})


@dataclass(slots=True, frozen=True)
class OverviewFile:
    """The overview that a crew wrote, as far as the command can tell."""

    path: str
    revision: int
    status: str


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a crew's overview.json may say of itself; the rest of it is the crew's own."""

    revision: int = 0
    status: str = ""


@dataclass(slots=True, frozen=True)
class Standing:
    """All cases at one moment."""

    cases: dict[CaseKey, CaseRow]
    reviews: Sequence[ReviewView]
    overview: OverviewFile | None
    results: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True, frozen=True)
class Change:
    """One case that stands elsewhere than before."""

    case: str
    before: str
    after: str


@dataclass(slots=True, frozen=True)
class Notice:
    """A warning or an error that a case noted."""

    case: str
    level: str
    text: str


@dataclass(slots=True, frozen=True)
class News:
    """What came between two looks."""

    changed: tuple[Change, ...]
    notices: tuple[Notice, ...]


async def standing(reader: StoreReader) -> Standing:
    """Look where all cases stand."""
    rows = await reader.cases()
    results = Counter(row.result or row.status.value for row in rows)
    out = await reader.setting("out")
    return Standing(
        {row.key: row for row in rows}, await open_reviews(reader), _overview(out) if out else None, dict(results)
    )


async def news(reader: StoreReader, before: Standing, after: Standing) -> News:
    """Name the cases that stand elsewhere than before, wait for something else or ask again, and what they noted."""
    changed: list[Change] = []
    notices: list[Notice] = []
    for key, row in after.cases.items():
        was = before.cases.get(key)
        seen = was.next_seq if was else 0
        if row.next_seq == seen:
            continue
        records = await reader.records(key, seen)
        then, now = _told(was) if was else "absent", _told(row)
        if was and _asks(row) and _asks(was) == _asks(row) and _asked(row, records):
            now += " again"
        if then != now:
            changed.append(Change(key.case_id, then, now))
        notices += [Notice(key.case_id, note.level, note.text) for note in notes(records) if note.level in _LOUD]
    return News(tuple(changed), tuple(notices))


def notes(records: Sequence[Record]) -> Iterator[Noted]:
    """Give the notes among records; what cannot be read is for `verify`."""
    return (entry for entry in _entries(records, "noted") if isinstance(entry, Noted))


def _entries(records: Sequence[Record], kind: str) -> Iterator[Entry]:
    """Give what the records of a kind say, as far as they can be read."""
    for record in records:
        if record.kind == kind:
            with suppress(ProtocolError):
                yield decode_entry(record.frame)


def _told(row: CaseRow) -> str:
    if row.status is CaseStatus.CLOSED:
        return f"closed ({row.result})"
    others = [wait for wait in row.waits if wait.kind is not WaitKind.CHILD]
    # Moments are told only where nothing else is waited for: the others are limits of that.
    given = [wait for wait in others if wait.kind is not WaitKind.TIMER] or others
    waits = ", ".join(f"review {wait.key[:12]}" if wait.kind is WaitKind.REVIEW else wait.key for wait in given)
    return f"{row.status}, waits for {waits}" if waits else row.status.value


def _asks(row: CaseRow) -> set[WaitKind]:
    """Give the kinds of things that a parked case wants of somebody."""
    return {wait.kind for wait in row.waits} & _WANTED if row.status is CaseStatus.PARKED else set()


def _asked(row: CaseRow, records: Sequence[Record]) -> bool:
    """Whether a case that wants something has asked for it in these records, or wants anew what came in them."""
    wanted = {wait.key for wait in row.waits}
    came = (entry for entry in _entries(records, "arrived") if isinstance(entry, Arrived))
    return any(record.kind in _ASKING for record in records) or any(each.key in wanted for each in came)


def _overview(out: str) -> OverviewFile | None:
    folder = Path(out)
    try:
        written = msgspec.json.decode((folder / "overview.json").read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    page = folder / "overview.html"
    return OverviewFile(str(page if page.exists() else folder / "overview.json"), written.revision, written.status)


def parked(after: Standing) -> list[tuple[str, str, str]]:
    """Give (case, key, reason) of everything that cases wait for from outside, people's decisions aside."""
    return [
        (row.key.case_id, wait.key, wait.reason)
        for row in after.cases.values()
        for wait in row.waits
        if row.status is CaseStatus.PARKED and wait.kind in {WaitKind.EVIDENCE, WaitKind.OPERATOR}
    ]


def summary_json(after: Standing) -> dict[str, object]:
    """Give what `--json` says of where all cases stand."""
    return {
        "cases": len(after.cases),
        "results": after.results,
        "parked": [{"case": case, "key": key, "reason": reason} for case, key, reason in parked(after)],
        "reviews": [
            {"id": each.id, "case": each.case_id, "title": each.title, "rule": each.rule} for each in after.reviews
        ],
        "overview": after.overview,
    }


def say_summary(after: Standing) -> None:
    """Print where all cases stand: how many are done, what is parked and why, what is in review, the overview."""
    counts = ", ".join(f"{count} {what}" for what, count in sorted(after.results.items()))
    say(f"{len(after.cases)} cases: {counts}" if after.cases else "no cases")
    waiting = parked(after)
    if waiting:
        say("", f"parked, {len(waiting)} waits:")
        say_columns([(f"  {case}", key, reason) for case, key, reason in waiting[:LINES_MAX]])
        _more(len(waiting), "casework cases --status parked")
    if after.reviews:
        say("", f"in review, {len(after.reviews)}:")
        say_columns([(f"  {each.id[:12]}", each.case_id, each.title) for each in after.reviews[:LINES_MAX]])
        _more(len(after.reviews), "casework review list")
    say_overview(after)


def say_overview(after: Standing) -> None:
    """Print where the overview is, if there is one."""
    if after.overview is not None:
        made = after.overview
        say("", f"overview: {made.path} ({made.status or 'written'}, revision {made.revision})")


def _more(count: int, command: str) -> None:
    if count > LINES_MAX:
        say(f"  ... {count - LINES_MAX} more: {command}")
