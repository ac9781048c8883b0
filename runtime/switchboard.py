"""Pausing and resuming agents, tools and tenants: written down in the store first, then done, and parked cases told.

The lines in the store are read again when a runtime begins, so what is paused stays so over a restart. One process owns
a store that is switched here, and does so one line after the other. Of several nodes on one PostgreSQL store only the
one that is asked hears of it at once; the others hear of it when they begin anew.
It does not know what is held, nor how a call is made.
"""

from typing import Protocol

import msgspec

from casework.protocols.codec import encode
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Arrived
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.base import CaseStatus, Store
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.switches import SETTING, Switch, check_target, read_switches, switch_key, write_switch


class Running(Protocol):
    """A runtime, as far as it is needed here."""

    @property
    def store(self) -> Store:
        """Its store."""
        ...

    @property
    def staff(self) -> Staff:
        """Its crew at work."""
        ...


async def recall(store: Store, staff: Staff) -> None:
    """Have a staff that begins pause what is paused."""
    for switch in read_switches(await store.setting(SETTING) or ""):
        staff.turn(switch)


async def pause(running: Running, target: str, *, by: str, reason: str, world: World) -> None:
    """Let `agent:NAME`, `tool:NAME` or `tenant:NAME` have no effect from now on; the cases that want one park.

    Raises:
        ValueError: that cannot be paused.
        StoreUnavailable: nothing was paused, or it is only after a restart.

    If cancelled, the same as after `StoreUnavailable`.
    """
    await _turn(running, Switch(target=target, paused=True, by=by, reason=reason, at=world.clock.wall_micros()))


async def resume(running: Running, target: str, *, by: str, reason: str, world: World) -> int:
    """Let it have effects again, and say how many parked cases go on for it; raises as `pause`.

    If cancelled, some of them may not have been told; to resume it again does no harm.
    """
    await _turn(running, Switch(target=target, paused=False, by=by, reason=reason, at=world.clock.wall_micros()))
    return await tell_parked(running.store, target, by=by, world=world)


async def write_down(store: Store, switch: Switch) -> None:
    """Add a line to what was switched; raises as `pause`."""
    check_target(switch.target)
    lines = await store.setting(SETTING) or ""
    await store.remember(SETTING, f"{lines}{write_switch(switch)}\n")


async def tell_parked(store: Store, target: str, *, by: str, world: World) -> int:
    """Tell the cases that wait for it that something was resumed, and say how many those are."""
    key, item_id, told = switch_key(target), f"switch:{world.ids.new()}", 0
    frame = encode(Arrived(key=key, message_id=item_id, by=by))
    for row in await store.cases(status=CaseStatus.PARKED):
        if any(wait.key == key for wait in row.waits):
            await store.deliver(row.key.tenant, row.key.case_id, item_id, frame)
            told += 1
    return told


async def answer(running: Running, world: World, asked: CircuitsAsked | TurnAsked) -> bytes:
    """Answer another process, as JSON.

    Raises:
        FrameInvalid: what it wants paused cannot be.
    """
    if isinstance(asked, CircuitsAsked):
        return msgspec.json.encode(running.staff.circuits())
    try:
        if asked.paused:
            await pause(running, asked.target, by=asked.by, reason=asked.reason, world=world)
            return b"0"
        return b"%d" % await resume(running, asked.target, by=asked.by, reason=asked.reason, world=world)
    except ValueError as error:
        raise FrameInvalid("switch", str(error)) from error


async def _turn(running: Running, switch: Switch) -> None:
    await write_down(running.store, switch)
    running.staff.turn(switch)
