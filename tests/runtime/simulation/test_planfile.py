"""A plan of faults written by hand is read, or refused with the place and with what would be right."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.runtime.simulation.errors import FaultPlanInvalid
from casework.runtime.simulation.plan import FaultPlan, draw_plan
from casework.runtime.simulation.planfile import as_json, as_toml, load_plan, parse_plan


def test_a_plan_is_read_from_toml_and_from_json(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    for text in ("loss = 0.25\nheal_seconds = 30\n", '{"loss": 0.25, "heal_seconds": 30}'):
        file.write_text(text)
        assert load_plan(file) == FaultPlan(loss=0.25, heal_seconds=30.0)


def test_what_the_command_says_of_a_seed_is_a_plan_as_well() -> None:
    assert parse_plan('{"seed": 17, "plan": {"loss": 0.5}, "digest": ""}') == FaultPlan(loss=0.5)


def test_an_empty_file_is_a_plan_without_faults() -> None:
    assert parse_plan("") == parse_plan("{}") == FaultPlan()


@given(st.integers(0, 10**9))
def test_a_plan_that_was_written_down_is_the_same_plan(seed: int) -> None:
    plan = draw_plan(seed)
    assert parse_plan(as_toml(plan)) == parse_plan(as_json(plan)) == plan


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("los = 0.1", "los", "there is no such fault; did you mean loss?"),
        ("weather = 1", "weather", "there is no such fault; there are heal_seconds, latency_seconds,"),
        ("[loss]\nchance = 1", "loss", "must be a number, a chance from 0 (never) to 1 (always), not a table"),
        ("loss = '0.1'", "loss", "not a text"),
        ("loss = true", "loss", "not true or false"),
        ("loss = [0.1]", "loss", "not a list"),
        ("loss = 1.5", "loss", "is 1.5; it must be a chance from 0 (never) to 1 (always)"),
        ("loss = -0.1", "loss", "is -0.1; it must be a chance"),
        ("loss = nan", "loss", "is nan; it must be a chance"),
        ("delay_seconds = inf", "delay_seconds", "is inf; it must be seconds from 0 to 86400"),
        ("crash_steps = -1", "crash_steps", "is -1; it must be steps from 1 to 1000000000, or 0 for never"),
        ("loss = 0.1\nloss = 0.2", "line 2", "is no TOML: Cannot overwrite a value"),
        ("loss 0.1", "line 1, column 6", "is no TOML"),
        ("loss = 0.1\n\nloss = ", "line 3", "is no TOML"),
        ("a = " + "[" * 100_000, "", "is nested too deeply for a plan"),
        ('{"loss": 0.1', "line 1", "is no JSON"),
        ('{"loss": 0.1,\n "loss": 0.2}', "loss", "stands there twice; keep one of them"),
        ('{"loss": null}', "loss", "not nothing"),
        ('{"loss": NaN}', "loss", "is nan"),
        ('{"plan": 3}', "plan", "there is no such fault"),
        ('{"plan": {"los": 3}}', "los", "did you mean loss?"),
        ('{"a": ' + "[" * 100_000, "", "is nested too deeply for a plan"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_place_and_what_would_be_right(text: str, place: str, why: str) -> None:
    with pytest.raises(FaultPlanInvalid) as refused:
        parse_plan(text, file="faults.toml")
    assert (refused.value.file, refused.value.place) == ("faults.toml", place)
    assert why in refused.value.why


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"loss = 0.1\n\xff")
    (tmp_path / "long").write_text("#" * (1 << 21))
    for name, place, why in (
        ("none", "", "cannot be read: No such file or directory"),
        ("bytes", "line 2", "is not UTF-8"),
        ("long", "", "has 2097152 bytes; a plan has at most 1048576"),
    ):
        with pytest.raises(FaultPlanInvalid) as refused:
            load_plan(tmp_path / name)
        assert (refused.value.place, refused.value.why) == (place, why)
