"""Limits of budgets, as a person sets them: the cases that wait for a higher one go on.

It does not know who may set a limit.
"""

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.flow.reserving import budget_key
from casework.runtime.seams import World
from casework.runtime.store.accounts import Account, parts_of
from casework.runtime.store.base import LimitResult, StoreDoor, Unavailable, Unknown


async def set_limit(door: StoreDoor, account: str, limit_micros: int, *, by: str, world: World) -> LimitResult:
    """Set an account's limit in millionths, and tell every case that waits for it; each looks whether it is enough.

    `Unavailable` and `Unknown` may come after the limit was set and before all were told: to set it again does no
    harm. If cancelled, the same.

    Raises:
        StoreUnavailable, FrameInvalid: as the door.
    """
    answer = await door.set_limit(account, limit_micros, by=by, at=world.clock.wall_micros())
    if not isinstance(answer, Account):
        return answer
    key, item_id = budget_key(account), f"limit:{world.ids.new()}"
    frame = encode(Arrived(key=key, message_id=item_id, by=by))
    told = await door.deliver(parts_of(account)[1], key, item_id, frame)
    return told if isinstance(told, Unavailable | Unknown) else answer
