"""Routers: somebody chooses who does the work, among routes that are declared; whoever has it may hand it on.

The routes that were offered are recorded with the choice, its rule and how sure it was. A choice that is too unsure, or
names no route, goes to the default. Work that is handed on may come back to where it has been, but not again and again:
the return that reaches the limit goes to the default, which has it for good.
It does not know by what the chooser chooses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.errors import PatternFailed
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case, Result


class Choice(Struct, frozen=True, kw_only=True):
    """What a chooser gives."""

    route: str
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    """From 0 to 1; that of the chooser's outcome counts as well, the lower of the two."""
    reason: str = ""


class Handoff(Struct, frozen=True, kw_only=True, tag="handoff"):
    """What a worker gives instead of a value: this is for somebody else. A route that may, gives `Value | Handoff`."""

    route: str
    reason: str = ""


class Ruling(NamedTuple):
    """Where work goes next, by which rule."""

    route: str
    rule: str


def choose(choice: Choice, routes: Sequence[str], *, default: str, sure: bool) -> Ruling:
    """Say where work goes first."""
    if choice.route not in routes:
        return Ruling(default, "unknown_route")
    return Ruling(choice.route, "chosen") if sure else Ruling(default, "confidence_floor")


def hand_on(path: Sequence[str], to: str, routes: Sequence[str], *, default: str, bounces: int) -> Ruling:
    """Say where work goes that went along `path` and is handed on; the default has it for good by `bounce_limit`."""
    ruling = Ruling(to, "handed_on") if to in routes else Ruling(default, "unknown_route")
    return Ruling(default, "bounce_limit") if returns((*path, ruling.route)) >= bounces else ruling


def returns(path: Sequence[str]) -> int:
    """Count how often work came back to where it had been."""
    return len(path) - len(set(path))


@dataclass(slots=True, frozen=True, eq=False)
class Router:
    """Hands its work to one of several routes; each of them gets the same share of calls and money, used or not."""

    name: str
    takes: Any
    gives: Any
    chooser: Pattern
    """Gives a `Choice`."""
    routes: Mapping[str, Pattern]
    default: str
    """The route of what nobody is sure of; often a person."""
    floor: float = 0.0
    """Choices below this confidence go to the default."""
    bounces: int = 2
    """The return of handed on work that goes to the default."""
    kind: str = field(default="router", init=False)

    @property
    def parts(self) -> Sequence[Edge]:
        """Give the chooser and the routes."""
        return (Edge(self.chooser, "chooses"), *(Edge(part, route) for route, part in self.routes.items()))

    def flaws(self) -> Sequence[str]:
        """Say what is wrong with routes, default, floor or limit."""
        who, known = f"router {self.name!r}", ", ".join(self.routes) or "none"
        checks = (
            (bool(self.routes), "has no routes; give at least the default"),
            (self.default in self.routes, f"has a default {self.default!r} that is no route; name one of {known}"),
            (0.0 <= self.floor <= 1.0, f"has a floor of {self.floor}, which is no confidence; give 0 to 1"),
            (self.bounces >= 1, f"has a bounce limit of {self.bounces}; give at least 1, the first return"),
        )
        kept = self.gives | Handoff
        return [
            *(f"{who} {why}" for fine, why in checks if not fine),
            *misfits(who, self.chooser, given=self.takes, wanted=Choice),
            *(why for part in self.routes.values() for why in misfits(who, part, given=self.takes, wanted=kept)),
        ]

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Choose, and follow handoffs until somebody does the work.

        Raises:
            PatternFailed: even the default handed it on after it had been to and fro (REFUSED).
        """
        # Every route once, every return up to the limit, and the choosing itself.
        first, *shares = terms.shares([1.0] * (len(self.routes) + self.bounces + 1))
        chosen = await self.chooser(case, given, first)
        choice, confidence = chosen.value, chosen.confidence
        assert isinstance(choice, Choice), f"the chooser of {self.name} gives a Choice"
        sure = choice.confidence >= self.floor and confidence >= self.floor
        ruling = choose(choice, tuple(self.routes), default=self.default, sure=sure)
        confidence, why = min(choice.confidence, confidence), f"{choice.route}: {choice.reason}"
        path: list[str] = []
        for share in shares:
            path.append(ruling.route)
            await self._record(case, ruling, given, why, confidence)
            result = await self.routes[ruling.route](case, given, share)
            handed = result.value
            if not isinstance(handed, Handoff):
                return result
            if ruling.rule == "bounce_limit":
                break
            confidence, why = result.confidence, f"{' > '.join(path)} > {handed.route}: {handed.reason}"
            ruling = hand_on(path, handed.route, tuple(self.routes), default=self.default, bounces=self.bounces)
        raise PatternFailed(self.name, FailureKind.REFUSED, f"nobody keeps it: it went {' > '.join(path)}")

    async def _record(self, case: Case, ruling: Ruling, given: object, why: str, confidence: float) -> None:
        await case.decide(
            self.name,
            tuple(self.routes),
            ruling.route,
            rule=ruling.rule,
            why=why,
            confidence=confidence,
            inputs=given,
        )
