"""Voting: independent voters answer the same question side by side, and what enough of them say counts, field by field.

Every vote stays in the log with its cost, whether it wins or loses. It does not know what a vote is about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from msgspec import Struct

from casework.actors.conflicts import Pick, Said, by_field, positions
from casework.actors.patterns.ballot import Missing, Quorum, Tie, count
from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.errors import Failure, PatternFailed, kind_of
from casework.actors.patterns.pipeline import gathered
from casework.actors.patterns.resolving import Question, Sources, decided
from casework.actors.patterns.shape import fits, twice, unheard, writes
from casework.actors.patterns.sidebyside import Branch, side_by_side
from casework.actors.patterns.terms import Terms
from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case, Result

#: The rule by which a person is asked about votes that do not agree.
VOTE_RULE: Final = "vote.disagreement"


@dataclass(slots=True, frozen=True, eq=False)
class Voter:
    """Somebody who votes."""

    pattern: Pattern
    independence: str
    """What makes it independent of the others, such as `model: large` or `source: registry`."""
    weight: int = 1


@dataclass(slots=True, frozen=True, eq=False)
class Vote:
    """A question to several voters; every field is decided by itself, what is not decided goes to a person."""

    name: str
    voters: tuple[Voter, ...]
    needed: int
    """Weight of the votes that have to agree: the k of k of n."""
    tie: Tie = Tie.REVIEW
    missing: Missing = Missing.AGAINST
    fields: tuple[str, ...] = ()
    """Fields that are voted on; the others are taken from a vote that agrees with the result. Empty: all of them."""
    kind: str = field(default="vote", init=False)

    @property
    def takes(self) -> Any:
        """What its voters take."""
        return next((each.pattern.takes for each in self.voters if each.pattern.takes is not object), object)

    @property
    def gives(self) -> Any:
        """What its voters give."""
        return self.voters[0].pattern.gives if self.voters else object

    @property
    def parts(self) -> Sequence[Edge]:
        """Its voters, in order, each with what makes it independent and what it weighs."""
        return tuple(Edge(each.pattern, _label(each)) for each in self.voters)

    def flaws(self) -> Sequence[str]:
        """Find voters that are not independent, not comparable or may write, and figures that mean nothing."""
        return tuple(self._flaws())

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[Any]:
        """Have everybody vote, count, and have a person decide what the votes do not.

        Raises:
            PatternFailed: nobody voted.
            ReviewRejected: a person had to decide, and wanted none of it.
        """
        shares = terms.shares([1.0] * len(self.voters), heard=True)
        branches = [
            Branch(each.pattern.name, each.pattern, given, share)
            for each, share in zip(self.voters, shares, strict=True)
        ]
        absent: list[tuple[FailureKind, str]] = []
        came = await side_by_side(case, branches, partial(self._absent, case, absent), together=len(branches))
        votes = [(voter, each.result) for voter, each in zip(self.voters, came, strict=True) if each.result is not None]
        if not votes:
            kind, why = absent[0]
            raise PatternFailed(self.name, kind, f"nobody voted: {why}")
        said = [
            Said(voter.pattern.name, result.value, result.confidence, result.step, voter.weight)
            for voter, result in votes
        ]
        evidence = gathered([result.evidence for _, result in votes])
        return await self._counted(case, Sources(self.name, given, tuple(said), evidence))

    async def _counted(self, case: Case, sources: Sources) -> Result[Any]:
        present = sum(each.weight for each in sources.said)
        quorum = Quorum(self.needed, sum(each.weight for each in self.voters), self.tie, self.missing)
        fields = by_field(sources.said)
        voted = {name: positions(said) for name, said in fields.items() if not self.fields or name in self.fields}
        counts = {name: count(found, quorum, present) for name, found in voted.items()}
        picks: dict[str, Pick] = {name: each.pick for name, each in counts.items() if each.pick is not None}
        open_ = [name for name in counts if name not in picks]
        await case.decide(
            self.name,
            ("agreed", "review"),
            "review" if open_ else "agreed",
            rule=f"vote.{quorum.of(present)}_of_{quorum.total}",
            why="; ".join(f"{name}: {each.why}" if name else each.why for name, each in counts.items()),
            confidence=min((each.confidence for each in picks.values()), default=0.0) if not open_ else 0.0,
            inputs=[(each.source, each.value, each.confidence, each.weight) for each in sources.said],
        )
        disputed = {name: found for name, found in voted.items() if len(found) > 1 or name in open_}
        whys = {name: each.why for name, each in counts.items()}
        return await decided(case, sources, picks, Question(VOTE_RULE, disputed, whys))

    async def _absent(
        self, case: Case, absent: list[tuple[FailureKind, str]], branch: Branch, failure: Failure
    ) -> None:
        absent.append((kind_of(failure), str(failure)))
        await case.decide(
            f"{self.name}/{branch.name}", tuple(Missing), self.missing, rule="vote.missing", why=str(failure)
        )

    def _flaws(self) -> Iterator[str]:
        who, total = f"vote {self.name!r}", sum(each.weight for each in self.voters)
        if len(self.voters) < 2:
            yield f"{who} has {len(self.voters)} voters: give it at least two, or do without a vote"
        if not 1 <= self.needed <= total:
            yield f"{who} needs {self.needed}, but its voters weigh {total} together: need 1 to {total}"
        for name in twice([each.pattern.name for each in self.voters]):
            yield f"{who} has two voters called {name!r}, which the log could not tell apart: rename one of them"
        for declared in twice([what for each in self.voters if (what := _plain(each.independence))]):
            yield (
                f"{who} has two voters that are independent by the same thing, {declared!r}, and may err alike: give "
                f"one of them another prompt, model or source, or leave it out"
            )
        for voter in self.voters:
            yield from self._of_voter(who, voter)
        yield from self._of_fields(who)

    def _of_voter(self, who: str, voter: Voter) -> Iterator[str]:
        name, part = voter.pattern.name, voter.pattern
        if not _plain(voter.independence):
            yield f"{who} does not say what makes {name!r} independent: name its prompt, model or source"
        if voter.weight < 1:
            yield f"{who} gives {name!r} a weight of {voter.weight}: give it at least 1, or leave it out"
        if writes(part):
            yield f"{who} has {name!r} vote, which may write: have voters only read, and act on what was voted"
        if part.gives != self.gives:
            yield (
                f"{who} compares {type_name(self.gives)} with {type_name(part.gives)}, which {name!r} gives: have all "
                f"voters give one type"
            )
        if not fits(self.takes, part.takes):
            yield (
                f"{who} takes {type_name(self.takes)}, but {name!r} takes {type_name(part.takes)}: begin that voter "
                f"with a Code step that makes the one of the other"
            )
        for task in unheard(part):
            yield (
                f"{who} does without votes that are missing, but the task {task!r} waits for somebody when it fails, "
                f"and so does {who}: give the task on_stop=OnStop.FAIL"
            )

    def _of_fields(self, who: str) -> Iterator[str]:
        type_ = self.gives
        known = type_.__struct_fields__ if isinstance(type_, type) and issubclass(type_, Struct) else ()
        for name in self.fields:
            if name not in known:
                has = ", ".join(known) or "none: leave `fields` empty"
                yield f"{who} votes on {name!r}, which is no field of {type_name(type_)}; there is {has}"


def _plain(independence: str) -> str:
    """Write what makes a voter independent so that the same thing reads the same."""
    return " ".join(independence.split()).casefold()


def _label(voter: Voter) -> str:
    return f"{voter.independence}, weighs {voter.weight}" if voter.weight != 1 else voter.independence
