"""How a write is undone: by which tool, with which arguments, and what is refused before anything runs."""

import math
from typing import Any

import pytest
from msgspec import Struct, field
from msgspec.structs import replace

from casework.actors.errors import ToolInvalid
from casework.actors.permissions import Permission
from casework.actors.policy import Policy, Retries, RetryTable
from casework.actors.tools import ToolContext, ToolRegistry, tool
from casework.actors.undoing import decide_undo
from casework.protocols.codec import pack, plain
from casework.protocols.wire import NIL, RiskTier
from casework.runtime.staff import Undoes
from tests.support.staff_scene import HandClock, Scene

POLICY = Policy(name="test", retry=RetryTable(reversible=Retries(attempts=3, backoff_seconds=1.0)))


class Parcel(Struct):
    order: str
    weight: int
    currency: str = "EUR"
    sender_name: str = field(default="us", name="from")


class Label(Struct):
    result: int
    order: str
    currency: str
    sender_name: str = field(name="from")


class Noted(Struct):
    order: str
    note: str = ""


class Foreign(Struct):
    invoice: str


async def stands(arguments: object, value: object, context: ToolContext) -> bool:
    return True


def write(name: str, takes: type[Struct], undo: str = "") -> Any:
    async def reach(arguments: Struct, context: ToolContext) -> int:
        return 7

    reach.__annotations__["arguments"] = takes
    tier = RiskTier.REVERSIBLE if undo else RiskTier.IRREVERSIBLE
    return tool(name=name, tier=tier, verify=stands, undo=undo)(reach)


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Parcel, context: ToolContext) -> int:
    return 7


def test_an_undo_takes_the_writes_arguments_by_name_with_their_defaults_and_its_result() -> None:
    tools = ToolRegistry([write("buy", Parcel, "cancel"), write("cancel", Label)])
    how = decide_undo(tools, POLICY, "buy", pack({"order": "o-7", "weight": 3}), pack(7))
    assert (how.tool, how.why) == ("cancel", "")
    assert plain(how.arguments) == {"order": "o-7", "result": 7, "currency": "EUR", "from": "us"}


def test_an_undo_is_tried_again_as_the_policy_has_reversible_things_tried_again() -> None:
    tools = ToolRegistry([write("buy", Parcel, "cancel"), write("cancel", Label)])
    assert decide_undo(tools, POLICY, "buy", pack({"order": "o", "weight": 3}), pack(7)).delays == (1.0, 2.0)


@pytest.mark.parametrize(
    ("name", "arguments", "value", "why"),
    [
        ("cancel", {"result": 7, "order": "o", "currency": "EUR", "from": "us"}, 7, "no tool undoes cancel"),
        ("gone", {}, 7, "no tool 'gone' is registered any more"),
        ("buy", {"order": "o", "weight": 3}, None, "cancel cannot be called"),
        ("buy", {"order": "o", "weight": 3, "colour": "red"}, 7, "cancel cannot be called"),
        ("buy", {"order": "o"}, 7, "cancel cannot be called"),
    ],
)
def test_what_cannot_be_undone_says_why(name: str, arguments: object, value: object, why: str) -> None:
    tools = ToolRegistry([write("buy", Parcel, "cancel"), write("cancel", Label)])
    how = decide_undo(tools, POLICY, name, pack(arguments), pack(value))
    assert (how.tool, bytes(how.arguments)) == ("", bytes(NIL))
    assert how.why.startswith(why)


def test_an_undo_may_need_less_and_have_more_that_has_a_default() -> None:
    tools = ToolRegistry([write("buy", Parcel, "forget"), write("forget", Noted)])
    how = decide_undo(tools, POLICY, "buy", pack({"order": "o-7", "weight": 3}), pack(7))
    assert plain(how.arguments) == {"order": "o-7"}


@pytest.mark.promise("TOOL-1")
@pytest.mark.parametrize(
    ("undo", "why"),
    [
        (write("other", Foreign), "which needs 'invoice': neither an argument of its own nor 'result'"),
        (look, "which only reads"),
    ],
)
def test_a_write_whose_undo_could_not_be_called_cannot_be_registered(undo: Any, why: str) -> None:
    with pytest.raises(ToolInvalid, match=why):
        ToolRegistry([write("buy", Parcel, undo.name), undo])


@pytest.mark.promise("GATE-1")
@pytest.mark.parametrize(("undoes", "allowed"), [("buy", True), ("pay", False), ("gone", False), ("", False)])
def test_the_gate_lets_an_undo_pass_that_nobody_was_allowed_if_it_is_the_one_of_the_write(
    undoes: str, allowed: bool
) -> None:
    scene = Scene(HandClock())
    tools = [write("buy", Parcel, "forget"), write("pay", Parcel), write("forget", Noted)]
    gate = scene.gate(tools, permission=Permission("worker"))
    request = scene.request("forget", {"order": "o-7"})
    request = replace(request, undoes=Undoes("work:buy", undoes) if undoes else None)
    assert gate.rule(request).verdict.allowed is allowed


def test_the_first_tries_are_all_there_are_where_the_policy_says_one() -> None:
    once = Policy(name="test", retry=RetryTable(reversible=Retries(attempts=1, delay_seconds_max=math.inf)))
    tools = ToolRegistry([write("buy", Parcel, "cancel"), write("cancel", Label)])
    assert decide_undo(tools, once, "buy", pack({"order": "o", "weight": 3}), pack(7)).delays == ()
