"""Gives the tests of the staff their scene: a small crew, a clock moved by hand, a case that hears outcomes."""

import sys
from pathlib import Path

import pytest

SUPPORT = str(Path(__file__).parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)

from staff_scene import HandClock, Scene  # noqa: E402 - found on the path that the line above extends


@pytest.fixture
def scene() -> Scene:
    return Scene(HandClock())
