"""What the log has of each call of a case: how it was asked for, its intent, its end, what a person said of it.

It is told every record of a call, those of earlier incarnations and those written now, and answers questions; it
changes nothing. It does not know which calls are under way.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from casework.protocols.records import (
    Arrived,
    Call,
    Decided,
    Decision,
    Done,
    Entry,
    Intent,
    Review,
    ReviewAction,
    Undone,
    Unparked,
    Withdrawn,
)
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime.flow.holding import Holds
from casework.runtime.flow.replay import INNER, MARK
from casework.runtime.store.base import Wait, WaitKind

Ended = Call | Done | Undone

#: How the choice of another tool begins.
CHEAPER: Final = "tool:"


class Told(NamedTuple):
    """What the log has of one call."""

    ended: Ended | None = None
    intent: Intent | None = None
    decided: Decided | None = None  #: the last decision of a person since the intent, or before there was one
    asked: Review | None = None  #: the review that is still open
    overdraft: Decision | None = None  #: what was decided last when too little was left of a budget
    overdrafts: int = 0  #: how often that was
    waits: bool = False  #: it waits for the limit of a budget to be raised


#: What it has of a call that it has not heard of.
NOTHING: Final = Told()


class CallHistory:
    """The calls of one case, as its log has them."""

    def __init__(self) -> None:
        self._recorded: dict[str, list[Entry]] = {}
        # Steps of calls inside tasks, by the scope of the attempt that made them.
        self._inside: dict[str, list[str]] = {}
        # Steps of writes that are done, in that order.
        self._done: dict[str, None] = {}
        # When each write was intended last.
        self._intended: dict[str, int] = {}
        #: What a person is asked before a call can go on, by the call's step; the call may not be under way itself.
        self.asked: dict[str, Review] = {}
        #: Calls that wait for the limit of a budget to be raised, by step; they are not under way either.
        self.short: dict[str, Decision] = {}
        self.holds = Holds()  #: when calls waited for somebody

    def remember(self, step_id: str, entry: Entry, at: int = 0) -> None:
        """Hear a record that belongs to a call, and its moment, in microseconds since the epoch.

        That matters of an intent, and where the call begins to wait for somebody or ends to.
        """
        step = step_id.partition(MARK)[0]
        known = self._recorded.get(step)
        if known is None:
            self._recorded[step] = [entry]
            task, inside, _ = step.partition(INNER)
            if inside:
                self._inside.setdefault(task + inside, []).append(step)
            if type(entry) is Call and not self.holds.open:
                return  # The only record that most calls have.
        else:
            known.append(entry)
        if isinstance(entry, Done):
            self._done.setdefault(step)
        elif isinstance(entry, Intent):
            self._intended[step] = at
        if isinstance(entry, Review):
            self.asked[step] = entry
        elif not isinstance(entry, Intent):
            self.asked.pop(step, None)
        if isinstance(entry, Decision) and entry.chosen == OnStop.PARK:
            self.short[step] = entry
        elif self.short:
            self.short.pop(step, None)
        held = step in self.asked or step in self.short
        if held or self.holds.open:
            self.holds.hear(step, at, held=held)

    def __contains__(self, step_id: str) -> bool:
        """Tell whether the log has anything of a call."""
        return step_id in self._recorded

    def steps(self) -> Iterable[str]:
        """Give the steps of all calls, oldest first; more may be remembered meanwhile."""
        return list(self._recorded)

    def waits(self) -> list[Wait]:
        """Name the reviews that calls wait for, and the budgets."""
        if not (self.asked or self.short):
            return []
        waits = [Wait(review.id, WaitKind.REVIEW, review.rule) for review in self.asked.values()]
        if self.short:
            short = {decision.subject: decision.why for decision in self.short.values()}
            waits += [Wait(key, WaitKind.OPERATOR, why) for key, why in short.items()]
        return waits

    def resting(self, step_id: str) -> bool:
        """Tell whether a call waits for a person."""
        return step_id in self.asked or step_id in self.short

    def holder(self, step_id: str) -> str:
        """Say what a call that waits for a person waits for."""
        review, short = self.asked.get(step_id), self.short.get(step_id)
        return f"review {review.rule}" if review else f"{short.subject}, {short.why}" if short else ""

    def asked_by_review(self, review_id: str) -> str | None:
        """Give the step of the call that a review is about, while it is open."""
        return next((step for step, review in self.asked.items() if review.id == review_id), None)

    def waiting_below(self, scope: str) -> str:
        """Give the first call in a scope that cannot go on without a person, or an empty text."""
        return next((step_id for step_id in (*self.asked, *self.short) if step_id.startswith(scope)), "")

    def arguments(self, step_id: str) -> bytes | None:
        """Give the arguments with which a call was first asked for."""
        for entry in self._recorded.get(step_id, ()):
            if isinstance(entry, Call | Intent):
                return bytes(entry.arguments)
            if isinstance(entry, Review):
                return bytes(entry.proposal)
        return None

    def micros(self, step_id: str) -> int:
        """Give what a call may cost at most, by its last intent."""
        intents = [entry.micros for entry in self._recorded.get(step_id, ()) if isinstance(entry, Intent)]
        return intents[-1] if intents else 0

    def intended_at(self, step_id: str) -> int:
        """Give when a write was intended last, in microseconds since the epoch; 0 if it never was."""
        return self._intended.get(step_id, 0)

    def asked_in(self, scope: str) -> list[str]:
        """Give the calls that were asked for in the scope of an attempt, oldest first."""
        inside = self._inside.get(scope)
        return [step for step in inside if self.arguments(step) is not None] if inside else []

    def intents(self) -> list[tuple[str, Intent, Done | Undone | None]]:
        """Give each write with its step and its end: first those that are done, in that order, then the others."""
        ended = {step: self.told(step).ended for step in self._recorded}
        steps = [*self._done, *(step for step in self._recorded if step not in self._done)]
        intents = ((step, self.told(step).intent, ended[step]) for step in steps)
        return [(step, intent, None if isinstance(end, Call) else end) for step, intent, end in intents if intent]

    def wrote(self, step_id: str) -> bool:
        """Tell whether any call of a task, in whatever attempt, made a write that is not known to have failed."""
        below = (f"{step_id}{INNER}", f"{step_id}@")
        return any(self._may_stand(step) for step in self._recorded if step.startswith(below))

    def _may_stand(self, step_id: str) -> bool:
        """Tell whether a call is a write that is not known to have failed."""
        ended, intent, *_ = self.told(step_id)
        return intent is not None and intent.tier is not RiskTier.READ_ONLY and not isinstance(ended, Undone)

    def in_doubt(self, scope: str, taken: Iterable[str]) -> str:
        """Name the tool of the first write in the scope of an attempt of which nothing is known yet; empty if none.

        The attempt has `taken` over other calls from those before it.
        """
        for step_id in (*self._inside.get(scope, ()), *taken):
            told = self.told(step_id)
            if told.intent is not None and told.ended is None:
                return told.intent.tool
        return ""

    def made(self, steps: Iterable[str], arguments: bytes) -> str:
        """Give the first of these calls that was made with the arguments, is a write and may stand; empty if none."""
        for step in steps:
            if self._may_stand(step) and self.arguments(step) == arguments:
                return step
        return ""

    def told(self, step_id: str) -> Told:
        """Give what the log has of a call."""
        if step_id not in self._recorded:
            return NOTHING
        ended, intent, decided, asked = None, None, None, None
        approved, overdraft, overdrafts, waits = None, None, 0, False
        for entry in self._recorded[step_id]:
            match entry:
                case Call() | Done() | Undone():
                    ended = entry
                case Intent():
                    intent, approved, decided = entry, decided, None
                case Review():
                    asked = entry
                case Decided():
                    # Who lets an edited call be tried again does not take the edit back.
                    again = entry.action is ReviewAction.APPROVE and intent is None and approved is not None
                    decided, asked = approved if again else entry, None
                case Decision():
                    # It was not made, so its intent is none.
                    intent, overdraft, overdrafts = None, entry, overdrafts + 1
                    decided = approved = None if cheaper_tool(entry) else decided or approved
                    waits = entry.chosen == OnStop.PARK
                case Withdrawn():
                    asked = None
                case Arrived() | Unparked():
                    waits = False
                case _:
                    continue
        return Told(ended, intent, decided, asked, overdraft, overdrafts, waits)


def cheaper_tool(decision: Decision) -> str:
    """Give the tool that is called in the stead of the one for which too little was left; empty for none."""
    return decision.chosen.removeprefix(CHEAPER) if decision.chosen.startswith(CHEAPER) else ""
