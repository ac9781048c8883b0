"""How alike two names are: a vendor on a receipt and a payee on a bank line.

Banks write capitals, drop accents and add places and terminal numbers. It does not know amounts or dates.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import Final

# From here on two names are taken for the same party.
ALIKE_MIN: Final = 0.6

_LEGAL_FORMS: Final = frozenset(
    {
        "bv", "nv", "vof", "ltd", "limited", "gmbh", "inc", "cv", "ag", "sa", "sarl", "eo", "co",
        "via", "by", "de", "het", "the", "ccv", "sumup", "zettle", "mollie",
    }
)  # fmt: skip


def plain(text: str) -> str:
    """Lower case, no accents, punctuation to spaces: `Café "Zoë" B.V.` becomes `cafe zoe bv`."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    joined = re.sub(r"(?<=\b\w)\.(?=\w\b)", "", bare.casefold())
    return " ".join(re.sub(r"[^0-9a-z]+", " ", joined).split())


def words(text: str) -> tuple[str, ...]:
    """Give the words that tell one party from another: no legal forms, no numbers."""
    return tuple(word for word in plain(text).split() if word not in _LEGAL_FORMS and not word.isdigit())


def likeness(one: str, other: str) -> float:
    """Say from 0 to 1 how alike two names are; 1 when all the words of the shorter stand in the longer."""
    left, right = words(one), words(other)
    if not left or not right:
        return 0.0
    shorter, longer = sorted((left, right), key=lambda found: sum(map(len, found)))
    shared = sum(len(word) for word in shorter if word in longer)
    contained = shared / sum(map(len, shorter))
    spelled = SequenceMatcher(None, "".join(left), "".join(right), autojunk=False).ratio()
    return max(contained, spelled)
