"""Alternatives: what is done when a part fails, as a table by kind of failure.

    Again              the same once more, as a step of its own, so its writes have keys of their own
    Instead            another pattern: another tool, another agent, another way
    Then.COMPENSATE    what it wrote is undone, and the failure goes on to whatever is around
    Then.PARK          the case waits until somebody says go on (`casework deliver`), then all begins anew
    Then.PERSON        a person says: begin anew, begin anew with this instead, or give it up

What a kind's row says is done in order, one with each failure of that kind. When the row is used up, or the table has
none, `otherwise` counts, and that is PARK unless it says something else: nothing is ever dropped.

**Writes.** A part that may write runs in a saga, so a try that failed has been undone, and every write whose end was
in doubt (a TIMEOUT in the middle of one) has been looked up, repeated under its key, or decided by a person, before
anything else is tried. If something of it stands all the same, a person has accepted that (rule `effect.partial`):
then nothing else is tried either, and the failure goes on. A failure of kind UNKNOWN says that a write may have
happened: it is never tried again nor elsewhere, whatever the table says.

The tries share the terms evenly. Who has it begin anew gives it as much again, and an hour if its time is up.
It does not know what went wrong, only of which kind it is.
"""

import enum
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.errors import FAILURES, Failure, kind_of
from casework.actors.patterns.shape import fits, unheard, writes
from casework.actors.patterns.terms import Terms
from casework.protocols.records import ReviewAction
from casework.protocols.wire import FailureKind
from casework.runtime.errors import ReviewRejected
from casework.runtime.flow.case import Case, Result
from casework.runtime.seams import MICROS

#: The rule by which a person is asked what becomes of a part that failed.
FAILED_RULE: Final = "alternative.failed"
#: Seconds that a part has at least that somebody has begin anew: the deadline may have passed while it waited.
ANEW_SECONDS: Final = 3_600.0
#: What a person's answers do.
CONSEQUENCES: Final = (
    (ReviewAction.APPROVE, "it begins anew"),
    (ReviewAction.EDIT, "it begins anew, and is given what you put in its place"),
    (ReviewAction.REJECT, "it is given up, and fails"),
)
#: Kinds that trying the same again cannot cure.
FINAL: Final = frozenset({FailureKind.REFUSED, FailureKind.INVALID})


@dataclass(slots=True, frozen=True)
class Again:
    """Try the same once more, after so many seconds."""

    wait_seconds: float = 0.0


@dataclass(slots=True, frozen=True, eq=False)
class Instead:
    """Try something else from now on."""

    pattern: Pattern


class Then(enum.StrEnum):
    """What ends the trying, at least until somebody has it begin anew."""

    COMPENSATE = "compensate"
    """The failure goes on; what was written is undone."""
    PARK = "park"
    """Wait until somebody says go on."""
    PERSON = "person"
    """Ask a person."""


WhatThen: TypeAlias = Again | Instead | Then
#: What is done by kind of failure, in order.
Table: TypeAlias = Mapping[FailureKind, Sequence[WhatThen]]


@dataclass(slots=True, frozen=True, eq=False)
class Alternative:
    """A part, and what is done when it fails."""

    name: str
    first: Pattern
    table: Table = field(default_factory=dict[FailureKind, Sequence[WhatThen]])
    otherwise: Then = Then.PARK
    kind: str = field(default="alternative", init=False)

    @property
    def takes(self) -> Any:
        """What the part takes."""
        return self.first.takes

    @property
    def gives(self) -> Any:
        """What the part gives."""
        return self.first.gives

    @property
    def parts(self) -> Sequence[Edge]:
        """The part, then everything that may be tried instead, with the failures on which it is."""
        kinds: dict[int, list[str]] = {}
        instead = [
            (kind, then.pattern) for kind, row in self.table.items() for then in row if isinstance(then, Instead)
        ]
        for kind, pattern in instead:
            kinds.setdefault(id(pattern), []).append(kind.value)
        found = {id(pattern): pattern for _, pattern in instead}
        return (Edge(self.first), *(Edge(found[each], f"on {', '.join(kinds[each])}") for each in found))

    def flaws(self) -> Sequence[str]:
        """Find rows that cannot be carried out, are never reached, or must not be."""
        return tuple(self._flaws())

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Try until something succeeds, or the table has the failure go on.

        Raises:
            TaskFailed, CallFailed, ReviewRejected, PatternFailed: the last failure, after COMPENSATE, or because some
                of what it wrote stands.
            ReviewRejected: a person was asked what to do, and gave it up.
        """
        share, *_ = terms.shares([1.0] * self.tries, heard=True)
        part, taken = self.first, dict[FailureKind, int]()
        while True:
            came = await _try(case, part, given, share)
            if isinstance(came, Result):
                return came
            failure: Failure = came
            kind = kind_of(failure)
            row = (*_row(self.table, kind), self.otherwise)
            then = row[min(taken.get(kind, 0), len(row) - 1)]
            taken[kind] = taken.get(kind, 0) + 1
            await case.decide(
                self.name, [_told(each) for each in row], _told(then), rule=f"alternative.{kind}", why=str(failure)
            )
            if isinstance(then, Again):
                if then.wait_seconds:
                    await case.sleep(then.wait_seconds)
            elif isinstance(then, Instead):
                part = then.pattern
            else:
                given = await self._anew(case, then, given, failure)
                share = await _renewed(case, share)
                part, taken = self.first, {}

    @property
    def tries(self) -> int:
        """How often something is tried at most before somebody is waited for, or the failure goes on."""
        return 1 + sum(not isinstance(then, Then) for kind in self.table for then in _row(self.table, kind))

    async def _anew(self, case: Case, then: Then, given: object, failure: Failure) -> object:
        """Wait until all may begin anew; give with what."""
        if then is Then.COMPENSATE:
            raise failure
        if then is Then.PARK:
            await case.park(f"go_on:{case.id}:{self.name}", reason=f"{self.name}: {failure}")
            return given
        title = f"{self.name} failed: try it again?"
        reviewed = await case.review(title, given, rule=FAILED_RULE, summary=str(failure), consequences=CONSEQUENCES)
        if reviewed.action is ReviewAction.REJECT:
            raise ReviewRejected(title, reviewed.by, reviewed.reason) from failure
        return reviewed.value

    def _flaws(self) -> Iterator[str]:
        who = f"alternative {self.name!r}"
        instead = [then.pattern for row in self.table.values() for then in row if isinstance(then, Instead)]
        for part in dict.fromkeys((self.first, *instead)):
            yield from self._of_part(who, part)
        for kind, row in self.table.items():
            yield from _of_row(f"{who}, on {kind.value}", kind, row)

    def _of_part(self, who: str, part: Pattern) -> Iterator[str]:
        if not fits(self.takes, part.takes):
            yield (
                f"{who} is given {type_name(self.takes)}, but {part.name!r} takes {type_name(part.takes)}: "
                f"begin it with a Code step that makes the one of the other"
            )
        if not fits(part.gives, self.gives):
            yield (
                f"{who} gives {type_name(self.gives)}, but {part.name!r} gives {type_name(part.gives)}: "
                f"end it with a Code step that makes the one of the other"
            )
        for task in unheard(part):
            yield (
                f"{who} never hears of it when the task {task!r} fails, since that waits for somebody by itself: give "
                f"the task on_stop=OnStop.FAIL"
            )


async def _try(case: Case, part: Pattern, given: object, terms: Terms) -> Result[Any] | Failure:
    """Run a part and give its result, or the failure after which nothing of it stands; if some does, that is raised."""
    saga = case.saga() if writes(part) else None
    try:
        if saga is None:
            return await part(case, given, terms)
        async with saga:
            return await part(case, given, terms)
    except FAILURES as failure:
        if saga is not None and saga.stands:
            raise
        return failure.with_traceback(None)


async def _renewed(case: Case, terms: Terms) -> Terms:
    """Give it some time anew if there is hardly any left: whoever has it begin anew decides that now."""
    return replace(terms, deadline=max(terms.deadline, await case.now() + int(ANEW_SECONDS * MICROS)))


def _row(table: Table, kind: FailureKind) -> Sequence[WhatThen]:
    """Give what is done about a kind, up to what ends the trying; what may have happened is not tried elsewhere."""
    row: list[WhatThen] = []
    for then in table.get(kind, ()):
        if isinstance(then, Then):
            return (*row, then)
        if kind is not FailureKind.UNKNOWN:
            row.append(then)
    return row


def _of_row(who: str, kind: FailureKind, row: Sequence[WhatThen]) -> Iterator[str]:
    for number, then in enumerate(row):
        if isinstance(then, Then) and number < len(row) - 1:
            yield f"{who}: nothing comes after {then.value}, with which all begins anew: put the rest before it"
            return
        if kind is FailureKind.UNKNOWN and not isinstance(then, Then):
            yield (
                f"{who}: what may have happened is never tried again nor elsewhere ({_told(then)}): say PARK, PERSON "
                f"or COMPENSATE"
            )
        elif isinstance(then, Again) and not 0 <= then.wait_seconds < math.inf:
            yield f"{who}: it cannot wait {then.wait_seconds} seconds: give 0 or more"
        elif kind in FINAL and isinstance(then, Again):
            yield f"{who}: trying the same again does not cure it: say Instead, PARK or PERSON"


def _told(then: WhatThen) -> str:
    match then:
        case Again():
            return "again"
        case Instead(pattern=pattern):
            return f"instead:{pattern.name}"
        case Then():
            return then.value
