"""Every span, metric and attribute stands in one table, and only its own modules emit."""

import ast
from pathlib import Path

import pytest
from sources import HOUSES, files, imports, shown, tree

from casework.runtime import telemetry_table

EMITTERS = {
    "runtime/telemetry.py", "runtime/telemetry_spans.py", "runtime/telemetry_export.py", "runtime/telemetry_sdk.py",
}  # fmt: skip
TABLE = "runtime/telemetry_table.py"
#: Writes a file out of the log, with tags of its own beside the names of the table; it emits nothing.
LOG_EXPORT = "actors/trace.py"
#: A table of a store, called as the product is so that it stands in nobody's way.
STORE_TABLE = "casework_version"
LIBRARIES = ("opentelemetry", "prometheus_client")


def names() -> list[str]:
    """Give every name of the table."""
    rows = (*telemetry_table.ATTRIBUTES, *telemetry_table.SPANS, *telemetry_table.METRICS)
    return [row.name for row in rows]


@pytest.mark.parametrize("path", files(*HOUSES, "examples"), ids=shown)
def test_only_the_telemetry_modules_know_how_telemetry_is_emitted(path: Path) -> None:
    lines = [found.line for found in imports(path) if found.module.split(".")[0] in LIBRARIES]
    assert not lines or shown(path) in EMITTERS


@pytest.mark.parametrize("path", files(*HOUSES, "examples"), ids=shown)
def test_telemetry_is_the_only_door_to_its_modules(path: Path) -> None:
    behind = {f"casework.runtime.{name}" for name in ("telemetry_spans", "telemetry_export", "telemetry_sdk")}
    lines = [found.line for found in imports(path) if found.module in behind]
    assert not lines or shown(path) in {"runtime/telemetry.py", "runtime/telemetry_export.py"}


def test_no_name_stands_in_the_table_twice() -> None:
    assert len(names()) == len(set(names()))


def test_every_attribute_of_a_span_is_in_the_table() -> None:
    attributes = {row.name for row in telemetry_table.ATTRIBUTES}
    for span in telemetry_table.SPANS:
        assert set(span.attributes) <= attributes, span.name


def test_every_attribute_belongs_to_a_span() -> None:
    used = {attribute for span in telemetry_table.SPANS for attribute in span.attributes}
    assert {row.name for row in telemetry_table.ATTRIBUTES} == used


@pytest.mark.parametrize("path", files(*HOUSES), ids=shown)
def test_no_metric_or_attribute_is_named_outside_the_table(path: Path) -> None:
    if shown(path) in {TABLE, LOG_EXPORT}:
        return
    prefixes = ("casework_", "gen_ai.", "messaging.", "casework.step.", "casework.task.")
    strays = [
        f"{shown(path)}:{node.lineno} {node.value!r}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith(prefixes) and " " not in node.value and node.value not in {*names(), STORE_TABLE}
    ]
    assert not strays, f"not in {TABLE}: {strays}"
