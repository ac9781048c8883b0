"""A case's log as a test reads it: one short line a record, and assertions that show where the log differs.

A line is the kind of the record and its step, such as `task judge` or `intent bank.pay`; the last says how the case
closed. Patterns are shell patterns. It does not know how the log came about.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from casework.actors.timeline import timeline
from casework.protocols.codec import decode_entry
from casework.protocols.records import Call, Closed, Decision, Done, Entry
from casework.protocols.wire import Cost
from casework.runtime.store.base import Record


@dataclass(slots=True, frozen=True)
class CaseLog:
    """The durable log of one case."""

    case_id: str
    records: tuple[Record, ...]

    @property
    def entries(self) -> list[Entry]:
        """Give what the records say, in order."""
        return [decode_entry(record.frame) for record in self.records]

    @property
    def steps(self) -> list[str]:
        """Give the log's lines, in order."""
        return [_line(record) for record in self.records]

    @property
    def cost(self) -> Cost:
        """Add up what the case's calls cost, as the log has it."""
        costs = [entry.cost for entry in self.entries if isinstance(entry, Call | Done)]
        return Cost(calls=sum(cost.calls for cost in costs), micros=sum(cost.micros for cost in costs))

    def assert_steps(self, *patterns: str) -> None:
        """Fail unless the log has exactly these lines."""
        __tracebackhide__ = True
        steps = self.steps
        same = len(steps) == len(patterns)
        if not same or not all(fnmatchcase(step, pattern) for step, pattern in zip(steps, patterns, strict=True)):
            self._fail("does not have exactly the expected steps", _difference(patterns, steps))

    def assert_has(self, first: str, /, *then: str) -> None:
        """Fail unless the log has these lines in this order, whatever stands between them."""
        __tracebackhide__ = True
        rest = iter(self.steps)
        for place, pattern in enumerate((first, *then)):
            if not any(fnmatchcase(step, pattern) for step in rest):
                after = " after those that come before it" if place else ""
                self._fail(f"has no step {pattern!r}{after}", self.steps)

    def assert_lacks(self, first: str, /, *more: str) -> None:
        """Fail if the log has any such line."""
        __tracebackhide__ = True
        for pattern in (first, *more):
            found = [step for step in self.steps if fnmatchcase(step, pattern)]
            if found:
                self._fail(f"has step {found[0]!r}, which {pattern!r} forbids", self.steps)

    def assert_decided(self, subject: str, chosen: str, *, rule: str = "*") -> None:
        """Fail unless this was decided on that subject, by a rule that fits."""
        __tracebackhide__ = True
        decisions = [entry for entry in self.entries if isinstance(entry, Decision) and entry.subject == subject]
        if not any(each.chosen == chosen and fnmatchcase(each.rule, rule) for each in decisions):
            told = [f"{each.subject}: {each.chosen} by rule {each.rule}" for each in decisions]
            self._fail(f"has no decision {subject!r}: {chosen!r} by rule {rule!r}", told or ["no decision on that"])

    def told(self) -> str:
        """Tell the whole log, as `casework show` does."""
        lines = [f"{line.seq:4} {line.kind:10} {line.step:24} {line.text}" for line in timeline(self.records)]
        return "\n".join(lines)

    def _fail(self, what: str, lines: Sequence[str]) -> None:
        __tracebackhide__ = True
        shown = "\n".join(f"    {line}" for line in lines)
        raise AssertionError(f"the log of case {self.case_id} {what}:\n{shown}\nthe whole log:\n{self.told()}")


def _line(record: Record) -> str:
    if record.kind == "closed":
        entry = decode_entry(record.frame)
        return f"closed {entry.result}" if isinstance(entry, Closed) else "closed"
    return f"{record.kind} {record.step_id}".rstrip()


def _difference(patterns: Sequence[str], steps: Sequence[str]) -> list[str]:
    """Show expected (-) and found (+) lines; a pattern that fits is shown as what it fits."""
    wanted = [next((step for step in steps if fnmatchcase(step, pattern)), pattern) for pattern in patterns]
    lines = difflib.ndiff(wanted, list(steps))
    return [line.rstrip() for line in lines if not line.startswith("?")]
