"""Pausing and resuming agents, tools and tenants: written down in the store first, then done, and parked cases told.

The lines in the store are read again when a runtime begins, so what is paused stays so over a restart. Of several nodes
on one PostgreSQL store whoever does not switch hears of it by a hint, or with the next renewal of its lease.
It does not know what is held, nor how a call is made.
"""

from typing import Protocol

import msgspec

from casework.protocols.errors import FrameInvalid
from casework.runtime.flow.waiters import tell_parked
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.base import Store
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.switches import SETTING, Switch, check_switch, write_switch


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


async def pause(running: Running, target: str, *, by: str, reason: str, world: World) -> None:
    """Let `agent:NAME`, `tool:NAME` or `tenant:NAME` have no effect from now on; the cases that want one park.

    Raises:
        ValueError: that cannot be paused, or it is not said who does it and why.
        StoreUnavailable: nothing was paused, or it is only after a restart.

    If cancelled, the same as after `StoreUnavailable`.
    """
    await _turn(running, Switch(target=target, paused=True, by=by, reason=reason, at=world.clock.wall_micros()))


async def resume(running: Running, target: str, *, by: str, reason: str, world: World) -> int:
    """Let it have effects again, and say how many parked cases go on for it; raises as `pause`.

    If cancelled, some of them may not have been told; to resume it again does no harm.
    """
    switch = Switch(target=target, paused=False, by=by, reason=reason, at=world.clock.wall_micros())
    await _turn(running, switch)
    return await tell_parked(running.store, switch)


async def write_down(store: Store, switch: Switch) -> None:
    """Add a line to what was switched; raises as `pause`."""
    check_switch(switch.target, switch.by, switch.reason)
    await store.extend(SETTING, f"{write_switch(switch)}\n")


async def answer(running: Running, world: World, asked: CircuitsAsked | TurnAsked) -> bytes:
    """Answer another process, as JSON.

    Raises:
        FrameInvalid: what it wants paused cannot be, or it does not say for whom and why.
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
