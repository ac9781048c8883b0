"""What tests of simulated crews share: killed processes settle nothing, so runs judge their own messages."""

import pytest


@pytest.fixture(autouse=True)
def conservation() -> None:
    """A killed process accounts for nothing; runs ask those that live at their end."""
