"""Lets the house tests import what they share, by its file's name, and forgets the parsed files after the last one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)

if HERE not in sys.path:
    sys.path.append(HERE)


@pytest.fixture(scope="package", autouse=True)
def _trees_are_forgotten() -> Iterator[None]:
    """Every file as a tree is a million objects, through which every search for garbage after them would look."""
    yield
    # Imported late, for the path above is only just known.
    from sources import tree

    tree.cache_clear()
