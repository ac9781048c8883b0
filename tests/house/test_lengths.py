"""A file is read on a few screens, a function on one."""

import ast
from pathlib import Path

import pytest
from sources import HOME, HOUSES, files, shown, tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50

#: Files that may be longer, each with why a split would make it worse.
LONGER = {
    "tests/runtime/test_cell.py": "the whole life of a cell, told with the same two behaviors in each test",
}

FOLDERS = (*HOUSES, "examples", "benchmarks", "tests")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(function: Function, lines: list[str]) -> int:
    """Count a function's lines from its `def` on, without docstring, comments and blank lines."""
    first = function.body[0]
    docstring = range(0)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        docstring = range(first.lineno, (first.end_lineno or first.lineno) + 1)
    numbers = range(function.lineno, (function.end_lineno or function.lineno) + 1)
    texts = (lines[number - 1].strip() for number in numbers if number not in docstring)
    return sum(1 for text in texts if text and not text.startswith("#"))


@pytest.mark.parametrize("path", files(*FOLDERS), ids=shown)
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= FILE_LINES_MAX or shown(path) in LONGER, (
        f"{shown(path)} has {length} lines: give a noun its own file"
    )


@pytest.mark.parametrize("path", files(*FOLDERS), ids=shown)
def test_a_function_has_at_most_50_code_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, Function)]
    counted = {
        f"{shown(path)}:{function.lineno} {function.name}": code_lines(function, lines) for function in functions
    }
    too_long = {where: count for where, count in counted.items() if count > FUNCTION_LINES_MAX}
    assert not too_long, f"split these, deciding apart from doing: {too_long}"


def test_only_files_that_are_too_long_are_excused() -> None:
    for name in LONGER:
        path = HOME / name
        if path.exists():
            assert len(path.read_text(encoding="utf-8").splitlines()) > FILE_LINES_MAX, (
                f"{name} is short enough: unlist it"
            )
