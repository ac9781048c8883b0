"""Registering tools: what each tier demands."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from casework.actors.errors import ToolInvalid, ToolUnknown
from casework.actors.tools import Tool, ToolContext, ToolRegistry, tool
from casework.protocols.wire import RiskTier


class Unbooking(Struct, frozen=True):
    booking: str


class Booking(Struct, frozen=True):
    amount: int


async def book(arguments: Booking, context: ToolContext) -> int:
    return arguments.amount


async def booked(arguments: Booking, value: int, context: ToolContext) -> bool:
    return value == arguments.amount


async def find(arguments: Booking, context: ToolContext) -> int | None:
    return None


def test_name_and_types_are_the_functions_own() -> None:
    made = tool(tier=RiskTier.READ_ONLY)(book)
    assert (made.name, made.arguments, made.returns) == ("book", Booking, int)


@pytest.mark.promise("TOOL-1")
def test_a_write_without_verify_is_refused() -> None:
    with pytest.raises(ToolInvalid, match="writes, so give `verify`"):
        tool(tier=RiskTier.IRREVERSIBLE)(book)


@pytest.mark.promise("TOOL-1")
def test_a_reversible_tool_without_undo_is_refused() -> None:
    with pytest.raises(ToolInvalid, match="name in `undo` what undoes it"):
        tool(tier=RiskTier.REVERSIBLE, verify=booked)(book)


def test_an_undo_that_nobody_registered_is_refused() -> None:
    made = tool(tier=RiskTier.REVERSIBLE, verify=booked, undo="unbook")(book)
    with pytest.raises(ToolInvalid, match="undone by 'unbook', which is not registered"):
        ToolRegistry([made])


def test_a_tool_that_undoes_itself_is_refused() -> None:
    made = tool(tier=RiskTier.REVERSIBLE, verify=booked, undo="book")(book)
    with pytest.raises(ToolInvalid, match="which would make it again"):
        ToolRegistry([made])


def test_two_tools_of_one_name_are_refused() -> None:
    made = tool(tier=RiskTier.READ_ONLY)(book)
    with pytest.raises(ToolInvalid, match="registered twice"):
        ToolRegistry([made, made])


def test_an_unknown_tool_is_named_with_those_there_are() -> None:
    registry = ToolRegistry([tool(tier=RiskTier.READ_ONLY)(book)])
    with pytest.raises(ToolUnknown, match="no tool 'submit' is registered; there is book"):
        registry.get("submit")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "not a name"}, "needs a name"),
        ({"arguments": dict}, "must be a msgspec.Struct"),
        ({"timeout_seconds": 0}, "timeout above 0"),
        ({"workers": 0}, "at least 1 worker"),
        ({"keyed": True}, "READ_ONLY"),
        ({"micros_max": -1}, "less than 0"),
        ({"micros_max": 10**15 + 1}, "nor more than"),
        ({"micros_max": 0.5}, "whole number of millionths"),
        ({"returns": type(None), "lookup": find}, "must return something"),
        ({"returns": int | None, "lookup": find}, "never None"),
        ({"returns": object, "lookup": find}, "never None"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    given = {"name": "read", "tier": RiskTier.READ_ONLY, "arguments": Booking, "returns": int, "body": book, **changes}
    with pytest.raises(ToolInvalid, match=why):
        Tool(**given)


def test_a_body_must_be_an_annotated_coroutine_function_of_two() -> None:
    def plain(arguments: Booking, context: ToolContext) -> int:
        return 1

    async def bare(arguments: Any, context: Any):  # type: ignore[no-untyped-def]  # what it lacks is the point
        return 1

    async def three(arguments: Booking, context: ToolContext, more: int) -> int:
        return 1

    async def either(arguments: Booking, context: ToolContext) -> Booking | Unbooking:
        return arguments

    wrong: tuple[tuple[Callable[..., Any], str], ...] = (
        (either, "what a frame can hold"),
        (plain, "async def"),
        (bare, "must annotate"),
        (three, "exactly"),
    )
    for function, why in wrong:
        with pytest.raises(ToolInvalid, match=why):
            tool(tier=RiskTier.READ_ONLY)(function)
