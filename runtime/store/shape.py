"""Holds what a store has of tables and whatever hangs on them against what this code makes.

It does not know how a store is asked for them, nor what stands in the tables.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Part(NamedTuple):
    """A table, an index, a trigger or the like, as somebody made it."""

    type: str
    name: str
    table: str
    sql: str
    """What it is, in words that are the same however it was written down."""


class Alien(NamedTuple):
    """What of a store is not as this code makes it."""

    type: str
    name: str
    why: str


def aliens_among(ours: Sequence[Part], there: Sequence[Part], meddles: Callable[[Part], bool]) -> list[Alien]:
    """Tell what is missing, what is another, and what of somebody else's `meddles` with what is read and written."""
    named = {(part.type, part.name): part for part in there}
    found: list[Alien] = []
    for part in ours:
        other = named.get((part.type, part.name))
        if other is None:
            found.append(Alien(part.type, part.name, "is missing"))
        elif other != part:
            found.append(Alien(part.type, part.name, "is not as it was made"))
    known = {(part.type, part.name) for part in ours}
    strange = (part for part in there if (part.type, part.name) not in known and meddles(part))
    return found + [Alien(part.type, part.name, f"on {part.table} is somebody else's") for part in strange]
