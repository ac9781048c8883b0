"""There is one way to a tool: only where calls are made do the names occur through which a tool is reached."""

import ast
from pathlib import Path

import pytest

import casework.actors.calling
import casework.runtime.staff

HOUSES = [Path(casework.actors.calling.__file__).parent, Path(casework.runtime.staff.__file__).parent]
#: What reaches the world when called, as attributes of a Tool.
REACHING = {"body", "verify", "lookup"}
#: Where they may be named: calls are made in one file, the registration checks that they are there.
ALLOWED = {"calling.py", "tools.py"}
#: Attributes of other things that have the same name.
OTHERS = {("actorsystem.py", "lookup"), ("behavior.py", "lookup")}
#: Makes a tool of a tool: only the gate calls the one, and so the other.
WRAPPED = {("sandbox.py", "body")}


def uses(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in REACHING}


@pytest.mark.promise("GATE-9")
def test_only_the_gate_reaches_a_tool() -> None:
    found = {
        (path.name, name)
        for house in HOUSES
        for path in house.rglob("*.py")
        if path.name not in ALLOWED
        for name in uses(path)
    }
    assert found <= OTHERS | WRAPPED


def test_the_registration_only_looks_whether_they_are_there() -> None:
    tree = ast.parse((HOUSES[0] / "tools.py").read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [func for func in calls if isinstance(func, ast.Attribute) and func.attr in REACHING]


def test_agents_do_not_know_tools() -> None:
    for name in ("agent.py", "supervisor.py", "desk.py"):
        tree = ast.parse((HOUSES[0] / name).read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"casework.actors.tools", "casework.actors.gate", "casework.actors.calling"}
