"""What is to go wrong in a run: one record, drawn from the seed, which can be printed, changed and run again.

Each kind of fault is left out in a third of the seeds: a fault that is always there hides what happens without it.
Until `heal_seconds` the plan holds; from then on nothing goes wrong any more, and everything must come to its end.
It does not know how any of it is brought about.
"""

import random
from typing import Final

import msgspec
from msgspec import Struct

#: In how many seeds each kind of fault is left out.
LEFT_OUT: Final = 1 / 3
#: The part of named points at which a process may die in a seed.
POINT_ACTIVE: Final = 0.25


class FaultPlan(Struct, frozen=True, kw_only=True):
    """The faults of one run; 0 is never. Chances are from 0 to 1, and of each single occasion."""

    heal_seconds: float = 60.0
    """Nothing goes wrong after this, in seconds of the run."""
    latency_seconds: float = 0.0
    """The longest that a call of the store takes."""
    loss: float = 0.0
    """A message is lost: a request to a node, its answer, a hint of the store."""
    duplication: float = 0.0
    """A message comes twice."""
    delay_seconds: float = 0.0
    """The longest that a message takes."""
    crash_steps: float = 0.0
    """A process dies after that many steps of its jobs, on the average: at any await."""
    crash_points: float = 0.0
    """A process dies at a named point, such as before or after an append, if that is one of those that kill."""
    down_seconds: float = 5.0
    """The longest until a node that died is started again."""
    pause_every_seconds: float = 0.0
    """A node is stopped, and goes on later, once in so many seconds on the average."""
    pause_seconds: float = 12.0
    """The longest that it stands still: three leases."""
    outage_every_seconds: float = 0.0
    """The store cannot be reached once in so many seconds, on the average."""
    outage_seconds: float = 10.0
    """The longest that it cannot."""
    refusal: float = 0.0
    """A call of the store is refused, and nothing was done."""
    unheard: float = 0.0
    """An append is done, but the answer is that nobody knows."""
    unheard_claim: float = 0.0
    """A claim is done, but the node hears that the store cannot be reached."""
    jump_every_seconds: float = 0.0
    """The wall's clock of a node jumps once in so many seconds, on the average."""
    jump_seconds: float = 3_600.0
    """The farthest that it jumps, in either direction."""
    tool_seconds: float = 0.0
    """The longest that a tool takes."""
    tool_failure: float = 0.0
    """A tool fails before it has done anything."""
    tool_unheard: float = 0.0
    """A tool does what it should and then fails."""
    model_nonsense: float = 0.0
    """A model answers what nobody can use."""
    person_seconds: float = 0.0
    """The longest that a person thinks before deciding, or before bringing something."""
    person_twice: float = 0.0
    """A person decides the same once more, or brings the same thing again."""
    person_contrary: float = 0.0
    """Somebody else decides otherwise afterwards."""

    def off(self, *names: str) -> "FaultPlan":
        """Give the same plan without these faults.

        Raises:
            TypeError: there is no such fault.
        """
        return msgspec.structs.replace(self, **dict.fromkeys(names, 0.0))


#: Between what a seed draws each kind of fault. Those that come once in so many seconds or steps are never very near.
RANGES: Final = {
    "latency_seconds": (0.0, 0.2),
    "loss": (0.0, 0.3),
    "duplication": (0.0, 0.3),
    "delay_seconds": (0.0, 2.0),
    "crash_steps": (200.0, 3_000.0),
    "crash_points": (0.0, 0.25),
    "pause_every_seconds": (10.0, 60.0),
    "outage_every_seconds": (10.0, 60.0),
    "refusal": (0.0, 0.1),
    "unheard": (0.0, 0.1),
    "unheard_claim": (0.0, 0.1),
    "jump_every_seconds": (10.0, 60.0),
    "tool_seconds": (0.0, 10.0),
    "tool_failure": (0.0, 0.3),
    "tool_unheard": (0.0, 0.2),
    "model_nonsense": (0.0, 0.3),
    "person_seconds": (0.0, 120.0),
    "person_twice": (0.0, 0.5),
    "person_contrary": (0.0, 0.5),
}


def draw_plan(seed: object) -> FaultPlan:
    """Draw the plan of a seed; one more kind of fault would shift none of the others."""
    drawn: dict[str, float] = {}
    for name, (least, most) in RANGES.items():
        chance = random.Random(f"{seed}/plan/{name}")
        drawn[name] = 0.0 if chance.random() < LEFT_OUT else chance.uniform(least, most)
    return msgspec.structs.replace(FaultPlan(), **drawn)
