"""What a runtime asks of a crew: its flows, and its agents at work for as long as the runtime is.

It does not know what a crew is made of.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Flow
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.base import StoreReader
from casework.runtime.telemetry import Telemetry


class Staffing(Protocol):
    """A crew, as the runtime sees it."""

    @property
    def name(self) -> str:
        """Name the crew."""
        ...

    @property
    def version(self) -> str:
        """Name its version."""
        ...

    @property
    def flows(self) -> Mapping[str, Flow]:
        """Give its flows by name."""
        ...

    def staff(
        self,
        system: ActorSystem,
        world: World,
        reader: StoreReader,
        settings: Mapping[str, str],
        telemetry: Telemetry,
    ) -> AbstractAsyncContextManager[Staff]:
        """Give its agents their actors for as long as the block lasts."""
        ...
