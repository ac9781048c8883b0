"""What callers ask of a PostgreSQL store to write, as records that wait for their batch.

An append, an opening and a draw stand for themselves; everything else has a record here, and a `Call` takes any of them
to its batch and its answer back.
It does not know how any of it is carried out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

from casework.runtime.parking import Parked
from casework.runtime.store.accounts import Draw
from casework.runtime.store.archive import Cut, Transfer
from casework.runtime.store.base import Append, CaseKey, Opening, Unavailable, Unknown


@dataclass(slots=True, frozen=True)
class Delivery:
    """Put an item into the inbox of a case, or of every case that waits for a key."""

    tenant: str
    target: str
    item_id: str
    kind: str
    frame: bytes


@dataclass(slots=True, frozen=True)
class Decision:
    """Decide an open review by compare-and-set."""

    review_id: str
    proposal_hash: str
    frame: bytes
    now: int


@dataclass(slots=True, frozen=True)
class Claim:
    """Take cases for a node."""

    node: str
    limit: int
    now: int
    carries: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Reclaim:
    """Take a case again that a node holds."""

    node: str
    key: CaseKey


@dataclass(slots=True, frozen=True)
class Renewal:
    """Say that a node lives until then."""

    node: str
    until: int
    carries: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Setting:
    """Set a setting of the store, or add to its end."""

    name: str
    value: str
    added: bool = False


@dataclass(slots=True, frozen=True)
class Artifact:
    """Keep bytes under their content hash."""

    sha256: str
    data: bytes


@dataclass(slots=True, frozen=True)
class BringIn:
    """Take in whole cases, all or none."""

    transfers: tuple[Transfer, ...]


@dataclass(slots=True, frozen=True)
class Retain:
    """Drop what closed cases contained, and bring in the account of it."""

    keys: tuple[CaseKey, ...]
    account: Transfer


@dataclass(slots=True, frozen=True)
class Trim:
    """Drop the frames of earlier chapters, and bring in the account of it."""

    cuts: tuple[Cut, ...]
    account: Transfer


@dataclass(slots=True, frozen=True)
class Limit:
    """Set an account's limit; with `only_new` one that is there keeps its own."""

    name: str
    micros: int
    by: str
    at: int
    only_new: bool = False


Asked: TypeAlias = (
    Append
    | Opening
    | Delivery
    | Decision
    | Claim
    | Reclaim
    | Renewal
    | Setting
    | Artifact
    | BringIn
    | Retain
    | Trim
    | Limit
    | Draw
)


@final
class Call:
    """One call on its way through a batch."""

    __slots__ = ("answer", "answered", "asked", "error", "leads", "turn")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.turn: Parked | None = None  #: where its caller waits, if it does
        self.leads = False
        self.answered = False
        self.answer: object = None
        self.error: Exception | None = None

    def settle(self, answer: object = None, error: Exception | None = None) -> None:
        """Answer it, once."""
        if not self.answered:
            self.answered, self.answer, self.error = True, answer, error
            self.wake()

    def lead(self) -> None:
        """Have its caller carry out the next batch."""
        self.leads = True
        self.wake()

    def wake(self) -> None:
        """Let its caller go on; one that was cancelled does so by itself."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(b"")


def refuse(calls: Sequence[Call], answer: Unavailable | Unknown) -> None:
    """Answer those of them that were not answered yet."""
    for call in calls:
        call.settle(answer)
