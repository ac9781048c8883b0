"""Ballots: the votes on one field are counted. Pure; all figures are whole numbers, so no rounding decides anything.

    one position has as much as is needed     it wins
    several have (needed is half or less)     the heaviest of them; equally heavy ones are a tie
    none has                                  disagreement: a person decides

Votes that are missing count against, or shrink what is needed, or send the matter to a person: a value says which.
It does not know who votes.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from casework.actors.conflicts import Pick, Position


class Tie(enum.StrEnum):
    """What becomes of positions that are equally heavy, and heavy enough."""

    REVIEW = "review"
    """A person decides."""
    CONFIDENCE = "confidence"
    """The one whose voters are surer, weighed; if they are equally sure, a person decides."""


class Missing(enum.StrEnum):
    """What becomes of the weight of voters who failed to vote."""

    AGAINST = "against"
    """As much as ever is needed: a missing vote is a vote for nothing."""
    SHRINKS = "shrinks"
    """What is needed shrinks in proportion, rounded up."""
    REVIEW = "review"
    """A person decides if any vote is missing."""


@dataclass(slots=True, frozen=True)
class Quorum:
    """What is needed to win."""

    needed: int
    """Weight of the votes that have to agree."""
    total: int
    """Weight of all voters."""
    tie: Tie = Tie.REVIEW
    missing: Missing = Missing.AGAINST

    def of(self, present: int) -> int:
        """Give what is needed when so much weight has voted; never less than 1."""
        if self.missing is Missing.SHRINKS:
            return max(1, -(-self.needed * present // self.total))
        return self.needed


@dataclass(slots=True, frozen=True, eq=False)
class Count:
    """What the votes on one field came to."""

    pick: Pick | None
    """None: a person decides."""
    why: str


def count(found: Sequence[Position], quorum: Quorum, present: int) -> Count:
    """Count the votes on one field; `present` is the weight of everybody who voted on anything."""
    needed = quorum.of(present)
    tally = ", ".join(f"{each.weight} for {each.label}" for each in found)
    if quorum.missing is Missing.REVIEW and present < quorum.total:
        return Count(None, f"votes are missing: {present} of {quorum.total} came; {tally}")
    enough = [each for each in found if each.weight >= needed]
    if not enough:
        return Count(None, f"no {needed} agree: {tally}")
    heaviest = max(each.weight for each in enough)
    leading = [each for each in enough if each.weight == heaviest]
    tied = len(leading) > 1
    if tied and quorum.tie is Tie.CONFIDENCE:
        surest = max(sureness(each) for each in leading)
        leading = [each for each in leading if sureness(each) == surest]
    if len(leading) > 1:
        return Count(None, f"a tie: {tally}")
    (winner,) = leading
    why = f"a tie: {tally}; {winner.label} is surer" if tied else tally
    return Count(
        Pick(winner.value, sureness(winner) / present, winner.label, f"vote.{needed}_of_{quorum.total}", why), why
    )


def sureness(position: Position) -> float:
    """Add up how sure its voters are, weighed."""
    return sum(each.weight * each.confidence for each in position.said)
