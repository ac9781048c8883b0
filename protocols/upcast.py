"""Lets newer code read the frames of older releases: what a message type was becomes what it is now.

Most changes need nothing of this: a new field has a default, an unknown one is passed over. Where a change cannot be
told by a default (a field is renamed, a unit changes, one field becomes two), the type gets its next version, and one
*upcast* from the version before: a pure function from the message's plain map to its plain map one version later. A
frame that is three versions old takes three steps; a step is never changed once it was released.

A frame says its version in its tag: `payment` is the first, `payment@2` the second. So frames of a first version have
the bytes they always had, today's frames are decoded without a look at any table, and code that does not know a
version, because it is older, finds an unknown tag and parks the case instead of reading a map that it misunderstands.
Alternatives: a field that says the version has to be searched for in every frame (a third of the time of decoding a
small one), and code that does not search for it misreads; one version for the whole log makes one change touch every
type.
It does not know how frames are made of maps, and maps of frames.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, final

#: A message as a plain map, with its tag under `type`.
Fields: TypeAlias = dict[str, object]
Upcast: TypeAlias = Callable[[Fields], Fields]

#: Stands in a tag between the name of a type and its version.
_MARK: Final = "@"


def versioned(name: str, version: int) -> str:
    """Give the tag of a type's version."""
    return name if version == 1 else f"{name}{_MARK}{version}"


def name_of(tag: str) -> str:
    """Give the name of a type without its version: the kind of its records, which never changes."""
    return tag.partition(_MARK)[0]


@final
class Upcasts:
    """A table of upcasts: (name, version) -> what makes the next version of it."""

    def __init__(self, steps: Mapping[tuple[str, int], Upcast]) -> None:
        """Take a table; the versions of each name begin at 1 and have no gap."""
        newest: dict[str, int] = {}
        for name, version in sorted(steps):
            assert version == newest.get(name, 1), f"upcast of {name!r} from version {version}: one before is missing"
            newest[name] = version + 1
        self._steps = {versioned(*place): (place, step) for place, step in steps.items()}

    def lifted(self, fields: Fields) -> Fields | None:
        """Bring a message of an older version to the newest; None if its tag is not that of an older version.

        The map that is given is left as it is.
        """
        lifted: Fields | None = None
        while (found := self._steps.get(str((lifted or fields).get("type")))) is not None:
            (name, version), step = found
            lifted = {**step(dict(lifted or fields)), "type": versioned(name, version + 1)}
        return lifted


#: Every upcast of every release; so far no type has a second version.
UPCASTS: Final = Upcasts({})
