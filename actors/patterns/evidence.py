"""Waiting for evidence: named things that have to arrive before the work can go on.

The case waits without a process, for as long as it takes, or until a declared moment, after which something else goes
on. What arrives is of a declared type; what is not is told to the log, and the wait goes on.
It does not know who delivers it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.terms import Terms
from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived
from casework.protocols.wire import Evidence
from casework.runtime.flow.case import Case, Result
from casework.runtime.seams import MICROS


@dataclass(slots=True, frozen=True, eq=False)
class Need:
    """One thing that is waited for."""

    name: str
    returns: Any
    """The type of its value; `Evidence` for a file that is delivered, of which the reference is given."""
    reason: str
    """What a person who could bring it should know."""


@dataclass(slots=True, frozen=True, eq=False)
class EvidenceGate:
    """Waits until everything that is needed is there."""

    name: str
    takes: Any
    gives: Any
    needs: tuple[Need, ...]
    join: Callable[[Any, Mapping[str, Any]], Any]
    """Makes the value of what was given and what arrived, by the names of the needs."""
    of: Callable[[Any], str] | None = None
    """Tells whose evidence is meant, such as an order's number: the key is `receipt:17`. None: `receipt` alone."""
    seconds: float = 0.0
    """How long it waits at most, and never longer than the terms; 0: for ever, terms or not."""
    late: Pattern | None = None
    """Takes what was given when not everything came in time."""
    kind: str = field(default="evidence", init=False)

    @property
    def parts(self) -> Sequence[Edge]:
        """Give what goes on when it is too late."""
        return () if self.late is None else (Edge(self.late, "too late"),)

    def flaws(self) -> Sequence[str]:
        """Say if nothing is waited for, or if the wait ends without a way on."""
        who, names = f"evidence {self.name!r}", [need.name for need in self.needs]
        checks = (
            (bool(names), "waits for nothing; name what it needs"),
            (len(set(names)) == len(names), "needs two things of one name; give one of them another"),
            (self.seconds >= 0, f"cannot wait {self.seconds} seconds; give 0 to wait for ever"),
            (self.seconds <= 0 or self.late is not None, "stops waiting and says not what then; give `late` a pattern"),
            (
                self.late is None or self.seconds > 0,
                "is never late; say in `seconds` how long it waits, or drop `late`",
            ),
        )
        return [
            *(f"{who} {why}" for fine, why in checks if not fine),
            *(why for edge in self.parts for why in misfits(who, edge.pattern, given=self.takes, wanted=self.gives)),
        ]

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Wait for everything, and give what `join` makes of it; what comes in no usable form is waited for again."""
        if self.late is None or self.seconds <= 0:
            return await self._all(case, given)
        moment = min(await case.now() + round(self.seconds * MICROS), terms.deadline)
        which, found = await case.first(self._all(case, given), case.sleep_until(moment))
        if which == 0:
            return cast("Result[Any]", found)
        return await self.late(case, given, terms)

    async def _all(self, case: Case, given: object) -> Result[Any]:
        whose = f":{self.of(given)}" if self.of is not None else ""
        found = await case.gather(*(_one(case, need, need.name + whose) for need in self.needs))
        evidence = tuple(arrived.evidence for arrived, _ in found if arrived.evidence is not None)
        values = {need.name: value for need, (_, value) in zip(self.needs, found, strict=True)}
        return Result(self.join(given, values), 1.0, evidence, "")


async def _one(case: Case, need: Need, key: str) -> tuple[Arrived, object]:
    while True:
        arrived = await case.park(key, reason=need.reason)
        try:
            return arrived, _read(arrived, need.returns)
        except ProtocolError as error:
            why = f"what {arrived.by} delivered as {key} cannot be used: {error}; deliver it again"
            await case.note(why, level="warning")


def _read(arrived: Arrived, returns: Any) -> object:
    if returns is Evidence and arrived.evidence is not None:
        return arrived.evidence
    return unpack(arrived.value, returns)
