"""What a delivery to a case takes: which key is meant, the one thing that the case waits for, and keeping its bytes.

It does not know what is delivered, nor who does it.
"""

import hashlib
from typing import Final

from casework.protocols.wire import Evidence
from casework.runtime.errors import NotAwaited
from casework.runtime.store.base import CaseKey, CaseStatus, StoreDoor, StoreReader, WaitKind
from casework.runtime.store.rules import INDEXED_BYTES_MAX, keyed

#: Bytes of one delivered thing at most.
ARTIFACT_BYTES_MAX: Final = 20 << 20
#: Bytes of what a thing is delivered to at most; the id of its message is made of that. A flow waits for shorter keys,
#: those for which a case waits by itself are made of names.
TARGET_BYTES_MAX: Final = INDEXED_BYTES_MAX - 100

#: What somebody can deliver; reviews are decided, timers and children come by themselves.
DELIVERABLE: Final = frozenset({WaitKind.EVIDENCE, WaitKind.OPERATOR})


def check_fit(target: str, key: str, message_id: str) -> None:
    """Raise ValueError if nothing is called `target`, nobody waits for `key`, or a message's id, if given, is none."""
    keyed("a target", target, TARGET_BYTES_MAX)
    keyed("a key", key, TARGET_BYTES_MAX)
    if message_id:
        keyed("a message id", message_id)


async def awaited_key(reader: StoreReader, target: CaseKey) -> str:
    """Give the key under which a thing for `target` arrives: what that case waits for, or the target itself.

    A target that is no open case is a key already.

    Raises:
        NotAwaited: the case waits for several things, or for nothing that can be delivered.
    """
    row = await reader.case(target)
    if row is None or row.status is CaseStatus.CLOSED:
        return target.case_id
    keys = tuple(wait.key for wait in row.waits if wait.kind in DELIVERABLE)
    if len(keys) != 1:
        raise NotAwaited(target.case_id, keys)
    return keys[0]


async def keep(door: StoreDoor, data: bytes, label: str) -> Evidence:
    """Keep the bytes of a delivered thing under their content hash, and say where; again is harmless.

    Raises:
        ValueError: they are too many.
    """
    if len(data) > ARTIFACT_BYTES_MAX:
        raise ValueError(f"{label or 'the thing'} has {len(data)} bytes; at most {ARTIFACT_BYTES_MAX} are kept")
    sha256 = hashlib.sha256(data).hexdigest()
    await door.put_artifact(sha256, data)
    return Evidence(ref=f"artifact:{sha256}", sha256=sha256, label=label)
