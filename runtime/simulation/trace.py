"""The digest of a run: everything that happened, in its order, as one hash.

Two runs with one digest took the same steps at the same moments. The digest is the proof that a run can be repeated,
so nothing may go into it that differs between processes: no address, no hash of a string, no real time.
It does not know what a step does.
"""

import struct
from hashlib import blake2b
from typing import Final, final

#: Bytes gathered before they are hashed: hashing each step by itself would cost more than the step.
GATHERED_MAX: Final = 1 << 16

_STEP: Final = struct.Struct("<dI")


@final
class Trace:
    """What happened so far."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._gathered = bytearray()
        self._told: list[str] | None = None

    def keep(self) -> None:
        """Keep every event from now on as text as well, for somebody who compares two runs."""
        self._told = self._told or []

    @property
    def keeps(self) -> bool:
        """Say whether anybody reads what happens as text."""
        return self._told is not None

    @property
    def told(self) -> tuple[str, ...]:
        """Give the events that were kept."""
        return tuple(self._told or ())

    def step(self, now: float, job: int) -> None:
        """Note one step of a job, or of a plain callback (0), at a moment."""
        self._gathered += _STEP.pack(now, job)
        if len(self._gathered) >= GATHERED_MAX:
            self._fold()

    def event(self, now: float, text: str, about: str = "") -> None:
        """Note something that has a name; what it is about is for readers only."""
        self._gathered += _STEP.pack(now, len(text))
        self._gathered += text.encode()
        if self._told is not None:
            self.remark(now, f"{text} {about}")

    def remark(self, now: float, text: str) -> None:
        """Note something for readers only: it follows from what is noted otherwise."""
        if self._told is not None:
            self._told.append(f"{now:.6f} {text}".rstrip())

    def digest(self) -> str:
        """Give the hash of all that happened, in hex."""
        self._fold()
        return self._hash.hexdigest()

    def _fold(self) -> None:
        self._hash.update(self._gathered)
        self._gathered.clear()
