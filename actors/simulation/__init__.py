"""A user's whole crew under seeded faults and virtual time: its scenario, one seed of it, and what must hold."""

from casework.actors.simulation.effects import Effect as Effect
from casework.actors.simulation.finished import Finished as Finished
from casework.actors.simulation.finished import Line as Line
from casework.actors.simulation.report import SeedReport as SeedReport
from casework.actors.simulation.report import Violation as Violation
from casework.actors.simulation.run import run_seed as run_seed
from casework.actors.simulation.scenario import Arrival as Arrival
from casework.actors.simulation.scenario import Invariant as Invariant
from casework.actors.simulation.scenario import Question as Question
from casework.actors.simulation.scenario import Said as Said
from casework.actors.simulation.scenario import Scenario as Scenario
from casework.actors.simulation.scenario import invariant as invariant
from casework.actors.simulation.scenario import load_scenario as load_scenario
from casework.actors.simulation.scenario import stub_in_simulation as stub_in_simulation
from casework.actors.simulation.sources import SourceFinding as SourceFinding
from casework.actors.simulation.sources import check_source as check_source

__all__ = [
    "Arrival",
    "Effect",
    "Finished",
    "Invariant",
    "Line",
    "Question",
    "Said",
    "Scenario",
    "SeedReport",
    "SourceFinding",
    "Violation",
    "check_source",
    "invariant",
    "load_scenario",
    "run_seed",
    "stub_in_simulation",
]
