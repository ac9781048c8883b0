"""Plans of faults as text: a TOML or JSON file that a person may write, and what a plan looks like written down.

Only what differs from a plan without faults need stand there. A name that no fault has, a value of another type and a
chance beyond 1 are refused with the place, and with what would be right.
It does not know where plans come from, nor what they do.
"""

import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from casework.runtime.simulation.errors import FaultPlanInvalid
from casework.runtime.simulation.kinds import KINDS, Measure
from casework.runtime.simulation.plan import FaultPlan

#: Bytes that a file has at most; a longer one is no plan.
FILE_BYTES_MAX: Final = 1 << 20
#: The longest that anything may last, in seconds: a day.
SECONDS_MAX: Final = 86_400.0
#: The most steps between two deaths.
STEPS_MAX: Final = 1_000_000_000.0

NAMES: Final = FaultPlan.__struct_fields__


def load_plan(path: Path) -> FaultPlan:
    """Read a plan from a file.

    Raises:
        FaultPlanInvalid: it cannot be read, is neither TOML nor JSON, or says something that is no plan.
    """
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FaultPlanInvalid(file, "", f"cannot be read: {error.strerror or error}") from error
    if len(data) > FILE_BYTES_MAX:
        raise FaultPlanInvalid(file, "", f"has {len(data)} bytes; a plan has at most {FILE_BYTES_MAX}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FaultPlanInvalid(file, f"line {line}", "is not UTF-8") from error
    return parse_plan(text, file=file)


def parse_plan(text: str, *, file: str = "plan") -> FaultPlan:
    """Read a plan's text: TOML, or JSON if it begins with a brace; raises as `load_plan`.

    JSON may be the plan itself, or what the command says of a seed, which has the plan as its `plan`.
    """
    table = _json(text, file) if text.lstrip().startswith("{") else _toml(text, file)
    if isinstance(table.get("plan"), dict):
        table = cast("dict[str, Any]", table["plan"])
    for name, value in table.items():
        _check(file, name, value)
    return msgspec.convert(table, FaultPlan, strict=True)


def as_table(plan: FaultPlan) -> dict[str, float]:
    """Give what differs in a plan from one without faults."""
    calm = FaultPlan()
    return {name: getattr(plan, name) for name in NAMES if getattr(plan, name) != getattr(calm, name)}


def as_toml(plan: FaultPlan) -> str:
    """Write a plan as TOML that gives the same plan when it is read."""
    return "".join(f"{name} = {value!r}\n" for name, value in as_table(plan).items())


def as_json(plan: FaultPlan) -> str:
    """Write a plan as one line of JSON that gives the same plan when it is read."""
    return json.dumps(as_table(plan))


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why, _, place = str(error).removesuffix(")").partition(" (at ")
        if not place.startswith("line"):
            place = f"line {max(1, len(text.rstrip().splitlines()))}"
        raise FaultPlanInvalid(file, place, f"is no TOML: {why}") from error
    except RecursionError as error:
        raise FaultPlanInvalid(file, "", "is nested too deeply for a plan") from error


def _json(text: str, file: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise FaultPlanInvalid(file, twice, "stands there twice; keep one of them")
        return table

    try:
        table: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise FaultPlanInvalid(file, f"line {error.lineno}", f"is no JSON: {error.msg}") from error
    except RecursionError as error:
        raise FaultPlanInvalid(file, "", "is nested too deeply for a plan") from error
    return table


def _check(file: str, name: str, value: object) -> None:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
        raise FaultPlanInvalid(file, name, f"there is no such fault; {remedy}")
    least, most, what = _bounds(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultPlanInvalid(file, name, f"must be a number, {what}, not {_type(value)}")
    if math.isnan(value) or not least <= value <= most:
        raise FaultPlanInvalid(file, name, f"is {value}; it must be {what}")


def _bounds(name: str) -> tuple[float, float, str]:
    """Give the least and the most that a number of a plan may be, and both in words."""
    measure = KINDS[name].measure if name in KINDS else Measure.LONGEST
    if measure is Measure.CHANCE:
        return 0.0, 1.0, "a chance from 0 (never) to 1 (always)"
    if measure is Measure.STEPS:
        return 0.0, STEPS_MAX, f"steps from 1 to {STEPS_MAX:.0f}, or 0 for never"
    return 0.0, SECONDS_MAX, f"seconds from 0 to {SECONDS_MAX:.0f}"


def _type(value: object) -> str:
    names: Mapping[type, str] = {str: "a text", bool: "true or false", dict: "a table", list: "a list"}
    return names.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")
