"""What the gate says of a call before it is made: every rule that can say no does so, by its own name."""

from typing import Any

import pytest
from msgspec import Raw, Struct

from casework.actors.gate import ALLOWED
from casework.actors.permissions import Permission
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import pack
from casework.protocols.wire import RiskTier
from tests.support.staff_scene import Scene


class Amount(Struct, frozen=True):
    amount: int


async def fine(arguments: Amount, value: int, context: ToolContext) -> bool:
    return True


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


@tool(tier=RiskTier.REVERSIBLE, verify=fine, undo="unbook", micros_max=5)
async def book(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


@tool(tier=RiskTier.REVERSIBLE, verify=fine, undo="book")
async def unbook(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


TOOLS = [read, book, unbook]
READER = Permission("worker", frozenset({"read"}), RiskTier.READ_ONLY, frozenset({"read"}), RiskTier.READ_ONLY)
BOTH = frozenset({"read", "book"})
DENIED = '[denied]\nsubmit_vat_return = "high risk: it stays with a human"\n'


def test_an_allowed_call_carries_rule_tier_and_policy_hash(scene: Scene) -> None:
    gate = scene.gate(TOOLS)
    ruling = gate.rule(scene.request("book", micros=5))
    assert ruling.verdict.allowed
    assert (ruling.verdict.rule, ruling.tier, ruling.micros_max) == (ALLOWED, RiskTier.REVERSIBLE, 5)
    assert ruling.verdict.policy_hash == gate.policy_hash
    assert ruling.approval == ""


@pytest.mark.promise("GATE-1")
@pytest.mark.parametrize(
    ("rule", "request_of", "permission"),
    [
        ("registered", {"tool": "erase"}, None),
        ("allowed.agent", {"tool": "book"}, READER),
        ("allowed.task", {"tool": "read", "allowed": ("book",)}, None),
        ("allowed.policy", {"tool": "read"}, Permission("w", BOTH, RiskTier.IRREVERSIBLE)),
        ("tier.task", {"tool": "book", "tier": RiskTier.READ_ONLY}, None),
        ("tier.agent", {"tool": "book"}, Permission("w", BOTH, RiskTier.READ_ONLY, BOTH, RiskTier.IRREVERSIBLE)),
        ("tier.policy", {"tool": "book"}, Permission("w", BOTH, RiskTier.IRREVERSIBLE, BOTH, RiskTier.READ_ONLY)),
        ("schema", {"tool": "read", "arguments": {"amount": "seven"}}, None),
        ("schema", {"tool": "read", "arguments": {}}, None),
        ("schema", {"tool": "read", "arguments": {"amount": 7, "note": "x"}}, None),
        ("schema", {"tool": "read", "arguments": Raw(b"\xc1")}, None),
        ("affordable.calls", {"tool": "read", "calls": 0}, None),
        ("affordable.money", {"tool": "book", "micros": 4}, None),
        ("allowed.agent", {"tool": "read", "caller": "task:stranger"}, None),
    ],
)
def test_a_call_that_is_not_allowed_is_denied_by_the_rule_that_says_so(
    scene: Scene, rule: str, request_of: dict[str, Any], permission: Permission | None
) -> None:
    gate = scene.gate(TOOLS, permission=permission)
    ruling = gate.rule(scene.request(**request_of))
    assert not ruling.verdict.allowed
    assert ruling.verdict.rule == rule
    assert ruling.verdict.why
    assert ruling.verdict.policy_hash == gate.policy_hash


@pytest.mark.promise("GATE-1")
def test_submitting_a_vat_return_is_denied_by_the_policy_with_its_reason(scene: Scene) -> None:
    gate = scene.gate(TOOLS, DENIED)
    verdict = gate.rule(scene.request("submit_vat_return")).verdict
    assert (verdict.allowed, verdict.rule) == (False, "policy.denied")
    assert verdict.why == "high risk: it stays with a human"
    assert verdict.policy_hash == gate.policy_hash


def test_an_undeclared_field_is_named(scene: Scene) -> None:
    verdict = scene.gate(TOOLS).rule(scene.request("read", {"amount": 7, "iban": "x"})).verdict
    assert verdict.why == "tool read does not declare iban"


@pytest.mark.promise("GATE-3")
def test_the_same_call_over_and_over_within_a_task_is_a_loop(scene: Scene) -> None:
    gate = scene.gate(TOOLS, "[bounds]\nrepeats_max = 2\n")

    def rule(step: str, amount: int) -> str:
        return gate.rule(scene.request("read", {"amount": amount}, step=step)).verdict.rule

    assert [rule("work:read", 1), rule("work:read#1", 1), rule("work:read#2", 1)] == [ALLOWED, ALLOWED, "loop"]
    assert rule("work:read#3", 2) == ALLOWED
    assert rule("other:read", 1) == ALLOWED


def test_ruling_again_on_the_same_step_gives_the_same(scene: Scene) -> None:
    gate = scene.gate(TOOLS, "[bounds]\nrepeats_max = 1\n")
    request = scene.request("read", step="work:read")
    assert [gate.rule(request) for _ in range(5)] == [gate.rule(request)] * 5
    assert gate.rule(request).verdict.allowed


def test_a_rule_that_wants_a_person_names_itself_and_its_title(scene: Scene) -> None:
    text = (
        '[[approvals]]\nrule = "large"\ntitle = "Book much"\ntool = "book"\namount_field = "amount"\namount_above = 6\n'
    )
    gate = scene.gate(TOOLS, text)
    large, small = (gate.rule(scene.request("book", {"amount": amount}, micros=5)) for amount in (7, 6))
    assert (large.verdict.allowed, large.verdict.rule, large.approval) == (True, "large", "Book much")
    assert (small.verdict.rule, small.approval) == (ALLOWED, "")


def test_the_ruling_leaves_the_bytes_alone(scene: Scene) -> None:
    raw = pack({"amount": 7})
    request = scene.request("read", raw)
    scene.gate(TOOLS).rule(request)
    assert request.arguments is raw
