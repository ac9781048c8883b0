"""Which key is meant when somebody delivers to a case: the one thing that it waits for.

It does not know what is delivered, nor who does it.
"""

from typing import Final

from casework.runtime.errors import NotAwaited
from casework.runtime.store.base import CaseKey, CaseStatus, StoreReader, WaitKind

#: What somebody can deliver; reviews are decided, timers and children come by themselves.
DELIVERABLE: Final = frozenset({WaitKind.EVIDENCE, WaitKind.OPERATOR})


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
