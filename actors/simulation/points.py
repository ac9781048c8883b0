"""The named points that runs of a crew should pass: one that no seed ever passes was never put to the test.

Every crew opens cases, and its nodes claim them, live, and append to them; each of its tools should be called by some
case of its scenario, but for those by which others are undone: nothing may ever need it.
It does not know how often a point is passed.
"""

from typing import Final

from casework.actors.crew import Crew
from casework.protocols.wire import RiskTier

#: What every node passes before and after, whatever its crew.
OF_NODES: Final = (
    *("append", "claim", "inbox", "release", "renew"),
    *("store.append", "store.claim", "store.open_case", "store.renew"),
)
#: What a case passes that delegates.
OF_TASKS: Final = ("task.answered", "task.sent")


def known_points(crew: Crew) -> tuple[str, ...]:
    """Name the points that some seed of a crew should pass, in the order of their names."""
    undoing = {tool.undo for tool in crew.tools}
    names = [*OF_NODES, *(name for name in crew.tools.names if name not in undoing)]
    if any(tool.tier is not RiskTier.READ_ONLY for tool in crew.tools):
        names.append("effect")
    points = [f"{name}.{when}" for name in names for when in ("before", "after")]
    return tuple(sorted([*points, *(OF_TASKS if crew.agents else ())]))
