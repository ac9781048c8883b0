"""The ruling of the gate to every tool: whether a call whose bytes are final may be made.

Synchronous, in a fixed order; it ends at the first rule that says no.
It does not know how a call is made, what a case does with a result, nor what a tool is for.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import Raw, Struct
from msgspec.structs import replace

from casework.actors.budgets import accounts_of
from casework.actors.declared import decode_declared
from casework.actors.errors import UndeclaredFields
from casework.actors.failures import describe_arguments
from casework.actors.permissions import Permission, Permissions
from casework.actors.policy import Policy, policy_hash
from casework.actors.repeats import Repeats
from casework.actors.tools import Tool, ToolRegistry
from casework.protocols.codec import Plain, plain
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Verdict
from casework.runtime.flow.replay import INNER
from casework.runtime.staff import CallRequest, CallResult, Ruling

#: The rule of a call that nothing speaks against.
ALLOWED: Final = "allowed"
#: How the caller of a call begins that an agent asks for.
BY_AGENT: Final = "task:"


class Denial(NamedTuple):
    """A rule that says no, and why."""

    rule: str
    why: str


@dataclass(slots=True, eq=False)
class Gate:
    """Rules on calls; one for each staff, shared by all cases."""

    tools: ToolRegistry
    policy: Policy
    permissions: Permissions
    policy_hash: str = field(init=False)
    _allowed: Verdict = field(init=False)
    """That of every call that nothing speaks against."""
    _repeats: Repeats = field(init=False, default_factory=Repeats)

    def __post_init__(self) -> None:
        self.policy_hash = policy_hash(self.policy)
        self._allowed = Verdict(allowed=True, rule=ALLOWED, policy_hash=self.policy_hash)

    def rule(self, request: CallRequest) -> Ruling:
        """Rule on a call whose bytes are final; asking again about the same step gives the same answer."""
        tool = self.tools.find(request.tool)
        inputs = self._read(request, tool)
        if isinstance(inputs, Denial):
            return Ruling(Verdict(allowed=False, rule=inputs.rule, why=inputs.why, policy_hash=self.policy_hash))
        assert tool is not None, "an unregistered tool is denied"
        policy, micros_max, verdict = self.policy, tool.micros_max, self._allowed
        approval = policy.approval(tool.name, tool.tier, _named(request.arguments)) if policy.approvals else None
        if approval is not None:
            verdict = replace(verdict, rule=approval.rule, why=f"{tool.tier}: {approval.title}")
        return Ruling(
            verdict,
            tool.tier,
            micros_max,
            accounts=self._accounts(request) if micros_max else (),
            approval=approval.title if approval else "",
            call_within_seconds=policy.timeouts.call_within_seconds,
            inputs=inputs,
        )

    def _accounts(self, request: CallRequest) -> tuple[str, ...]:
        """Name the accounts that a call draws from which costs something."""
        caller = request.grant.caller
        return accounts_of(request, self.permissions.of(caller).name if caller.startswith(BY_AGENT) else "")

    def heard(self, request: CallRequest, result: CallResult) -> None:
        """Hear what a call gave that was let through: one that gives something new is no loop."""
        if INNER in request.step_id:
            given = hash((result.failure, bytes(result.value)))
            self._repeats.ended(_scope(request), _call(request), request.step_id, given)

    def _read(self, request: CallRequest, tool: Tool | None) -> Struct | Denial:
        """Give the arguments of a call, or the first rule that says no, in the order in which they are asked."""
        name, grant = request.tool, request.grant
        if name in self.policy.denied:
            return Denial("policy.denied", self.policy.denied[name])
        if tool is None:
            return Denial("registered", f"no tool {name!r} is registered")
        # Who was let make a write is let have it undone, by the tool that the write names.
        undone = self.tools.find(request.undoes.tool) if request.undoes else None
        undoes = undone is not None and undone.undo == name
        denial = None if undoes else _permitted(tool, self.permissions.of(grant.caller), request)
        if denial is not None:
            return denial
        try:
            inputs = decode_declared(request.arguments, tool.arguments, f"tool {name}")
        except (UndeclaredFields, ProtocolError) as error:
            return Denial("schema", describe_arguments(error))
        if grant.calls_left < 1:
            return Denial("affordable.calls", "no call is left in the budget")
        if tool.micros_max > grant.micros_left:
            return Denial("affordable.money", f"may cost {tool.micros_max}, but {grant.micros_left} is left")
        return (self._loop(request) or inputs) if INNER in request.step_id else inputs

    def _loop(self, request: CallRequest) -> Denial | None:
        most = self.policy.bounds.repeats_max
        if self._repeats.count(_scope(request), _call(request), request.step_id) > most:
            return Denial(
                "loop", f"the same call, with the same result, was asked for more than {most} times in one task"
            )
        return None


def _scope(request: CallRequest) -> tuple[str, ...]:
    return *request.key, request.step_id.partition(INNER)[0]


def _call(request: CallRequest) -> tuple[str, int]:
    return request.tool, hash(bytes(request.arguments))


def _permitted(tool: Tool, permission: Permission, request: CallRequest) -> Denial | None:
    """Ask registry, agent, task and policy in turn; what any of them does not allow is denied."""
    grant, who, tier = request.grant, permission.name, tool.tier
    if tool.name not in permission.declared:
        return Denial("allowed.agent", f"{who} does not declare {tool.name}")
    if tool.name not in grant.tools_allowed:
        return Denial("allowed.task", f"the task does not allow {tool.name}")
    if tool.name not in permission.policy:
        return Denial("allowed.policy", f"the policy does not allow {who} {tool.name}")
    if tier.rank > grant.risk_tier.rank:
        return Denial("tier.task", f"{tier} is above {grant.risk_tier} of the task")
    if tier.rank > permission.tier_declared.rank:
        return Denial("tier.agent", f"{tier} is above {who}'s own tier")
    if tier.rank > permission.tier_policy.rank:
        return Denial("tier.policy", f"{tier} is above the policy's for {who}")
    return None


def _named(arguments: Raw) -> dict[str, Plain]:
    named = plain(arguments)
    return named if isinstance(named, dict) else {}
