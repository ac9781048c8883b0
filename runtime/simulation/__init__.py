"""Runs of the real code in a simulated world: virtual time, several nodes in one process, faults by plan and seed."""

from casework.runtime.simulation.errors import Deadlock as Deadlock
from casework.runtime.simulation.errors import Livelock as Livelock
from casework.runtime.simulation.errors import SimulationError as SimulationError
from casework.runtime.simulation.errors import SimulationLeak as SimulationLeak
from casework.runtime.simulation.errors import Uncaught as Uncaught
from casework.runtime.simulation.errors import Unreachable as Unreachable
from casework.runtime.simulation.loop import SimulationLoop as SimulationLoop
from casework.runtime.simulation.node import Place as Place
from casework.runtime.simulation.node import SimulatedNode as SimulatedNode
from casework.runtime.simulation.plan import FaultPlan as FaultPlan
from casework.runtime.simulation.plan import draw_plan as draw_plan
from casework.runtime.simulation.simulation import Run as Run
from casework.runtime.simulation.simulation import Simulation as Simulation
from casework.runtime.simulation.simulation import simulate as simulate

__all__ = [
    "Deadlock",
    "FaultPlan",
    "Livelock",
    "Place",
    "Run",
    "SimulatedNode",
    "Simulation",
    "SimulationError",
    "SimulationLeak",
    "SimulationLoop",
    "Uncaught",
    "Unreachable",
    "draw_plan",
    "simulate",
]
