"""What crews under simulation have done to the world outside: every write that happened, whoever heard of it.

The books outlive every simulated process, as the world does. They honour keys as the tools declare it, answer whoever
reads back or looks up, and tell a person the truth. Each write bears the step of the case that made it, so that two
keys for one step show. They do not know whether a write was allowed.
"""

from contextvars import ContextVar
from typing import Final, final

from msgspec import Struct

from casework.actors.tools import Tool, ToolContext
from casework.protocols.wire import RiskTier

#: The step of the case whose call runs.
STEP: Final[ContextVar[str]] = ContextVar("step", default="")


class Effect(Struct, frozen=True, kw_only=True, eq=False):
    """One write that happened."""

    tool: str
    tier: RiskTier
    case_id: str
    step_id: str
    """The step of the case that made it."""
    key: str
    """Its idempotency key."""
    arguments: object
    """As the tool declares them."""
    value: object
    """What the tool returned."""
    at: float
    """Seconds of the run."""


@final
class Effects:
    """The books of one run."""

    def __init__(self) -> None:
        self.happened: list[Effect] = []
        self._by_key: dict[tuple[str, str], Effect] = {}

    def note(
        self, tool: Tool, arguments: object, context: ToolContext, *, step_id: str, value: object, at: float
    ) -> None:
        """Write down that a tool did something."""
        effect = Effect(
            tool=tool.name,
            tier=tool.tier,
            case_id=context.case_id,
            step_id=step_id,
            key=context.idempotency_key,
            arguments=arguments,
            value=value,
            at=at,
        )
        self.happened.append(effect)
        self._by_key.setdefault((tool.name, effect.key), effect)

    def find(self, tool: str, key: str) -> Effect | None:
        """Give what a tool did first under a key."""
        return self._by_key.get((tool, key))

    def honoured(self, tool: Tool, key: str, at: float) -> Effect | None:
        """Give what is done already, where the tool honours the key still and does it no second time."""
        earlier = self.find(tool.name, key) if tool.keyed else None
        return earlier if earlier is not None and at < earlier.at + tool.key_window_seconds else None

    def of_step(self, case_id: str, step_id: str) -> Effect | None:
        """Give what a step of a case has done, under whatever key."""
        return next((each for each in self.happened if (each.case_id, each.step_id) == (case_id, step_id)), None)
