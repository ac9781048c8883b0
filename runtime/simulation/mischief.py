"""The plan in force: whether something goes wrong this time, drawn from a stream of its own for each kind of fault.

Once healed nothing goes wrong any more. It does not know what its faults are done to.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final, final

from casework.runtime.simulation.plan import POINT_ACTIVE, FaultPlan
from casework.runtime.simulation.world import FaultPoints, SimulatedRandomness

#: Processes that die at one named point in a run: one that is passed each second would leave nobody alive.
KILLS_MAX: Final = 3

#: What is left once a run is healed: a node that died shortly before takes its time to come back.
CALM: Final = FaultPlan()


@final
class Mischief:
    """What goes wrong in one run."""

    def __init__(self, seed: object, plan: FaultPlan) -> None:
        """Prepare for a run of that seed."""
        self.plan = plan
        self.healed = False
        self.happened: Counter[str] = Counter()
        """How often each fault struck."""
        self.on_strike: Callable[[str], None] = _nobody
        """Hears of each fault that strikes, by its name."""
        self.points = FaultPoints(self._kills)
        self._seed = seed
        self._chance = SimulatedRandomness(f"{seed}/faults")
        self._active: dict[str, bool] = {}
        self._killed: Counter[str] = Counter()

    @property
    def now(self) -> FaultPlan:
        """Give the plan that holds now."""
        return CALM if self.healed else self.plan

    def heal(self) -> None:
        """Have nothing go wrong from now on."""
        self.healed = True

    def strikes(self, name: str) -> bool:
        """Say whether the fault of that name, which has a chance, strikes this time."""
        chance: float = getattr(self.now, name)
        struck = chance > 0 and self._chance.stream(name).random() < chance
        if struck:
            self.happened[name] += 1
            self.on_strike(name)
        return struck

    def seconds(self, name: str) -> float:
        """Draw how long the fault of that name, which has a longest time, lasts."""
        most: float = getattr(self.now, name)
        return self._chance.stream(name).uniform(0.0, most) if most > 0 else 0.0

    def apart(self, name: str) -> float:
        """Draw how far off, in seconds or steps, the next fault of a kind is that comes once in so many; 0: never."""
        mean: float = getattr(self.now, name)
        return max(1.0, self._chance.stream(name).expovariate(1.0 / mean)) if mean > 0 else 0.0

    def chance(self, name: str) -> random.Random:
        """Give a stream for whoever has to choose what a fault hits."""
        return self._chance.stream(f"choice/{name}")

    def answered(self, answer: str) -> str:
        """Give a model's answer, or in its place what nobody can use: nothing, a part of it, or something else."""
        if not self.strikes("model_nonsense"):
            return answer
        return self._chance.stream("choice/nonsense").choice(
            ("", answer[: len(answer) // 2], "I cannot help with that")
        )

    def _kills(self, point: str) -> bool:
        if point not in self._active:
            self._active[point] = random.Random(f"{self._seed}/point/{point}").random() < POINT_ACTIVE
        if not self._active[point] or self._killed[point] >= KILLS_MAX or not self.strikes("crash_points"):
            return False
        self._killed[point] += 1
        return True


def _nobody(_: str) -> None:
    """Nobody hears of it."""
