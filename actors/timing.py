"""Where a case's time went: of each step how long it waited and how long it worked, and which chain of steps it was.

A pure fold of the log. A step begins when the step before it in its branch ended, or with its own record, and ends
with its record; what goes on inside it tells its time apart. Of a task that has not ended the log does not say who has
it: it counts as worked on.

Where several go on at once people count first, then tools, work, and the queue. The *critical
path* leads back from the case's end: the step whose end let it end, the step whose end let that one begin, and so on to
the opening. What lies between two steps of it is a gap: nothing was asked for and nothing done. Moments are those of
the records, in microseconds; where a clock was set back, time stands still until it has caught up.
It does not know why anything took as long as it did.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from casework.actors.times import CANCELLED, MOVED, OWN, PARTS, CaseTimes, Gap, Spent, StepTimes
from casework.protocols.codec import decode_entry
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Call, Decision, Entry
from casework.protocols.wire import Completed, Failed, OnStop
from casework.runtime.flow.holding import union
from casework.runtime.flow.replay import INNER, split_mark
from casework.runtime.flow.reserving import BUDGET, SWITCH
from casework.runtime.flow.taskwork import ATTEMPT, RESUMED, ROUTE, STOP
from casework.runtime.store.base import Record

#: What kinds of records begin a step, and in which part it then is unless something says otherwise.
_BEGINS: Final = {
    "task": "waiting",
    "intent": "tools",
    "review": "people",
    "parked": "waiting",
    "timer": "waiting",
}
#: What kinds of records end a step, and in which part it was if nothing began it in the log.
_ENDS: Final = {
    "completed": "waiting",
    "failed": "waiting",
    "call": "tools",
    "done": "tools",
    "undone": "tools",
    "decided": "people",
    "arrived": "waiting",
    "fired": "waiting",
    "reported": "waiting",
    "reckoned": "waiting",
}
#: What kinds of records tell that a step was taken back.
_TAKEN_BACK: Final = frozenset({"withdrawn", "unparked"})
#: After which choices a task, or a call for which too little is left or that is held, rests until it is let go on.
_RESTS: Final = {STOP: {OnStop.PARK}, BUDGET: {OnStop.PARK, OnStop.REVIEW}, SWITCH: {OnStop.PARK}}
#: The step of what happens to the case as a whole.
_CASE: Final = "case"
#: Steps under which branches run side by side; the next part of a step's name is then the branch's number.
_JOINS: Final = ("gather", "first")


def timing(records: Iterable[Record]) -> CaseTimes:
    """Tell where a case's time went, from the whole of its log; an empty log took none."""
    fold = _Fold()
    for record in records:
        fold.take(record)
    return fold.told()


@dataclass(slots=True, eq=False)
class _Step:
    step: str
    kind: str
    began: int
    part: str
    after: "_Step | None"
    epoch: int
    epoch_ended: int = 0
    ended: int | None = None
    over: bool = True
    tried: int = 0
    """Up to when it is known what was done of it."""
    routed: bool = False
    asked: dict[str, tuple[str, int]] = field(default_factory=dict[str, "tuple[str, int]"])
    """What goes on inside it, by step: the part, and since when."""
    spans: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    """Pieces of its time: from, to, part."""
    held: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Times in which a call inside it waited for somebody: from, to."""


class _Fold:
    """The steps of one case."""

    def __init__(self) -> None:
        self._opened = self._epoch_opened = self._now = self._epoch = 0
        self._open: dict[str, _Step] = {}
        self._ended: list[_Step] = []
        self._all: list[_Step] = []
        self._cause: _Step | None = None
        self._base: _Step | None = None
        self._cancels: list[int] = []
        self._closed = False

    def take(self, record: Record) -> None:
        """Hear the next record."""
        self._now = max(self._now, record.at)
        self._epoch = record.epoch
        step, kind = record.step_id, record.kind
        if record.seq == 0:
            self._opened, self._epoch_opened = self._now, record.epoch
        if INNER in step:
            self._inside(step, record)
        elif step == _CASE:
            self._happened(kind)
        else:
            self._let_go(step, won=kind == "won")
            if kind in _BEGINS and step not in self._open:
                self._begin(step, kind, _BEGINS[kind], self._now, self._cause)
            elif kind in _ENDS:
                self._end(step, record)
            elif kind in _TAKEN_BACK and step in self._open:
                self._close(self._open[step], kind)

    def told(self) -> CaseTimes:
        """Tell what was heard."""
        last = self._cause
        waiting = min(self._open.values(), key=lambda each: each.began, default=None)
        if waiting is not None and not self._closed:
            last = waiting
        for each in list(self._open.values()):
            each.over = False
            self._close(each, each.kind)
        path: list[_Step] = []
        while last is not None:
            path.append(last)
            last = last.after
        path.reverse()
        told = {id(each): _step_times(each) for each in self._ended}
        steps = tuple(told[id(each)] for each in self._ended)
        return CaseTimes(self._opened, self._now, steps, tuple(self._chain(path, told)))

    def _chain(self, path: Sequence[_Step], told: Mapping[int, StepTimes]) -> Iterator[StepTimes | Gap]:
        """Give the steps of a path and name the time between them."""
        step, until, epoch = "", self._opened, self._epoch_opened
        for each in (*path, None):
            began = each.began if each is not None else self._now
            if began > until:
                moved = each is not None and each.epoch != epoch
                stopped = any(until < moment <= began for moment in self._cancels)
                why = CANCELLED if stopped else MOVED if moved else OWN
                yield Gap(step, each.step if each is not None else "", began - until, why)
            if each is not None and each.ended is not None:
                yield told[id(each)]
                step, until, epoch = each.step, each.ended, each.epoch_ended

    def _happened(self, kind: str) -> None:
        """Hear what happened to the case as a whole."""
        if kind in {"cancel", "chapter", "closed"}:
            for each in sorted(self._open.values(), key=lambda each: each.began):
                each.over = False
                self._close(each, kind)
                if kind == "cancel":
                    # What the flow does about it, it does now.
                    self._cause = each
        if kind == "cancel":
            self._cancels.append(self._now)
        if kind == "chapter":
            # Names of steps begin anew.
            self._all, self._base = [], self._cause
        self._closed = self._closed or kind == "closed"

    def _begin(self, step: str, kind: str, part: str, at: int, after: _Step | None) -> _Step:
        made = _Step(step, kind, at, part, after, self._epoch, tried=at)
        self._open[step] = made
        return made

    def _begin_unseen(self, step: str, kind: str, part: str) -> _Step:
        """Begin a step that has no record of its beginning: when the last one of its branch had ended."""
        before = self._before(step)
        at = before.ended if before is not None and before.ended is not None else self._opened
        return self._begin(step, kind, part, at, before)

    def _end(self, step: str, record: Record) -> None:
        found = self._open.get(step)
        if found is None:
            found = self._begin_unseen(step, record.kind, _ENDS[record.kind])
        outcome = _read(record)
        if isinstance(outcome, Completed | Failed):
            self._tried(found, outcome)
        self._close(found, record.kind)
        self._cause = found

    def _close(self, step: _Step, kind: str) -> None:
        if kind == "task" and not step.asked:
            step.spans.append((step.tried, self._now, "working"))
        for own, (part, since) in step.asked.items():
            step.spans.append((since, self._now, part))
            self._hold(step, own, part, since)
        step.kind, step.ended, step.epoch_ended = kind, self._now, self._epoch
        del self._open[step.step]
        self._ended.append(step)
        self._all.append(step)

    def _before(self, step: str) -> _Step | None:
        """Give the last step of a branch that has ended, whose end let the named one begin."""
        names = step.split("/")
        for depth in range(len(names) - 1, -1, -1):
            if depth and _is_join(names[depth - 1]) and names[depth].isdigit():
                continue  # Branches side by side do not wait for each other.
            scope = "".join(f"{name}/" for name in names[:depth])
            inner = f"{scope}{names[depth]}/"
            for each in reversed(self._all):
                if each.step.startswith(scope) and not each.step.startswith(inner):
                    return each
        return self._base

    def _let_go(self, step: str, *, won: bool) -> None:
        """Hear that the flow goes on at a step: branches that it would have waited for were closed."""
        for each in list(self._open.values()):
            past = any(
                step.startswith(scope) and not f"{step}/".startswith(join) for scope, join in _joins_around(each.step)
            )
            if past or (won and each.step.startswith(f"{step}/")):
                each.over = False
                self._close(each, each.kind)

    def _inside(self, step: str, record: Record) -> None:
        """Hear what happened inside a task or call."""
        own, mark = split_mark(step)
        outer = own.partition(INNER)[0].partition("@")[0]
        found = self._open.get(outer)
        if found is None:
            if record.kind != "review":
                return
            # A call that a person must approve is told of first by that.
            found = self._begin_unseen(outer, record.kind, "tools")
        entry, kind = _read(record), record.kind
        if mark == ROUTE:
            found.routed = isinstance(entry, Decision) and bool(entry.chosen)
        elif mark == ATTEMPT and isinstance(entry, Failed):
            self._tried(found, entry)
        elif mark in _RESTS and isinstance(entry, Decision):
            if entry.chosen in _RESTS[mark]:
                self._asks(found, STOP if mark == STOP else own, "people")
        elif kind in {"intent", "review"}:
            if kind == "review" and own != outer:
                found.spans.append((found.tried, self._now, "working"))
            self._asks(found, own, _BEGINS[kind])
        elif kind in _ENDS or kind in _TAKEN_BACK:
            self._ended_inside(found, STOP if mark == RESUMED else own, entry)

    def _asks(self, step: _Step, own: str, part: str) -> None:
        """Hear that something begins inside a step, in the place of what went on there under the same name."""
        if own in step.asked:
            self._ended_inside(step, own, None)
        step.asked[own] = part, self._now

    def _ended_inside(self, step: _Step, own: str, entry: Entry | None) -> None:
        part, since = step.asked.pop(own, ("tools", self._now))
        if isinstance(entry, Call) and entry.took:
            since = self._now - entry.took
        step.spans.append((since, self._now, part))
        self._hold(step, own, part, since)
        if part == "people":
            step.tried = self._now

    def _hold(self, step: _Step, own: str, part: str, since: int) -> None:
        """Note when a call inside a task was held; who has a stopped task tried again gives it a new deadline."""
        if part == "people" and own not in {STOP, step.step}:
            step.held.append((since, self._now))

    def _tried(self, step: _Step, outcome: Completed | Failed) -> None:
        """Hear how an attempt ended: who had it, and for how long."""
        began = self._now - outcome.worked
        if outcome.queued or outcome.worked:
            step.spans += [(began, self._now, "working"), (began - outcome.queued, began, "queue")]
        else:
            part = "working" if outcome.agent or step.routed else "queue"
            step.spans.append((step.tried, self._now, part))
        step.tried, step.routed = self._now, False


def _read(record: Record) -> Entry | None:
    """Decode a record; None for one whose contents were removed, or that this version cannot read."""
    try:
        return decode_entry(record.frame)
    except ProtocolError:
        return None


def _is_join(name: str) -> bool:
    return name.partition("#")[0] in _JOINS


def _joins_around(step: str) -> Iterator[tuple[str, str]]:
    """Give scope and beginning of each join in whose branches a step is."""
    names = step.split("/")
    for depth in range(1, len(names)):
        if names[depth].isdigit() and _is_join(names[depth - 1]):
            scope = "".join(f"{name}/" for name in names[: depth - 1])
            yield scope, f"{scope}{names[depth - 1]}/"


def _step_times(step: _Step) -> StepTimes:
    assert step.ended is not None, "every step was closed"
    spent = _spent(step.began, step.ended, step.spans, step.part)
    after = step.after.step if step.after is not None else ""
    return StepTimes(step.step, step.kind, step.began, step.ended, step.over, spent, after, union(step.held))


def _spent(began: int, ended: int, spans: Sequence[tuple[int, int, str]], part: str) -> Spent:
    """Divide the time from `began` to `ended` among the parts that go on in it; what is in none is `part`."""
    rank = {name: at for at, name in enumerate(PARTS)}
    changes: list[tuple[int, int, int]] = []
    for since, until, name in spans:
        since_, until_ = max(since, began), min(until, ended)
        if since_ < until_:
            changes += [(since_, rank[name], 1), (until_, rank[name], -1)]
    parts, active, last = [0] * len(PARTS), [0] * len(PARTS), began
    for at, which, change in sorted(changes):
        now = next((number for number in reversed(range(len(PARTS))) if active[number]), rank[part])
        parts[now] += at - last
        active[which] += change
        last = at
    parts[rank[part]] += ended - last
    return Spent(*parts)
