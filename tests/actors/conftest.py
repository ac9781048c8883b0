"""Gives the tests of the staff their scene: a small crew, a clock moved by hand, a case that hears outcomes."""

import pytest

from tests.support.staff_scene import HandClock, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene(HandClock())
