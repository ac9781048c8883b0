"""Finds the fewest faults with which a run still fails: proposes plans, and hears what became of each.

First no fault at all, then each kind of fault off, then what is left milder: rarer, shorter, over sooner. A proposal
that still fails is the best so far, and the next one is made from it; this goes round until nothing more is gained, or
the runs are used up. Kinds never come back, and what is milder may not strike more often than before.

    shrinker = Shrinker(plan, struck=17)
    while (plan := shrinker.propose()) is not None:
        shrinker.hear(fails=..., struck=...)

The same verdicts give the same proposals. It does not know how a plan is run, nor what it is that fails; whoever runs
it sees to it that the failure is still the same one.
"""

import enum
from collections.abc import Iterator
from typing import Final, final

import msgspec

from casework.runtime.simulation.kinds import KINDS, Measure, kinds_on
from casework.runtime.simulation.plan import FaultPlan

#: Runs that one failure is worth, unless said otherwise: less than a minute for most crews.
RUNS_MAX: Final = 64
#: Chances, and seconds, below which milder is as good as not at all.
CHANCE_MIN: Final = 0.01
SECONDS_MIN: Final = 0.1
#: Seconds or steps apart beyond which rarer is as good as never.
APART_MAX: Final = 20_000.0


class Phase(enum.Enum):
    """What is tried."""

    BARE = "no fault at all"
    KINDS = "without a kind of fault"
    MILDER = "milder"
    DONE = "nothing more"


#: In place of the name of one number: all of them.
ALL: Final = ""

#: The phase after each; one that gained something is gone through again first.
NEXT: Final = {Phase.BARE: Phase.KINDS, Phase.KINDS: Phase.MILDER, Phase.MILDER: Phase.DONE}


@final
class Shrinker:
    """The search for the fewest faults of one failing run."""

    def __init__(self, plan: FaultPlan, struck: int, *, runs_max: int = RUNS_MAX) -> None:
        """Begin with a plan that fails, and with how often its faults struck."""
        self.best = plan  #: the plan with the fewest faults that is known to fail
        self.struck = struck  #: how often its faults struck
        self.runs = 0  #: proposals so far
        self.phase = Phase.BARE
        self._runs_max = runs_max
        self._tried = {plan}
        self._gained = False
        self._pending: FaultPlan | None = None
        self._names: Iterator[str] = iter([ALL])

    def propose(self) -> FaultPlan | None:
        """Give the next plan to run; None once there is nothing more to gain, or no run left.

        What was proposed before and not heard of is proposed again.
        """
        if self._pending is not None or self.runs >= self._runs_max:
            return self._pending
        while self.phase is not Phase.DONE:
            for name in self._names:
                for plan in _fewer(self.best, self.phase, name):
                    if plan not in self._tried:
                        self._tried.add(plan)
                        # The same again, from what is then the best: it may be made milder once more.
                        self._names = _before(name, self._names)
                        self._pending = plan
                        self.runs += 1
                        return plan
            self._advance()
        return None

    def hear(self, *, fails: bool, struck: int) -> None:
        """Hear whether what was proposed still fails in the same way, and how often its faults struck."""
        plan = self._pending
        assert plan is not None, "nothing was proposed"
        self._pending = None
        if fails and (struck <= self.struck or len(kinds_on(plan)) < len(kinds_on(self.best))):
            self.best, self.struck, self._gained = plan, struck, True

    def _advance(self) -> None:
        if not self._gained or self.phase is Phase.BARE:
            self.phase = NEXT[self.phase]
        self._gained = False
        self._names = iter(_names(self.best, self.phase))


def _before(name: str, names: Iterator[str]) -> Iterator[str]:
    yield name
    yield from names


def _names(plan: FaultPlan, phase: Phase) -> list[str]:
    """Give what may be made less in a phase."""
    on = list(kinds_on(plan))
    if phase is Phase.KINDS:
        return on
    if phase is Phase.MILDER and on:
        # Two kinds may last by the same number: once is enough.
        lasting = dict.fromkeys(KINDS[name].lasting for name in on if KINDS[name].lasting)
        return [ALL, *on, *lasting, "heal_seconds"]
    return []


def _fewer(plan: FaultPlan, phase: Phase, name: str) -> list[FaultPlan]:
    """Give the plans that have less of something, those with least first."""
    if phase is Phase.BARE:
        return [plan.off(*kinds_on(plan))]
    if name == ALL:
        return [_legible(plan)]
    value: float = getattr(plan, name)
    if phase is Phase.KINDS:
        return [plan.off(name)] if value else []
    return [msgspec.structs.replace(plan, **{name: each}) for each in _milder(name, value)]


def _legible(plan: FaultPlan) -> FaultPlan:
    """Make everything a little milder at once, so that its numbers are short."""
    long = {name: getattr(plan, name) for name in kinds_on(plan) if getattr(plan, name) != _short(getattr(plan, name))}
    milder = {name: _milder(name, value)[-1:] for name, value in long.items()}
    return msgspec.structs.replace(plan, **{name: values[0] for name, values in milder.items() if values})


def _milder(name: str, value: float) -> list[float]:
    """Give milder values: half as much of it; failing that, fewer digits to read."""
    measure = KINDS[name].measure if name in KINDS else Measure.LONGEST
    if measure in {Measure.APART, Measure.STEPS}:
        return [each for each in (_short(value * 2), _short(value * 1.05)) if value < each <= APART_MAX]
    least = CHANCE_MIN if measure is Measure.CHANCE else SECONDS_MIN
    return [each for each in (_short(value / 2), _short(value * 0.95)) if least <= each < value]


def _short(value: float) -> float:
    return float(f"{value:.2g}")
