"""Pointers: a thing of another system by its id there, and the hash of what it was when it was seen.

A log is kept for years, and what stands in it stays; what a person may have erased must not. So what is handed on is
where the thing is, and its hash tells later whether it is still the same.
It does not know who fetches it, nor from where.
"""

import re
from typing import Final, Generic, TypeVar

from msgspec import Struct

from casework.protocols.codec import digest, pack

S = TypeVar("S", bound=Struct)

#: Bytes of an id at most, in UTF-8.
ID_BYTES_MAX: Final = 256
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Pointer(Struct, Generic[S], frozen=True, forbid_unknown_fields=True):
    """Points to an S in its own system; nothing of it is here but its id and its hash."""

    id: str
    """Says nothing by itself: a number or a code, no name and no e-mail address."""
    sha256: str
    """As `sha256_of` gives it, of the thing as it was seen."""

    def __post_init__(self) -> None:
        """Hold both to their form, also when they are read.

        Raises:
            ValueError: one of them is not as it should be; the text does not say it back.
        """
        if not 1 <= len(self.id.encode()) <= ID_BYTES_MAX:
            raise ValueError(f"the id of a pointer has from 1 to {ID_BYTES_MAX} bytes")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError("the hash of a pointer is 64 lower-case hex digits")

    @classmethod
    def to(cls, id_: str, value: S) -> "Pointer[S]":
        """Point to a thing that is at hand.

        Raises:
            FrameTooLarge, FrameTooDeep, FrameInvalid: it has no faithful bytes, or too many.
            ValueError: what is given as its id cannot be one.
        """
        return cls(id_, sha256_of(value))


def sha256_of(value: Struct) -> str:
    """Hash a thing by its bytes in a frame, as 64 hex digits; raises as `pack`."""
    return digest(pack(value)).hex()
