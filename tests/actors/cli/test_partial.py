"""A case that is partly done, as the command shows it: in the list, in the queue, in its story."""

import json

import pytest

from tests.support.command_desk import Desk


@pytest.mark.promise("SAGA-3")
def test_a_partial_case_is_told_by_every_command_and_closes_only_when_a_person_has_decided(desk: Desk) -> None:
    desk.put(parcel="x")
    desk("run", "partial_crew:crew", desk.input, "--out", desk.folder / "out")
    assert sorted(path.name for path in (desk.folder / "out").iterdir()) == ["parcel.letter"]
    (line,) = desk("cases").stdout.splitlines()
    assert "parked" in line
    assert "effect.partial" in line
    (review,) = json.loads(desk("review", "list", "--json").stdout)
    assert review["title"] == "Partly done: 1 done, 1 undone, 0 unknown"
    assert review["id"][:12] in desk("review", "list").stdout
    desk("review", "approve", review["id"], "--by", "ann")
    desk("run", "partial_crew:crew", desk.input, "--out", desk.folder / "out")
    (line,) = desk("cases").stdout.splitlines()
    assert "closed (partial)" in line
    story = desk("show", "parcel").stdout
    assert "the case is partial: 1 done, 1 undone, 0 unknown" in story
    assert "the case closed: partial" in story
    assert "error: tool 'pay' failed (error): the account is closed" in story
