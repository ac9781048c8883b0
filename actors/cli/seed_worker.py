"""A worker process of the command simulate: runs seeds of a crew one after the other, and says what became of each.

It is asked by lines of JSON on its standard input and answers by lines on what was its standard output; what the
crew's own code prints goes to standard error. A seed that takes too long ends the process, which says where it was.
It ends when nobody asks any more. It does not know why a seed is run.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from casework.actors.crew import Crew, load_crew
from casework.actors.failures import describe
from casework.actors.simulation.report import SeedReport, Violation
from casework.actors.simulation.run import run_seed
from casework.runtime.simulation.errors import SimulationLeak
from casework.runtime.simulation.plan import FaultPlan, draw_plan

#: Name of what does not hold where code reached for something that is not simulated.
LEAK: Final = "leak"
#: Name of what does not hold where a run was ended by an error of its own code.
ERROR: Final = "error"


class Ask(Struct, frozen=True, kw_only=True):
    """Seeds to be run."""

    first: int
    count: int = 1
    plan: FaultPlan | None = None
    """What goes wrong; drawn from each seed if left out."""
    keep: bool = False
    """Keep what happens as text."""
    seconds_max: int = 300
    """Real seconds that one seed may take."""


class Begun(Struct, frozen=True, tag=True):
    """A seed has begun."""

    seed: int


class Ended(Struct, frozen=True, tag=True):
    """A seed has ended."""

    report: SeedReport
    cpu_seconds: float


class Overran(Struct, frozen=True, tag=True):
    """A seed took too long; the process has ended."""

    where: str


Said: TypeAlias = Begun | Ended | Overran


def main() -> None:
    """Serve until nobody asks any more; the crew is the first argument."""
    answers = os.dup(1)
    os.dup2(2, 1)
    # Interrupts are for the process that asks; a run's log lines are of no more use than the run's nodes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    crew = load_crew(sys.argv[1], folder=Path.cwd())

    def overran(_signal: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}" if frame else "nowhere"
        _say(answers, Overran(where))
        os._exit(1)

    signal.signal(signal.SIGALRM, overran)
    for line in sys.stdin.buffer:
        ask = msgspec.json.decode(line, type=Ask)
        for seed in range(ask.first, ask.first + ask.count):
            _say(answers, Begun(seed))
            signal.alarm(ask.seconds_max)
            before = _cpu_seconds()
            report = _report(crew, seed, ask)
            signal.alarm(0)
            _say(answers, Ended(report, _cpu_seconds() - before))


def _report(crew: Crew, seed: int, ask: Ask) -> SeedReport:
    try:
        return run_seed(crew, seed, ask.plan, keep=ask.keep)
    except SimulationLeak as error:
        why = Violation(LEAK, "", str(error))
    except Exception as error:  # noqa: BLE001 - the crew and its scenario are somebody else's code
        first = error
        while isinstance(first, ExceptionGroup):
            first = cast("Exception", first.exceptions[0])
        text = " ".join(f"{type(first).__name__}: {first}".split())
        why = Violation(ERROR, "", f"the run was ended by {text} ({describe(first)})")
    return SeedReport(seed=seed, plan=ask.plan or draw_plan(seed), violations=(why,))


def _say(answers: int, said: Said) -> None:
    line = memoryview(msgspec.json.encode(said) + b"\n")
    while line:
        line = line[os.write(answers, line) :]


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system


if __name__ == "__main__":
    main()
