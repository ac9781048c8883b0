"""What reads a customer's text: one method behind a Protocol, and a scripted reader that stands in for a model.

The script looks for words, as a model looks for meaning; it is as sure as its words are many and of one kind. It does
not know what is done with what it says.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from casework.actors.patterns import Choice
from examples.refunds.messages import Wish


class Reader(Protocol):
    """Says whose business a text is, and how sure that is."""

    async def read(self, text: str) -> Choice:
        """Read a text; cancelling it leaves nothing behind."""
        ...


#: Words that tell what a customer wants, by the desk that handles it; looked for in small letters.
WORDS: Final[Mapping[str, Mapping[Wish, tuple[str, ...]]]] = {
    "billing": {
        Wish.CHARGED_TWICE: ("charged twice", "double payment", "paid twice", "two payments"),
        Wish.CHANGED_MIND: ("changed my mind", "do not like", "does not fit", "send it back", "wrong size"),
    },
    "shipping": {
        Wish.DAMAGED: ("broken", "damaged", "cracked", "torn", "scratched"),
        Wish.NOT_RECEIVED: ("never arrived", "not arrived", "not received", "lost", "where is my parcel"),
    },
    "technical": {Wish.HELP: ("how do i", "manual", "does not pair", "firmware", "reset")},
}
#: How sure the script is of a text with one kind of words, with several kinds, and with none.
SURE: Final = 0.9
TORN: Final = 0.45
LOST: Final = 0.1


class Script:
    """Reads by words."""

    async def read(self, text: str) -> Choice:
        """Count the words of each kind; the desk with most of them has it."""
        found = [(desk, wish) for desk in WORDS for wish in wishes(desk, text)]
        if not found:
            return Choice(route="billing", confidence=LOST, reason="none of the words that it knows")
        desk, wish = found[0]
        return Choice(route=desk, confidence=SURE if len(found) == 1 else TORN, reason=wish)


def wishes(desk: str, text: str) -> list[Wish]:
    """Give what a text may ask of a desk."""
    lowered = text.lower()
    return [wish for wish, words in WORDS[desk].items() if any(word in lowered for word in words)]
