"""Who saw what of a case: agents, tools and people, each with the names of the fields, never what was in them.

A pure fold of the log. An agent is shown the inputs of its task, and what its calls gave it; a criterion what it read;
a tool its arguments; a person the proposal to decide on. Names are those of fields that the receiver declared, so no
contents can be among them; of what nobody declared field by field (a tool's value, a flow's own proposal) only the
whole is named. What was refused before anybody looked was seen by nobody; what may have been seen counts as seen.
It does not know what a field means, nor who may look into the log itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Raw

from casework.actors.admission import CIRCUIT_OPEN
from casework.protocols.codec import decode_entry, plain
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Call, Decided, Decision, Done, Entry, Intent, Review
from casework.protocols.wire import Completed, Failed, FailureKind, Task
from casework.runtime.flow.replay import INNER, split_mark
from casework.runtime.flow.taskwork import AGAIN, ATTEMPT, ROUTE
from casework.runtime.store.base import Record


@dataclass(slots=True, frozen=True)
class Seen:
    """Something that somebody saw."""

    who: str
    """Such as `agent reader/1`, `criterion posted`, `tool read_receipt`, `person ann`."""
    step: str
    what: str
    """Such as `inputs of read`, `arguments of pay`, `value of read_receipt`, `proposal`."""
    fields: tuple[str, ...]
    """Names of its fields; empty: the whole of it, whose fields nobody declared."""


def seen(records: Iterable[Record]) -> list[Seen]:
    """Tell who saw what, each once, in the order of the log; what cannot be read any more tells nothing."""
    fold = _Fold()
    for record in records:
        try:
            entry = decode_entry(record.frame)
        except ProtocolError:
            continue
        fold.take(record.step_id, entry)
    return fold.told()


class _Fold:
    """What was seen in one case."""

    def __init__(self) -> None:
        self._seen: dict[Seen, None] = {}
        self._tasks: dict[str, Task] = {}
        self._workers: dict[str, str] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._reviews: dict[str, tuple[str, Seen]] = {}
        self._barred: set[str] = set()
        """Calls that an open circuit refused; earlier tries of the same call may have been made."""

    def take(self, step: str, entry: Entry) -> None:
        """Hear the next record."""
        own, mark = split_mark(step)
        match entry:
            case Task() if mark in {"", AGAIN}:
                self._tasks[own] = entry
            case Decision() if mark == ROUTE:
                self._workers[own] = entry.chosen
            case Completed() | Failed() if mark in {"", ATTEMPT}:
                self._attempted(own, entry)
                if not mark:
                    self._tasks.pop(own, None)
            case Decision() if mark == entry.rule == CIRCUIT_OPEN:
                self._barred.add(own)
            case Call() if entry.failure is not FailureKind.REFUSED and not (own in self._barred and entry.tries == 1):
                self._add(f"tool {entry.tool}", own, f"arguments of {entry.tool}", _fields(entry.arguments))
                if entry.failure is None:
                    self._valued(own, entry.tool)
            case Intent():
                self._add(f"tool {entry.tool}", own, f"arguments of {entry.tool}", _fields(entry.arguments))
            case Done():
                self._valued(own, entry.tool)
            case Review():
                # What a person approves of a call are arguments that its tool declared.
                fields = _fields(entry.proposal) if mark in {"approval", "unknown"} else ()
                self._reviews[entry.id] = own, Seen("", own, f"proposal: {entry.title}", fields)
            case Decided() if not entry.by_nobody and entry.review_id in self._reviews:
                asked, shown = self._reviews.pop(entry.review_id)
                self._add(f"person {entry.by}", asked, shown.what, shown.fields)
            case _:
                return

    def told(self) -> list[Seen]:
        """Tell what was heard; who has a task that has not ended is not in the log yet."""
        for step, task in self._tasks.items():
            self._add(f"an agent for {task.task}", step, f"inputs of {task.task}", _fields(task.inputs))
            self._add_values(f"an agent for {task.task}", step)
        for step, shown in self._reviews.values():
            self._add("whoever is to decide", step, shown.what, shown.fields)
        return list(self._seen)

    def _add(self, who: str, step: str, what: str, fields: tuple[str, ...]) -> None:
        self._seen.setdefault(Seen(who, step, what, fields))

    def _valued(self, step: str, tool: str) -> None:
        """Hear that a call gave its value: to a criterion, to the agent at work, or to the flow, which is the case."""
        scope, inner, name = step.rpartition(INNER)
        if not inner:
            return
        criterion, reads, _ = name.partition("/")
        if reads:
            self._add(f"criterion {criterion}", step, f"value of {tool}", ())
        else:
            self._values.setdefault(scope.partition("@")[0], {})[step] = tool

    def _attempted(self, step: str, outcome: Completed | Failed) -> None:
        worker, task = self._workers.pop(step, ""), self._tasks.get(step)
        if task is None or (isinstance(outcome, Failed) and outcome.unseen) or not (outcome.agent or worker):
            return
        who = f"agent {outcome.agent or worker}"
        self._add(who, step, f"inputs of {task.task}", _fields(task.inputs))
        self._add_values(who, step)

    def _add_values(self, who: str, step: str) -> None:
        for call, tool in self._values.pop(step, {}).items():
            self._add(who, call, f"value of {tool}", ())


def _fields(value: Raw) -> tuple[str, ...]:
    """Name the fields of a Struct, as they stand in its bytes; none of anything else."""
    named = plain(value)
    return tuple(named) if isinstance(named, dict) else ()
