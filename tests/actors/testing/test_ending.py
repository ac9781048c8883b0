"""Two endings are compared by what matters, the gravest difference first."""

import re
from dataclasses import replace

import pytest

from casework.actors.testing.ending import Effects, Ending, difference
from casework.protocols.wire import Cost

WHOLE = Ending(
    value={"paid": 1},
    result="completed",
    standing="",
    effects=Effects({"pay 7": 1}, {"pay 7": ("k1",)}),
    cost=Cost(calls=2, micros=200),
    meaning={"c1": {"note (noted)": ['{"text": "a"}']}},
    watched=[1],
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


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    found = difference(WHOLE, replace(WHOLE, value="x" * 10_000))
    assert len(found) < 1_000
