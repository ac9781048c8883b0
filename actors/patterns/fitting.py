"""Where a pattern hands its work to a part and takes back what it gives: whether the types on both sides fit.

It does not know which pattern asks.
"""

from collections.abc import Iterator
from typing import Any

from casework.actors.patterns.base import Pattern
from casework.actors.patterns.description import type_name
from casework.actors.patterns.shape import fits


def misfits(who: str, part: Pattern, *, given: Any = object, wanted: Any = object) -> Iterator[str]:
    """Find out if a part does not take what it is given, or does not give what is wanted of it; `object`: anything."""
    remedy = "put it in a pipeline with a Code step that makes the one of the other"
    if not fits(given, part.takes) and given is not object:
        yield f"{who}: {part.name!r} takes {type_name(part.takes)}, but is given {type_name(given)}; {remedy}"
    if not fits(part.gives, wanted):
        yield f"{who}: {part.name!r} gives {type_name(part.gives)}, but {type_name(wanted)} is wanted; {remedy}"
