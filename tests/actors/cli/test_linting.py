"""`casework lint` names what looks like personal data in a crew, as lines or as data, and says so by its exit code."""

import json
from pathlib import Path

import pytest

from tests.support.command_desk import Desk

HOME = Path(__file__).parents[3]
SHOP = """
from typing import Annotated
from msgspec import Struct
from casework.actors import Crew, Policy
from casework.actors.personal import kept
from casework.runtime import Case, Flow

class Order(Struct):
    email: str
    street: Annotated[str, kept("the courier \\x1b[31mprints it")]
    lines: "tuple[Line, ...]" = ()

class Line(Struct):
    iban: str
    again: tuple[Order, ...] = ()

async def order(case: Case, inputs: Order) -> Order:
    return inputs

crew = Crew("shop", flows=[Flow.of(order, inputs=Order)], policy=Policy(name="shop"))
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "shop.py").write_text(SHOP)
    return Desk(tmp_path)


def test_what_is_found_is_told_with_where_and_why_and_what_to_do(desk: Desk) -> None:
    run = desk("lint", "shop:crew", cwd=desk.folder)
    assert (run.returncode, run.stderr) == (1, "")
    *found, remedy, summed = run.stdout.splitlines()
    assert found == [
        "Order.email looks like an e-mail address: it is called 'email'",
        "  in flow order inputs.email, flow order returns.email",
        "Order.street looks like an address: it is called 'street'",
        "  may stay: the courier [31mprints it",
        "  in flow order inputs.street, flow order returns.street",
        "Line.iban looks like a bank account or card: it is called 'iban'",
        "  in flow order inputs.lines[].iban, flow order returns.lines[].iban",
    ]
    assert "Hand on a `Pointer` in its stead" in remedy
    assert summed == "shop: of 3 that look like raw personal data, 1 may stay"


def test_the_same_is_told_as_data(desk: Desk) -> None:
    run = desk("lint", "shop:crew", "--json", cwd=desk.folder)
    told = json.loads(run.stdout)
    assert (run.returncode, told["crew"], len(told["findings"])) == (1, "shop", 3)
    assert told["findings"][0] == {
        "field": "Order.email",
        "what": "an e-mail address",
        "why": "it is called 'email'",
        "places": ["flow order inputs.email", "flow order returns.email"],
        "kept": "",
    }
    assert "docs/personal.md" in told["remedy"]


def test_a_crew_whose_fields_may_all_stay_passes_and_a_crew_that_is_none_is_bad_input(desk: Desk) -> None:
    fine = desk("lint", "examples.bookkeeping.crew:crew", cwd=HOME)
    assert (fine.returncode, fine.stderr) == (0, "")
    assert fine.stdout.endswith("bookkeeping: of 2 that look like raw personal data, 2 may stay\n")
    none = desk("lint", "shop:Order", cwd=desk.folder)
    assert (none.returncode, none.stdout) == (2, "")
    assert "is of type StructMeta, not a Crew" in none.stderr
