"""The pictures beside the examples are what the command draws of them now."""

import subprocess
from pathlib import Path

import pytest

from tests.support.command_desk import COMMAND

HOME = Path(__file__).parents[2]


@pytest.mark.parametrize("example", ["refunds", "research"])
def test_the_picture_of_an_example_is_what_its_crew_declares(example: str, tmp_path: Path) -> None:
    drawn = tmp_path / "flow.svg"
    draw = [*COMMAND, "graph", f"examples.{example}.crew:crew", "--out", str(drawn)]
    subprocess.run(draw, cwd=HOME, check=True, capture_output=True, timeout=60)
    kept = HOME / "examples" / example / "flow.svg"
    assert drawn.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), f"draw it anew: {' '.join(draw)}"
