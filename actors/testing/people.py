"""Fake people: who decides on reviews, how, how late, and whether they contradict themselves.

It does not know what a review is about beyond the rule that asked for it and its title.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from casework.protocols.records import ReviewAction
from casework.runtime.seams import MICROS
from casework.runtime.store.base import ReviewRow

#: The rule by which a person is asked what became of a write.
UNKNOWN_RULE: Final = "effect.unknown"


@dataclass(slots=True, frozen=True)
class FakePerson:
    """Decides every review that fits; the first person who fits has it."""

    decides: str | ReviewAction = ReviewAction.APPROVE
    rule: str = "*"
    """Which rules' reviews, as a shell pattern; `effect.unknown` fits only when it is named."""
    title: str = "*"
    """Which titles, as a shell pattern."""
    by: str = "ann"
    reason: str = ""
    edited: object = None
    """The proposal as changed, for `decides="edit"`."""
    after_seconds: float = 0.0
    """How long after it was opened, in virtual time."""
    then: str | ReviewAction | None = None
    """Decided once more at once, this time so; the first decision must stand."""

    def __post_init__(self) -> None:
        """Refuse what nobody can decide, here and not in the middle of a run."""
        for each in (self.decides, self.then):
            if each is not None and each not in set(ReviewAction):
                raise ValueError(f"a person cannot {str(each)!r}; write one of {', '.join(sorted(ReviewAction))}")

    def takes(self, rule: str, title: str) -> bool:
        """Tell whether a review is this person's; what became of a write is asked only of who is there for that."""
        if rule == UNKNOWN_RULE and self.rule != UNKNOWN_RULE:
            return False
        return fnmatchcase(rule, self.rule) and fnmatchcase(title, self.title)

    def due(self, review: ReviewRow) -> int:
        """Say when the review is decided, in microseconds since the epoch."""
        return review.opened_at + round(self.after_seconds * MICROS)

    @property
    def actions(self) -> Sequence[ReviewAction]:
        """Give what is decided, in order."""
        given = [self.decides] if self.then is None else [self.decides, self.then]
        return [ReviewAction(each) for each in given]
