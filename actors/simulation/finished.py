"""A finished run as invariants see it: cases, logs, what happened to the world outside, and what processes tell.

It does not know what should hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from casework.actors.crew import Crew
from casework.actors.intake import OpenCase
from casework.actors.simulation.effects import Effect
from casework.actors.testing.log import CaseLog
from casework.protocols.codec import decode_entry
from casework.protocols.records import Entry
from casework.protocols.wire import Task
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.store.accounts import Account
from casework.runtime.store.base import CaseRow, Record, Store
from casework.runtime.store.verify import Finding, verify


@dataclass(slots=True, frozen=True, eq=False)
class Line:
    """One record of a case's log."""

    seq: int
    step_id: str
    entry: Entry


@dataclass(slots=True, frozen=True, eq=False)
class Finished:
    """What a run has left."""

    crew: Crew
    opened: Mapping[str, OpenCase]
    """Cases that somebody was told are open."""
    rows: Mapping[str, CaseRow]
    """Every case as the store has it, by case id."""
    lines: Mapping[str, Sequence[Line]]
    """Every case's log, by case id."""
    effects: Sequence[Effect]
    """Writes that happened to the world outside, in order."""
    broken_logs: Sequence[Finding]
    systems: Mapping[str, ActorSystem]
    """The actors of each node that lives, by its name."""
    records: Mapping[str, Sequence[Record]]
    accounts: Sequence[Account]
    """The budgets that cases share, as they stand."""
    lost: Sequence[Task]
    """Tasks of which an attempt got no answer, and nobody had it any more."""
    ended: bool
    """False: time was up before everything had come to rest."""

    def log(self, case_id: str) -> CaseLog:
        """Give a case's log as tests read it."""
        return CaseLog(case_id, tuple(self.records[case_id]))


async def finish(
    crew: Crew,
    store: Store,
    *,
    opened: Mapping[str, OpenCase],
    effects: Sequence[Effect],
    systems: Mapping[str, ActorSystem],
    lost: Sequence[Task],
    ended: bool,
) -> Finished:
    """Read everything that a run has left."""
    rows = {row.key.case_id: row for row in await store.cases()}
    records = {case_id: await store.records(row.key) for case_id, row in rows.items()}
    return Finished(
        crew=crew,
        opened=dict(opened),
        rows=rows,
        lines={
            case_id: [Line(each.seq, each.step_id, decode_entry(each.frame)) for each in log]
            for case_id, log in records.items()
        },
        effects=tuple(effects),
        broken_logs=await verify(store),
        systems=systems,
        records=records,
        accounts=await store.accounts(),
        lost=tuple(lost),
        ended=ended,
    )
