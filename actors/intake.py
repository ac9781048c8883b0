"""What a crew makes of an input folder: cases to open, things to deliver, and lines that it could not read.

It does not know how a folder is read, nor when that is done.
"""

from dataclasses import dataclass

from msgspec import Struct

from casework.protocols.wire import Evidence


@dataclass(slots=True, frozen=True)
class OpenCase:
    """A case to open; opening one that is there changes nothing."""

    flow: str
    case_id: str
    inputs: Struct


@dataclass(slots=True, frozen=True)
class DeliverKey:
    """A thing to deliver to whatever waits for `key`."""

    key: str
    value: object = None
    evidence: Evidence | None = None
    by: str = "intake"


@dataclass(slots=True, frozen=True)
class Problem:
    """A piece of input that cannot be used; everything else goes on."""

    file: str
    text: str
    """One line: what is wrong and what would be right."""
    line: int = 0
    """Counted from 1; 0 when the whole file is meant."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}"


@dataclass(slots=True, frozen=True)
class Intake:
    """All that an input folder asks for."""

    openings: tuple[OpenCase, ...] = ()
    deliveries: tuple[DeliverKey, ...] = ()
    problems: tuple[Problem, ...] = ()
