"""What calls cost and who caused it, from the logs of cases alone: every end of a call, whoever made it and why.

Attempts that failed, votes that were lost and branches that were given up have ends of their own, so they count. What
is open is what a call holds that was begun and has no end yet: the most that it can cost. If a person has been asked
whether it happened, it is unknown. A pure fold; the ledgers of the accounts say the same.
It does not know what is left of any budget.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from casework.protocols.codec import decode_entry
from casework.protocols.records import Call, Chapter, Decision, Done, Intent, Opened, Review, Undone
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.reserving import BUDGET, SWITCH
from casework.runtime.store.accounts import account_name, parts_of
from casework.runtime.store.base import CaseKey, Record


class By(enum.StrEnum):
    """Whom or what costs are counted for."""

    AGENT = "agent"
    PROJECT = "project"
    USER = "user"
    CASE = "case"
    TENANT = "tenant"
    TOOL = "tool"


class Payer(NamedTuple):
    """Who caused a call; what is empty is nobody."""

    tenant: str
    case: str
    project: str
    user: str
    agent: str
    tool: str

    def named(self, by: By) -> str:
        """Give the account that paid, or the tool; empty for none."""
        if by is By.TOOL:
            return self.tool
        name = "" if by is By.TENANT else str(getattr(self, by))
        return account_name(by, self.tenant, name) if name or by is By.TENANT else ""


class Spent(NamedTuple):
    """What calls came to, in millionths."""

    calls: int = 0
    """Calls that cost something, or may yet."""
    spent: int = 0
    open: int = 0
    unknown: int = 0

    def plus(self, other: "Spent") -> "Spent":
        """Add them up."""
        return Spent(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


@dataclass(slots=True)
class CaseCosts:
    """The calls of one case that cost something, as far as its records were entered, in their order."""

    key: CaseKey
    ended: list[tuple[int, Payer, int]] = field(default_factory=list[tuple[int, Payer, int]])
    """When a call ended, in microseconds since the epoch, who caused it, and what it cost."""
    dropped: int = 0
    """Records whose contents retention has dropped."""
    _opened: Opened | Chapter | None = None
    _intents: dict[str, Intent] = field(default_factory=dict[str, Intent])
    _asked: set[str] = field(default_factory=set[str])

    def enter(self, record: Record) -> None:
        """Enter the next record; raises FrameUnknown or FrameInvalid for one that this version cannot read."""
        if not record.frame:
            self.dropped += 1
            return
        step, mark = split_mark(record.step_id)
        match decode_entry(record.frame):
            case Opened() | Chapter() as opened:
                self._opened = opened
            case Intent() as intent:
                self._intents[step] = intent
            case Decision() if mark in {BUDGET, SWITCH}:
                self._intents.pop(step, None)
            case Review() if mark == "unknown":
                self._asked.add(step)
            case Call(tool=tool, cost=cost) | Done(tool=tool, cost=cost) | Undone(tool=tool, cost=cost):
                begun = self._intents.pop(step) if step in self._intents else None
                if cost.micros:
                    self.ended.append((record.at, self._payer(tool, begun), cost.micros))
            case _:
                pass

    def spent(self, since: int = 0) -> list[tuple[Payer, Spent]]:
        """Give each call that ended from a moment on, and each that has not ended."""
        calls = [(payer, Spent(1, micros)) for at, payer, micros in self.ended if at >= since]
        for step, intent in self._intents.items():
            if intent.micros:
                held = Spent(1, unknown=intent.micros) if step in self._asked else Spent(1, open=intent.micros)
                calls.append((self._payer(intent.tool, intent), held))
        return calls

    def _payer(self, tool: str, intent: Intent | None) -> Payer:
        project, user = (self._opened.project, self._opened.user) if self._opened else ("", "")
        parts = [parts_of(account) for account in intent.accounts] if intent else []
        agent = next((name for kind, _, name in parts if kind == By.AGENT), "")
        return Payer(self.key.tenant, self.key.case_id, project, user, agent, tool)


def costs_of(key: CaseKey, records: Iterable[Record]) -> CaseCosts:
    """Enter all records of a case."""
    costs = CaseCosts(key)
    for record in records:
        costs.enter(record)
    return costs


def attributed(calls: Sequence[tuple[Payer, Spent]], by: By) -> dict[str, Spent]:
    """Add up calls by whom or what they are counted for, sorted by name; the name of nobody is empty."""
    total: dict[str, Spent] = {}
    for payer, spent in calls:
        name = payer.named(by)
        total[name] = total.get(name, Spent()).plus(spent)
    return dict(sorted(total.items()))
