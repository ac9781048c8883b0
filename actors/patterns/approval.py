"""A person decides on the exact value that is there, and each way to decide goes on in a declared way.

The case waits without a process. What is approved is what was shown; what is edited has the shape of what was shown.
It does not know who decides, nor where.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.shape import fits
from casework.actors.patterns.terms import Terms
from casework.protocols.records import ReviewAction
from casework.runtime.errors import ReviewRejected
from casework.runtime.flow.case import Case, Result, Reviewed
from casework.runtime.seams import MICROS


@dataclass(slots=True, frozen=True, eq=False)
class HumanGate:
    """Waits for a person's yes, no or better value."""

    name: str
    takes: Any
    """The type of what is proposed."""
    gives: Any
    title: str
    """What the person reads first."""
    rule: str
    """Why a person is asked."""
    approved: Pattern | None = None
    """Takes the proposal. None: the proposal is the value."""
    edited: Pattern | None = None
    """Takes the edited proposal. None: as if it had been approved."""
    rejected: Pattern | None = None
    """Takes the proposal. None: ReviewRejected is raised, for whatever is declared around it."""
    expired: Pattern | None = None
    """Takes the proposal that nobody decided on in time. None: as if it had been rejected."""
    seconds: float = 0.0
    """How long a person has, and never longer than the terms; 0: for ever."""
    kind: str = field(default="approval", init=False)

    @property
    def parts(self) -> Sequence[Edge]:
        """Give what is declared to go on with, by what is decided."""
        ways = (("approve", self.approved), ("edit", self.edited), ("reject", self.rejected), ("expire", self.expired))
        return tuple(Edge(part, label) for label, part in ways if part is not None)

    def flaws(self) -> Sequence[str]:
        """Say which way to decide leads nowhere, or can never be taken."""
        who, passed = f"approval {self.name!r}", self.approved is not None or fits(self.takes, self.gives)
        checks = (
            (bool(self.title.strip()), "shows the person no title; say in `title` what is decided"),
            (bool(self.rule.strip()), "names no rule, so the log cannot say why a person was asked; give `rule`"),
            (passed, "passes on what was approved, which is not what it gives; give `approved` a pattern"),
            (self.seconds >= 0, f"cannot wait {self.seconds} seconds; give 0 to wait for ever"),
            (
                self.expired is None or self.seconds > 0,
                "never expires; say in `seconds` how long a person has, or leave out `expired`",
            ),
            (
                self.seconds <= 0 or not (self.expired is None and self.rejected is None),
                "expires and says not what then; give `expired` or `rejected` a pattern",
            ),
        )
        return [
            *(f"{who} {why}" for fine, why in checks if not fine),
            *(why for edge in self.parts for why in misfits(who, edge.pattern, given=self.takes, wanted=self.gives)),
        ]

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Ask, wait, and go on as declared.

        Raises:
            ReviewRejected: a person said no, or nobody anything in time, and nothing is declared for that.

        If cancelled, the question is withdrawn.
        """
        reviewed: Reviewed[Any] = await case.review(
            self.title,
            given,
            rule=self.rule,
            consequences=self._consequences(),
            expires_seconds=await self._seconds(case, terms),
        )
        then = self._then(reviewed)
        if then is not None:
            return await then(case, reviewed.value, terms)
        if reviewed.action is ReviewAction.REJECT:
            raise ReviewRejected(self.title, reviewed.by, reviewed.reason)
        return Result(reviewed.value, 1.0, (), reviewed.by)

    def _then(self, reviewed: Reviewed[Any]) -> Pattern | None:
        match reviewed.action:
            case ReviewAction.APPROVE:
                return self.approved
            case ReviewAction.EDIT:
                return self.edited or self.approved
            case _:
                late = self.expired if reviewed.expired else None
                return late or self.rejected

    def _consequences(self) -> tuple[tuple[str, str], ...]:
        """Tell the person what each answer leads to."""
        kept, refused = "it goes on with exactly this", "it does not go on"
        approved = _told(self.approved, kept)
        edited = _told(self.edited or self.approved, "it goes on with your value")
        return (
            (ReviewAction.APPROVE, approved),
            (ReviewAction.EDIT, edited),
            (ReviewAction.REJECT, _told(self.rejected, refused)),
        )

    async def _seconds(self, case: Case, terms: Terms) -> float:
        if self.seconds <= 0:
            return 0.0
        left = (terms.deadline - await case.now()) / MICROS
        # Nothing left still asks: 0 would be for ever.
        return max(min(self.seconds, left), 1 / MICROS)


def _told(then: Pattern | None, otherwise: str) -> str:
    return otherwise if then is None else f"{then.name} goes on"
