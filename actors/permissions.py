"""Who may use what: agents, flows and the policy brought together, once, when a crew takes up its work.

Callers are named as the engine names them: `task:<skill>` for an agent at work on a task, `flow:<name>` for a flow.
It does not know any single call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from casework.protocols.wire import RiskTier


@dataclass(slots=True, frozen=True)
class Permission:
    """What one caller declared for itself, and what the policy allows it."""

    name: str
    declared: frozenset[str] = frozenset()
    tier_declared: RiskTier = RiskTier.READ_ONLY
    policy: frozenset[str] = frozenset()
    tier_policy: RiskTier = RiskTier.READ_ONLY


class Permissions:
    """Permissions by caller; who is not named may do nothing."""

    def __init__(self, permissions: Mapping[str, Permission]) -> None:
        self._permissions: Final = dict(permissions)

    def of(self, caller: str) -> Permission:
        """Give what a caller may do."""
        return self._permissions.get(caller) or Permission(caller)
