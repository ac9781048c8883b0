"""Two endings are compared by what matters, the gravest difference first."""

import re
from dataclasses import replace

import pytest

from casework.actors.testing.ending import Effects, Ending, difference
from casework.protocols.codec import Plain
from casework.protocols.wire import Cost

WHOLE = Ending(
    value={"paid": 1},
    result="completed",
    standing="",
    effects=Effects({"pay 7": 1}, {"pay 7": ("k1",)}),
    cost=Cost(calls=2, micros=200),
    meaning={"c1": {"note (noted)": ['{"text": "a"}']}},
    watched=[1],
    calls={("bank.pay", "keyed"): 1, ("limit", "read"): 1},
    unsettled=0,
    appends=5,
)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(WHOLE, appends=9), ""),
        (replace(WHOLE, cost=Cost(calls=2, micros=400)), "the cost differs.*2 calls, 200 micros.*2 calls, 400 micros"),
        (replace(WHOLE, value=None), "what the flow returned differs"),
        (replace(WHOLE, result="failed", standing="no"), "how the case closed differs"),
        (replace(WHOLE, result="", standing="it waits"), "the case did not end: it waits"),
        (replace(WHOLE, watched=[1, 1]), "what `watch` saw differs"),
        (replace(WHOLE, effects=Effects({}, {})), r"pay 7 was made not at all \(keys: none\) instead of once"),
        (replace(WHOLE, effects=Effects({"pay 7": 2}, {"pay 7": ("k1", "k2")})), r"made twice \(keys: k1, k2\)"),
        (replace(WHOLE, meaning={}), r"step note \(noted\) of case c1 differs"),
        (replace(WHOLE, meaning={**WHOLE.meaning, "c2": {"x (call)": ["1"]}}), "of case c2 differs"),
    ],
)
def test_each_difference_that_matters_is_told(other: Ending, told: str) -> None:
    found = difference(WHOLE, other)
    if not told:
        assert not found
    else:
        assert re.search(told, found, flags=re.DOTALL), found


def test_a_run_with_a_write_that_nobody_saw_end_may_stop_but_may_make_nothing_twice() -> None:
    stopped = replace(WHOLE, result="", standing="it waits", effects=Effects({}, {}), unsettled=1)
    twice = replace(stopped, effects=Effects({"pay 7": 2}, {"pay 7": ("k1", "k2")}))
    assert not difference(WHOLE, stopped, may_stop=True)
    assert difference(WHOLE, replace(stopped, unsettled=0), may_stop=True)
    assert "twice" in difference(WHOLE, twice, may_stop=True)


def test_a_write_that_is_missing_because_nobody_saw_it_end_is_told_with_what_to_do() -> None:
    missing = replace(WHOLE, effects=Effects({}, {}))
    assert "`lookup`" in difference(WHOLE, replace(missing, unsettled=1))
    assert "`lookup`" not in difference(WHOLE, missing)


def test_a_case_that_stops_because_nobody_saw_a_write_end_is_told_with_what_to_do() -> None:
    stopped = replace(WHOLE, result="", standing="it waits")
    found = difference(WHOLE, replace(stopped, unsettled=1))
    assert found.startswith("the case did not end: it waits.")
    assert "`lookup`" in found
    assert "`lookup`" not in difference(WHOLE, stopped)


@pytest.mark.parametrize(
    ("times", "unsettled", "told"),
    [
        ({"pay 8": 1}, 0, "take time, chance and ids from its case"),
        ({"pay 8": 1}, 1, "take time, chance and ids from its case"),
        ({}, 0, "take time, chance and ids from its case"),
        ({"pay 7": 1, "pay 8": 1}, 0, "take time, chance and ids from its case"),
        ({"pay 7": 1, "undo 7": 1}, 1, "Nobody saw the write end"),
        ({"undo 7": 1}, 1, "Nobody saw the write end"),
        ({"pay 7": 2}, 0, "is made twice"),
    ],
)
def test_an_effect_that_differs_is_told_with_what_fits_it(times: dict[str, int], unsettled: int, told: str) -> None:
    found = difference(WHOLE, replace(WHOLE, effects=Effects(times, {}), unsettled=unsettled))
    assert told in found
    assert sum(each in found for each in ("take time", "Nobody saw", "is made twice")) == 1


@pytest.mark.parametrize(
    ("tool", "mark", "told"),
    [
        (
            "bank.pay",
            "keyed",
            "Tool 'bank.pay' was called again, since it is declared `keyed`: it must do nothing more",
        ),
        ("limit", "read", "Tool 'limit' was called again, since it is declared READ_ONLY: if it changes anything"),
        (
            "bank.claim",
            "lookup",
            "Tool 'bank.claim' was called again, since its `lookup` said that it had not happened",
        ),
    ],
)
def test_a_change_outside_is_told_with_what_is_right_for_each_tool_that_was_called_again(
    tool: str, mark: str, told: str
) -> None:
    changed = replace(WHOLE, watched=[1, 1])
    again = replace(changed, calls={**WHOLE.calls, (tool, mark): 2})
    assert told in difference(WHOLE, again)
    assert "Otherwise it was made outside of a tool" in difference(WHOLE, again)
    assert "was called again" not in difference(WHOLE, changed)
    assert "made outside of a tool is made again" in difference(WHOLE, changed)


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    found = difference(WHOLE, replace(WHOLE, value="x" * 10_000))
    assert len(found) < 1_000


def test_two_long_values_are_shown_from_where_they_part() -> None:
    found = difference(replace(WHOLE, value="x" * 1_000 + "a"), replace(WHOLE, value="x" * 1_000 + "b"))
    assert len(found) < 1_000
    assert re.search("not killed: …x+a\n  killed:     …x+b\n", found), found
    longer = difference(replace(WHOLE, value="x" * 1_000), replace(WHOLE, value="x" * 1_000 + "b"))
    assert re.search("not killed: …x+\n  killed:     …x+b\n", longer), longer


def test_of_two_long_lists_only_what_one_alone_has_is_shown() -> None:
    shared: list[Plain] = ["x" * 100 for _ in range(10)]
    found = difference(replace(WHOLE, value=[*shared, 7]), replace(WHOLE, value=[8, *shared]))
    assert "not killed: [7]\n  killed:     [8]" in found
    moved = difference(replace(WHOLE, value=[7, *shared]), replace(WHOLE, value=[*shared, 7]))
    assert "not killed: [7, " in moved, "in another order they have nothing alone"
