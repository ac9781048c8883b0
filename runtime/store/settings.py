"""What a store remembers under a name, beside its cases. It does not know what that is for."""

from typing import Final, Protocol

#: The setting under which it stands what was paused and resumed.
SWITCHES: Final = "switches"


class SettingKeeper(Protocol):
    """What the owner of the store may do with settings; raises StoreUnavailable: not done, or nobody knows.

    If cancelled, it may be done or not.
    """

    async def remember(self, name: str, value: str) -> None:
        """Set a setting of this store."""
        ...

    async def extend(self, name: str, text: str) -> None:
        """Add to the end of a setting, which begins empty; whoever adds to it at the same time, nothing is lost."""
        ...
