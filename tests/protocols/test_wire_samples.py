"""Frames that were written once are read for ever: the fixtures are bytes that stand in somebody's log."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from casework.protocols import codec, records, wire
from tests.protocols.wire_samples import FOLDER, SAMPLES, write_missing

FIXTURES = sorted(FOLDER.glob("*.json"))
KNOWN = {type_.__name__: type_ for type_ in (*records.Entry.__args__, wire.CallAsked, wire.CallAnswered)}
READERS = {"CallAsked": codec.decode_call_asked, "CallAnswered": codec.decode_call_answered}


def stored(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.promise("FRAME-9")
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_frame_of_an_earlier_version_still_means_what_it_meant(path: Path) -> None:
    sample = stored(path)
    frame = bytes.fromhex(sample["frame"])
    assert codec.plain_entry(frame) == sample["says"]
    message = READERS.get(sample["type"], codec.decode_entry)(frame)
    assert type(message) is KNOWN[sample["type"]]
    said = codec.plain_entry(codec.encode(message))
    assert {name: said[name] for name in sample["says"] if not isinstance(said[name], list)} == {
        name: value for name, value in sample["says"].items() if not isinstance(value, list)
    }


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_tag_never_comes_to_mean_another_message(path: Path) -> None:
    sample = stored(path)
    assert KNOWN[sample["type"]].__struct_config__.tag == sample["says"]["type"] == path.stem


def test_every_message_has_a_sample_and_every_sample_its_fixture() -> None:
    assert {type(sample).__name__ for sample in SAMPLES} == set(KNOWN)
    assert {codec.kind_of(sample) for sample in SAMPLES} == {path.stem for path in FIXTURES}


@pytest.mark.parametrize("sample", SAMPLES, ids=codec.kind_of)
def test_a_sample_uses_every_field_so_that_its_fixture_holds_them_all(sample: msgspec.Struct) -> None:
    for field in msgspec.structs.fields(type(sample)):
        assert field.required or getattr(sample, field.name) != field.default, f"{field.name} is at its default"


def test_the_script_never_rewrites_a_fixture(tmp_path: Path) -> None:
    assert len(write_missing(tmp_path)) == len(SAMPLES)
    (tmp_path / "won.json").write_text("kept", encoding="utf-8")
    (tmp_path / "timer.json").unlink()
    assert write_missing(tmp_path) == ["timer.json"]
    assert (tmp_path / "won.json").read_text(encoding="utf-8") == "kept"
