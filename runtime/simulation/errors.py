"""What goes wrong with a simulated run itself, as opposed to what the plan makes go wrong in it.

    RuntimeFault
    └── SimulationError
        ├── Deadlock           theirs: nobody can go on, and no time that passes will change that
        ├── Livelock           theirs: everybody is busy, and no time passes
        ├── SimulationLeak     theirs: code went round the world, to a thread, a socket, a file or a process
        ├── Uncaught           theirs: an error that nobody was there to hear
        ├── FaultPlanInvalid   theirs: a plan that was written down; names file and place
        └── Unreachable        the plan: a request to a node was lost, or its answer was, or the node died

It does not know what any of them says about the code that was run.
"""

from collections.abc import Sequence

from casework.runtime.errors import RuntimeFault


class SimulationError(RuntimeFault):
    """Root of what goes wrong with a run."""


class Deadlock(SimulationError):
    """Nothing is ready, nothing is due, and the run has not ended."""

    def __init__(self, jobs: Sequence[str]) -> None:
        waiting = "\n".join(f"  {job}" for job in jobs)
        super().__init__(f"nobody can go on, and nothing is due; {len(jobs)} jobs wait:\n{waiting}")
        self.jobs = tuple(jobs)
        """One line for each job: its number, name, process, and where it waits."""


class Livelock(SimulationError):
    """So many steps were taken while no time passed that none ever will."""

    def __init__(self, steps: int, jobs: Sequence[str]) -> None:
        busy = "\n".join(f"  {job}" for job in jobs)
        super().__init__(f"{steps} steps were taken and no time passed; these are busy:\n{busy}")
        self.steps = steps
        self.jobs = tuple(jobs)


class SimulationLeak(SimulationError):
    """Code reached for something that is not simulated."""

    def __init__(self, call: str, where: str) -> None:
        super().__init__(
            f"{call} was called at {where}: it is not simulated; go through the World, or put a stub in its place"
        )
        self.call = call
        self.where = where
        """File, line and function of the code that called."""


class Uncaught(SimulationError):
    """An error arrived at the loop, or at the root of a simulated process."""

    def __init__(self, what: str) -> None:
        super().__init__(f"nobody heard of this error: {what}")
        self.what = what


class FaultPlanInvalid(SimulationError):
    """A plan cannot be used; `place` is the line or the name in question."""

    def __init__(self, file: str, place: str, why: str) -> None:
        super().__init__(f"{file}: {place}: {why}" if place else f"{file}: {why}")
        self.file = file
        self.place = place
        self.why = why


class Unreachable(SimulationError):
    """A node gave no answer in time; what was asked of it may have been done, once or twice."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(f"node {node}: {why}")
        self.node = node
        self.why = why
