"""The named points that runs of a crew should pass: one that no seed ever passes was never put to the test.

Every crew opens cases, and its nodes claim them, live, and append to them; each of its tools should be called by some
case of its scenario. It does not know how often a point is passed.
"""

from typing import Final

from casework.actors.crew import Crew

#: What every node passes, whatever its crew.
OF_NODES: Final = ("append", "store.append", "store.claim", "store.open_case", "store.renew")


def known_points(crew: Crew) -> tuple[str, ...]:
    """Name the points that some seed of a crew should pass, in the order of their names."""
    names = sorted((*OF_NODES, *crew.tools.names))
    return tuple(f"{name}.{when}" for name in names for when in ("before", "after"))
