"""Terms: what a piece of work may use at most, handed down from pattern to pattern and only ever made narrower.

A pattern gives each part of its work terms that it made with `narrowed`; asking for more than one has is refused
there, before anything is sent. Money and calls that several parts share are divided by `shares`, not handed to each
of them whole. With them goes whether anybody above hears of a failure.
It does not know what the work is, nor what of it was used.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from casework.actors.errors import Widened
from casework.protocols.wire import Budget, Mandate, RiskTier

#: Seconds that work may take whose flow says nothing else: a week.
SECONDS: Final = 7 * 86_400.0


class Terms(Struct, frozen=True, kw_only=True):
    """Bounds of a piece of work."""

    deadline: int
    """Microseconds since the epoch."""
    calls: int
    """Tool and model calls of everything below, all attempts together."""
    micros: int = 0
    """Money in millionths of the account's currency."""
    tools: tuple[str, ...] = ()
    """Tools that everything below may ask for."""
    tier: RiskTier = RiskTier.READ_ONLY
    heard: bool = False
    """Somebody above hears of a failure and says what then; without, the case waits for a tool that does not answer."""

    def narrowed(
        self,
        part: str,
        *,
        deadline: int | None = None,
        calls: int | None = None,
        micros: int | None = None,
        tools: Sequence[str] | None = None,
        tier: RiskTier | None = None,
    ) -> "Terms":
        """Give the terms of a part of this work: what is not named stays as it is.

        A later deadline is not wider but void: the earlier one counts.

        Raises:
            Widened: the part asks for more than this work has; names the term.
        """
        given = replace(
            self,
            deadline=self.deadline if deadline is None else min(deadline, self.deadline),
            calls=self.calls if calls is None else calls,
            micros=self.micros if micros is None else micros,
            tools=self.tools if tools is None else tuple(tools),
            tier=self.tier if tier is None else tier,
        )
        extra = [tool for tool in given.tools if tool not in self.tools]
        checks = (
            ("calls", given.calls > self.calls, given.calls, self.calls),
            ("micros", given.micros > self.micros, given.micros, self.micros),
            ("tools", bool(extra), ", ".join(extra), ", ".join(self.tools) or "none"),
            ("tier", given.tier.rank > self.tier.rank, given.tier, self.tier),
        )
        for term, wider, asked, granted in checks:
            if wider:
                raise Widened(part, term, str(asked), str(granted))
        return given

    def within(self, mandate: Mandate) -> "Terms":
        """Give what of these terms the mandate of a case allows as well."""
        return replace(
            self,
            deadline=min(self.deadline, mandate.deadline),
            calls=min(self.calls, mandate.budget.calls),
            micros=min(self.micros, mandate.budget.micros),
            tools=tuple(tool for tool in self.tools if tool in mandate.tools_allowed),
            tier=min(self.tier, mandate.risk_tier, key=lambda tier: tier.rank),
        )

    def mandate(self) -> Mandate:
        """Give the mandate of a case that is opened within these terms."""
        return Mandate(
            tools_allowed=self.tools,
            risk_tier=self.tier,
            deadline=self.deadline,
            budget=Budget(calls=self.calls, micros=self.micros),
        )

    def shares(self, weights: Sequence[float], *, heard: bool = False) -> tuple["Terms", ...]:
        """Divide calls and money by weight, each rounded down; together they are never more than the whole.

        `heard`: whoever divides them hears of what fails, and says what then.
        """
        total = sum(weights)
        assert total > 0, "somebody gets something"
        return tuple(
            replace(
                self,
                calls=int(self.calls * weight / total),
                micros=int(self.micros * weight / total),
                heard=heard or self.heard,
            )
            for weight in weights
        )
