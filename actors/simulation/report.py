"""What became of one seed: the plan, the proof that it can be repeated, and which invariants do not hold.

It does not know how a run is made.
"""

from msgspec import Struct, field

from casework.runtime.simulation.plan import FaultPlan


class Violation(Struct, frozen=True):
    """One place where something does not hold."""

    invariant: str
    """Name of what should hold."""
    case: str
    """The case, empty where it is about none or about all."""
    sentence: str
    """What is wrong, in a sentence or more."""


class SeedReport(Struct, frozen=True, kw_only=True):
    """What became of one seed."""

    seed: int
    plan: FaultPlan
    digest: str = ""
    """Hash of everything that happened, the same for the same seed, plan and code; empty if the run broke off."""
    violations: tuple[Violation, ...] = ()
    case_runs: int = 0
    """Cases that there were in the end."""
    ends: dict[str, int] = field(default_factory=dict[str, int])
    """How many of them ended how, or wait for what; nothing if the run broke off."""
    steps: int = 0
    """Steps of the event loop."""
    seconds: float = 0.0
    """How long it took, in virtual time."""
    points: dict[str, int] = field(default_factory=dict[str, int])
    """How often each named point was passed."""
    faults: dict[str, int] = field(default_factory=dict[str, int])
    """How often each fault struck."""
    told: tuple[str, ...] = ()
    """What happened, a line each, if it was to be kept."""
