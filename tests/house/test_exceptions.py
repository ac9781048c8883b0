"""An error is caught broadly only at the boundaries listed here, each with its reason."""

import ast
from pathlib import Path

import pytest
from sources import HOME, HOUSES, files, shown, tree

#: file: (how many, why). A handler that ends in a bare `raise` swallows nothing and need not be listed.
BOUNDARIES = {
    "actors/agent.py": (1, "an agent is somebody else's code; what it raises is an outcome"),
    "actors/calling.py": (2, "a tool is somebody else's code; what it raises is a result"),
    "actors/cli/app.py": (1, "the top of the command: from there on there is only the exit code"),
    "actors/cli/seed_worker.py": (1, "a crew and its scenario are somebody else's code; what ends a run is told"),
    "actors/crew.py": (1, "a crew's module is somebody else's code; what its import raises is told in one line"),
    "actors/sources.py": (1, "a source is somebody else's code; what it raises is told without what it says"),
    "examples/bookkeeping/photo.py": (1, "a reader of pictures fails in ways of its own; the receipt is then parked"),
    "protocols/codec.py": (
        2,
        "what a value's type, or an upcast, raises over bytes that are not as it takes them is a refusal",
    ),
    "protocols/errors.py": (1, "an error's text is somebody else's code; one that has none is told by its type"),
    "runtime/cell.py": (2, "what a handler, or a job in its name, raises goes to the asker and to supervision"),
    "runtime/flow/engine.py": (
        2,
        "a flow's error ends its branch; while branches are closed, its clean-up may fail too",
    ),
    "runtime/homes.py": (1, "a behavior that cannot be made is told to the sender whose message was to wake it"),
    "runtime/jobs.py": (1, "a job's failure goes to its cell, and so to supervision"),
    "runtime/life.py": (3, "what a behavior raises when it begins or ends goes to supervision"),
    "runtime/pool.py": (1, "a worker's behavior that cannot be made again is its pool's failure, and so its parent's"),
    "runtime/simulation/node.py": (1, "what a request raises is told to whoever asked, as over a net"),
    "runtime/store/sqlite_writer.py": (2, "on the writer thread an error belongs to the caller whose work raised it"),
}

BROAD = {"BaseException", "Exception"}


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler takes any error and keeps it."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(kind is None or ast.unparse(kind) in BROAD for kind in kinds)
    last = handler.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


@pytest.mark.parametrize("path", files(*HOUSES, "examples"), ids=shown)
def test_errors_are_caught_broadly_only_at_listed_boundaries(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler) and is_broad(node)]
    allowed, _ = BOUNDARIES.get(shown(path), (0, ""))
    assert len(lines) <= allowed, f"{shown(path)}, lines {lines}: name the errors, or list the boundary with its reason"


def test_no_boundary_is_listed_without_need() -> None:
    for name, (allowed, _) in BOUNDARIES.items():
        path = HOME / name
        if path.exists():
            found = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler) and is_broad(node)]
            assert len(found) == allowed, f"{name}: {len(found)} boundaries, {allowed} listed"
