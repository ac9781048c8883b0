"""The kill switches of agents, tools and tenants: who paused what and why, and what is paused now.

What was switched is a list of lines in the store, one for each time, which is only ever added to: it is the record of
who did what, and what is paused now is a fold of it. Whoever makes an effect asks at that very moment.
It does not know who waits for a switch, nor how a line comes to be in the store.
"""

from collections.abc import Iterable
from typing import Final, final

import msgspec
from msgspec import Struct

from casework.runtime.store.settings import SWITCHES

#: What can be paused.
KINDS: Final = ("agent", "tool", "tenant")
#: The setting of a store under which the lines stand.
SETTING: Final = SWITCHES
#: Characters of a name at most, of what is switched or of who does it.
CHARS_MAX: Final = 300
#: Characters of a reason at most; it stands in every case that is held.
REASON_CHARS_MAX: Final = 2_000


class Switch(Struct, frozen=True, kw_only=True):
    """One time that somebody paused or resumed something."""

    target: str
    """`agent:NAME`, `tool:NAME` or `tenant:NAME`."""
    paused: bool
    by: str
    reason: str
    at: int
    """Microseconds since the epoch."""

    @property
    def why(self) -> str:
        """Say in a line what holds whoever meets it."""
        return f"{self.target} was paused by {self.by}: {self.reason}"


def switch_key(target: str) -> str:
    """Name what a case waits for that something paused holds."""
    return f"switch:{target}"


def check_switch(target: str, by: str, reason: str) -> None:
    """Raise ValueError unless something can be paused under that name, and it is said who does it and why."""
    kind, _, name = target.partition(":")
    if kind not in KINDS or not name or len(name) > CHARS_MAX or not name.isprintable():
        short = target if len(target) <= CHARS_MAX else f"{target[:CHARS_MAX]}..."
        raise ValueError(f"{short!r} cannot be paused; name agent:NAME, tool:NAME or tenant:NAME")
    if not by.strip() or len(by) > CHARS_MAX:
        raise ValueError(f"say who does it, in at most {CHARS_MAX} characters; it stands in the store")
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        raise ValueError(
            f"say why, in at most {REASON_CHARS_MAX} characters; it stands in the store and in every case that is held"
        )


def write_switch(switch: Switch) -> str:
    """Give the line of one switch."""
    return msgspec.json.encode(switch).decode()


def read_switches(lines: str) -> list[Switch]:
    """Read lines as they stand in a store; a line that a newer version wrote otherwise is passed over."""
    found: list[Switch] = []
    for line in lines.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Switch))
        except msgspec.DecodeError:
            continue
    return found


@final
class Switches:
    """What is paused now."""

    __slots__ = ("paused",)

    def __init__(self, switches: Iterable[Switch] = ()) -> None:
        self.paused: dict[str, Switch] = {}
        """By target; empty nearly always, so whoever makes a call looks here first."""
        for switch in switches:
            self.turn(switch)

    def turn(self, switch: Switch) -> None:
        """Hear of one switch more."""
        if switch.paused:
            self.paused[switch.target] = switch
        else:
            self.paused.pop(switch.target, None)

    def holds(self, tenant: str, agent: str, tool: str = "") -> Switch | None:
        """Give the switch that holds such work back, if one does."""
        paused = self.paused
        return (
            paused.get(f"tenant:{tenant}")
            or (paused.get(f"agent:{agent}") if agent else None)
            or (paused.get(f"tool:{tool}") if tool else None)
        )
