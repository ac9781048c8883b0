"""Detects work that goes round in circles: the same call with the same result again and again, and two agents that
hand the same thing to each other.

A call that gives another result than before is no loop: whoever asks a bank each hour whether the money is there has
asked the same thing, and learnt something. So each new result begins the count anew. A call that has not ended yet
counts as one that will give the same. What is known here is lost with the process, which only makes the guard milder.
It does not know what is called, nor what becomes of a refusal.
"""

from collections import OrderedDict, deque
from typing import Final, NamedTuple, final

#: Scopes whose calls are counted at a time; the oldest is forgotten first, which only makes the guard milder.
SCOPES_MAX: Final = 10_000


class _Run:
    """One call of a scope, since its result last changed."""

    __slots__ = ("result", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, None] = {}
        self.result: int | None = None


@final
class Repeats:
    """How often the same call was asked for within one scope and gave the same result."""

    __slots__ = ("_scopes",)

    def __init__(self) -> None:
        self._scopes: OrderedDict[tuple[str, ...], dict[tuple[str, int], _Run]] = OrderedDict()

    def count(self, scope: tuple[str, ...], call: tuple[str, int], step_id: str) -> int:
        """Count one call of a scope and say how many different steps asked for just that since its result changed.

        Asking for the same step again does not count.
        """
        calls = self._scopes.setdefault(scope, {})
        self._scopes.move_to_end(scope)
        if len(self._scopes) > SCOPES_MAX:
            self._scopes.popitem(last=False)
        run = calls.get(call)
        if run is None:
            run = calls[call] = _Run()
        run.steps[step_id] = None
        return len(run.steps)

    def ended(self, scope: tuple[str, ...], call: tuple[str, int], step_id: str, result: int) -> None:
        """Hear the hash of what a call gave that was counted."""
        run = self._scopes.get(scope, {}).get(call)
        if run is None:
            return
        if run.result is not None and run.result != result:
            run.steps = {step_id: None}
        run.result = result


class Handed(NamedTuple):
    """A task of a case that has ended: to whom it went, what went in and what came out, as hashes."""

    skill: str
    inputs: int
    outcome: int


@final
class Bounces:
    """Whether a case sends the same two things to and fro between two skills, and learns nothing by it."""

    __slots__ = ("_cases", "_most")

    def __init__(self, bounces_max: int) -> None:
        """Let a pair of skills be visited so many times in turn, with the same inputs and the same outcomes."""
        self._most = bounces_max
        self._cases: OrderedDict[tuple[str, str], deque[Handed]] = OrderedDict()

    def ended(self, case: tuple[str, str], handed: Handed) -> None:
        """Hear how a task of a case ended."""
        trail = self._cases.get(case)
        if trail is None:
            trail = self._cases[case] = deque(maxlen=2 * self._most)
            if len(self._cases) > SCOPES_MAX:
                self._cases.popitem(last=False)
        trail.append(handed)

    def partner(self, case: tuple[str, str], skill: str, inputs: int) -> str:
        """Give the skill with which the next task of a case would go on playing ping-pong; empty if it does not."""
        trail = self._cases.get(case)
        if trail is None or len(trail) < 2 * self._most:
            return ""
        first, second = trail[0], trail[1]
        if (first.skill, first.inputs) != (skill, inputs) or first.skill == second.skill:
            return ""
        same = all(handed == (second if place % 2 else first) for place, handed in enumerate(trail))
        return second.skill if same else ""
