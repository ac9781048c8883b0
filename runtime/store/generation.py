"""Remembers, outside of a store, how far it had come, so that an older one in its place is noticed.

A restored backup is a whole and well-formed store. What it lacks are the last intents and results, and a node that
went on from it would do those effects again. So the owner writes down beside the file, now and then, how long the
logs were together, the hash of the last record, and whose history that is; a store that does not have that record at
that place halts. Each case that a node then takes parks for an operator, until a person accepts the store as it is:
from then on it is another generation, and what was lost counts as lost.
What nobody wrote down is not noticed: the last commits before a kill, and a copy that was restored with its memory.
It does not know what kind of store it remembers.
"""

import os
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.errors import StoreUnavailable
from casework.runtime.store.base import CaseKey, CaseStatus, Delivered, Store, Unavailable, Unknown, WaitKind

#: Setting: whose history a store holds; a new one begins whenever a person accepts an older state.
GENERATION: Final = "store.generation"
#: Setting: why no case may go on before a person accepts the store; empty where all is well.
HALTED: Final = "store.halted"
#: Setting: the generations before, each ended by a person who accepted an older state.
PAST: Final = "store.past"
#: Setting: how often leases on a store were renewed, where several processes share it.
MARK: Final = "store.mark"
#: Setting: who accepted the store last, when, and what was the matter with it.
ACCEPTED: Final = "store.accepted"
#: What begins the reason of each case that a halted store parks.
OLDER: Final = "the store is older than its owner remembers"
#: Bytes of a memory at most; ours are a few hundred.
MEMORY_BYTES_MAX: Final = 4_096


class Head(Struct, frozen=True):
    """How far a store has come."""

    generation: str
    records: int
    """Records in all logs together, which are never removed."""
    last: str
    """Hash of the last of them, empty where there is none."""
    items: int
    """Items that were ever put into an inbox."""


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")

M = TypeVar("M", bound=Struct)


def objection(remembered: Head, found: Head, last_there: str, past: str) -> str:
    """Say why a store is not the one remembered or one that came after it; empty if it is.

    `last_there` is the hash of the store's record at the place of the last one remembered, empty without such, and
    `past` the generations that a person ended by accepting an older state: who was killed then remembers the last.
    """
    if found.generation != remembered.generation:
        return "" if remembered.generation in past.split() else f"{OLDER}: it is another one, or was made anew; "
    if found.records < remembered.records:
        return f"{OLDER}: it has {found.records} records, and had {remembered.records}; "
    if last_there != remembered.last:
        return f"{OLDER}: record {remembered.records} of it is not the one that was written; "
    if found.items < remembered.items:
        return f"{OLDER}: it has had {found.items} messages, and had {remembered.items}; "
    return ""


def halting(objected: str, url: str) -> str:
    """Say why nothing goes on, and how a person lets it."""
    return f"{objected}effects after that would be done again; `casework store accept --store {url}` lets it go on"


def read_memory(path: str, kind: type[M]) -> M | None:
    """Read what is remembered in a file; None if nothing is.

    Raises:
        ValueError: there is something, but it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    try:
        return msgspec.json.decode(os.read(descriptor, MEMORY_BYTES_MAX), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    finally:
        os.close(descriptor)


def write_memory(path: str, seen: Struct, making: str = "") -> None:
    """Replace what is remembered in a file, durable and at once; raises OSError and then leaves the old one.

    `making` names the file beside it that takes its place, where several may be at it.
    """
    making = f"{making or path}.new"
    try:
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, _ENCODER.encode(seen))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(making, path)
    except OSError:
        with suppress(OSError):
            os.unlink(making)
        raise
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def accept(store: Store, *, by: str, now: int, generation: str) -> list[CaseKey] | None:
    """Accept a halted store as it is; to be called by its owner before anything runs on it, or by anybody if shared.

    Args:
        store: the store, opened to work on it.
        by: who accepts it; stands in the store and in the log of each case that was parked for it.
        now: the moment, in microseconds.
        generation: a new id, for the history that begins here.

    Gives the cases that were parked for it and may go on; None if the store is not halted and there is none.

    Raises:
        StoreUnavailable: it is not known to be accepted; accept it again.

    If cancelled, it may have been accepted or not.
    """
    why = await store.setting(HALTED)
    if why:
        await store.remember(ACCEPTED, f"{by} at {now}: {why}")
        ended = (await store.setting(PAST) or "", await store.setting(GENERATION) or "")
        await store.remember(PAST, " ".join(ended).strip())
        await store.remember(GENERATION, generation)
        # A store whose acceptance was interrupted before this is still halted; after it, whoever accepts again
        # delivers what is left. Nodes that live on would only park again what they are told of while it is halted.
        await store.remember(HALTED, "")
    keys = await _told(store, by, await store.setting(GENERATION) or "")
    return keys if why or keys else None


async def _told(store: Store, by: str, generation: str) -> list[CaseKey]:
    """Tell the cases that were parked for an older store; give those that had not been told."""
    keys: list[CaseKey] = []
    for row in await store.cases(status=CaseStatus.PARKED):
        for wait in row.waits:
            if wait.kind is not WaitKind.OPERATOR or not wait.reason.startswith(OLDER):
                continue
            item_id = f"accepted:{generation}:{row.key.case_id}"
            frame = encode(Arrived(key=wait.key, message_id=item_id, by=by))
            result = await store.deliver(row.key.tenant, row.key.case_id, item_id, frame)
            if isinstance(result, Unavailable | Unknown):
                raise StoreUnavailable(store.url, result.why)
            if isinstance(result, Delivered):
                keys.append(row.key)
    return keys
