"""What writes claims: one method behind a Protocol, and a scripted writer that stands in for a model.

The script repeats a sentence as it is, but for those that it is known to get wrong, as models do: it has these by
heart. It does not know that anybody checks.
"""

from collections.abc import Mapping
from typing import Final, Protocol


class Writer(Protocol):
    """Puts a sentence into a claim of its own words."""

    async def write(self, sentence: str) -> str:
        """Write the claim that a sentence supports; cancelling it leaves nothing behind."""
        ...


#: What the script makes of some sentences: a figure that has slipped, and one that was made up.
SLIPS: Final[Mapping[str, str]] = {
    "In 40 of 100 houses the heat pump alone kept every room at 20 degrees.": (
        "In 60 of 100 houses the heat pump alone kept every room at 20 degrees."
    ),
    "Owners were glad of the quiet.": "Owners rated the quiet 9 out of 10.",
}


class Script:
    """Writes by heart."""

    async def write(self, sentence: str) -> str:
        """Repeat the sentence, or what the script makes of it."""
        return SLIPS.get(sentence, sentence)
