"""Knows which versions of SQLite can damage a file in write-ahead mode, and what to say of them.

From 3.7.0 to 3.51.2 two connections of one file that write or write the log back at the same moment can begin the
log anew over frames that were not written back yet. It was repaired in 3.51.3, and for two older lines as well.
It does not know which version runs.
"""

import logging
from typing import Final

#: The first version with the error, and the first without.
BROKEN_FROM: Final = (3, 7, 0)
MENDED_FROM: Final = (3, 51, 3)
#: Lines that were mended on their own: the patch of (major, minor) from which on they are well.
MENDED_LINES: Final = {(3, 44): 6, (3, 50): 7}

_LOGGER: Final = logging.getLogger(__name__)


def can_damage(version: tuple[int, ...]) -> bool:
    """Say whether a version of SQLite has the error."""
    patch = MENDED_LINES.get((version[0], version[1]))
    if patch is not None and version[2] >= patch:
        return False
    return BROKEN_FROM <= version < MENDED_FROM


def warn_of(version: tuple[int, ...]) -> None:
    """Say in one line what to know about a version of SQLite, if there is anything."""
    if can_damage(version):
        _LOGGER.warning(
            "SQLite %s can damage a file if two connections write it, or write its log back, at the same moment. "
            "Casework does both with one connection, so only another program that writes the file is a danger. "
            "SQLite 3.51.3 is mended (as are 3.50.7 and 3.44.6): it comes with a newer system or Python",
            ".".join(map(str, version)),
        )
