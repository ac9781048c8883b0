"""The verifier finds every change of an exported case, alone in an empty folder, and takes what is as written."""

import base64
import copy
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casework.protocols.codec import encode
from casework.protocols.records import Noted
from casework.runtime import verifier
from casework.runtime.export import exported as export_text
from casework.runtime.store.archive import Transfer, without_frame
from casework.runtime.store.base import CaseKey, Record
from casework.runtime.store.chain import chained
from tests.support.export_scene import exported, finished, waiting
from tests.support.verifying import VERIFIER, document, export, resealed, verified, wrong


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path to every single value of an export."""
    if isinstance(value, dict | list) and value:
        for name, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*path, name))
    else:
        yield path


@functools.cache
def all_places() -> list[tuple[Any, ...]]:
    return list(places(document()))


#: Nobody can tell from a log what these were; only the checksum covers them.
UNCOVERED = {"waits", "inbox", "changed_at", "epoch", "with_children"}


def test_what_was_exported_verifies_alone_in_an_empty_folder(tmp_path: Path) -> None:
    code, said = verified(tmp_path, export())
    assert (code, said.splitlines()[-1]) == (0, "2 cases, all as written")
    assert f"head {document()['cases'][0]['head']}" in said


def test_it_runs_as_a_module_too(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_bytes(export())
    command = [sys.executable, "-m", "casework.runtime.verifier", str(tmp_path / "case.json")]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def test_it_imports_nothing_that_is_not_pythons_own() -> None:
    names = {line.split()[1].split(".")[0] for line in VERIFIER.read_text().splitlines() if line.startswith("from ")}
    names |= {line.split()[1] for line in VERIFIER.read_text().splitlines() if line.startswith("import ")}
    assert names <= sys.stdlib_module_names


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_any_single_change_of_any_value_is_found(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(all_places()))
    changed = document()
    holder: Any = changed
    for name in path[:-1]:
        holder = holder[name]
    old = holder[path[-1]]
    new = data.draw(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just([]), st.just({})))
    if json.dumps(new) == json.dumps(old):
        return
    holder[path[-1]] = new
    try:
        text = json.dumps(changed, ensure_ascii=True)
        found = [str(each) for each in verifier.findings(verifier.load(text))]
    except verifier.Unreadable:
        return
    assert found, path
    if path[0] == "cases" and len(path) > 2 and path[2] not in UNCOVERED:
        assert wrong(changed), f"{path}: only its checksum shows it"


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_single_bit_of_any_frame_or_hash_is_found(data: st.DataObject) -> None:
    changed = document()
    record = data.draw(st.sampled_from([each for case in changed["cases"] for each in case["records"]]))
    place = next(case["records"].index(record) for case in changed["cases"] if record in case["records"])
    if data.draw(st.booleans()):
        frame = bytearray(base64.b64decode(record["frame"]))
        bit = data.draw(st.integers(0, len(frame) * 8 - 1))
        frame[bit // 8] ^= 1 << bit % 8
        record["frame"] = base64.b64encode(frame).decode()
        record["content"] = verifier.content_of(bytes(frame))
    else:
        bit = data.draw(st.integers(0, 255))
        record["hash"] = f"{int(record['hash'], 16) ^ 1 << bit:064x}"
    assert f"record {place}:" in wrong(changed)[0]


def test_any_deleted_record_is_found_at_its_place() -> None:
    for seq in range(len(document()["cases"][0]["records"])):
        changed = document()
        del changed["cases"][0]["records"][seq]
        assert f"record {seq}:" in wrong(changed)[0]


def test_any_deleted_record_is_found_when_the_later_ones_close_the_gap() -> None:
    for seq in range(len(document()["cases"][0]["records"])):
        changed = document()
        case = changed["cases"][0]
        del case["records"][seq]
        case["length"] -= 1
        for later in case["records"][seq:]:
            later["seq"] -= 1
        assert f"record {min(seq, case['length'] - 1)}:" in wrong(changed)[0]


def test_any_two_swapped_records_are_found_at_the_first_of_them() -> None:
    count = len(document()["cases"][0]["records"])
    for left in range(count):
        for right in range(left + 1, count):
            for renumbered in (False, True):
                changed = document()
                records = changed["cases"][0]["records"]
                records[left], records[right] = records[right], records[left]
                if renumbered:
                    records[left]["seq"], records[right]["seq"] = left, right
                [first, *_] = wrong(changed)
                assert f"record {left}: " in first
                assert renumbered or "order" in first


def test_any_cut_tail_is_found_whether_or_not_the_length_was_changed_with_it() -> None:
    count = len(document()["cases"][0]["records"])
    for length in range(count):
        for said in (count, length):
            changed = document()
            del changed["cases"][0]["records"][length:]
            changed["cases"][0]["length"] = said
            assert wrong(changed)


def test_a_record_that_is_there_twice_or_was_moved_from_another_case_is_found() -> None:
    twice, moved = document(), document()
    twice["cases"][0]["records"].insert(2, copy.deepcopy(twice["cases"][0]["records"][1]))
    assert "record 2: record 1 is here a second time" in wrong(twice)[0]
    moved["cases"][0]["records"][1] = copy.deepcopy(moved["cases"][1]["records"][1])
    assert "record 1: it is not what was written" in wrong(moved)[0]


def test_a_child_that_was_left_out_is_found() -> None:
    changed = document()
    del changed["cases"][1]
    assert any("it opened case c1/kid, which is not here" in each for each in wrong(changed))


def test_a_case_that_is_there_twice_is_found() -> None:
    changed = document()
    changed["cases"].append(changed["cases"][1])
    assert any("twice" in each for each in wrong(changed))


def test_a_log_replaced_as_a_whole_shows_against_a_head_noted_elsewhere(tmp_path: Path) -> None:
    head = document()["cases"][0]["head"]
    assert verified(tmp_path, export(), "--head", head.upper())[0] == 0
    code, said = verified(tmp_path, export(), "--head", "00" * 32)
    assert (code, "its head is not 0000" in said) == (1, True)


def test_what_is_wrong_is_told_in_one_line_of_ascii(tmp_path: Path) -> None:
    changed = document()
    changed["cases"][0]["case_id"] = "\x1b[31m\nörk"
    code, said = verified(tmp_path, json.dumps(resealed(changed)).encode())
    assert (code, len(said.splitlines())) == (1, 1)
    assert said.isascii()
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "text",
    [None, b"", b"\xff\xfe\xff", b"[]", b'{"format": "other"}', b'{"format": "casework-export"}', b"[" * 100_000,
     b'{"format": "casework-export", "version": 2}', b'{"format": "casework-export", "version": 1, "version": 1}',
     b'{"format": "casework-export", "version": NaN}'],
    ids=lambda text: "absent" if text is None else repr(text[:44]),
)  # fmt: skip
def test_what_is_no_export_ends_with_2(text: bytes | None, tmp_path: Path) -> None:
    code, said = verified(tmp_path, text)
    assert (code, len(said.splitlines())) == (2, 1)


def test_an_export_of_other_things_ends_with_1(tmp_path: Path) -> None:
    shapes: tuple[object, ...] = (None, 1, [1], [None], [{}], [{"records": 1}], [{"records": [1]}])
    for cases in shapes:
        made = resealed({"format": "casework-export", "version": 1, "cases": cases, "artifacts": []})
        assert verified(tmp_path, json.dumps(made).encode())[0] == 1


async def test_a_case_that_waits_verifies_as_far_as_it_got() -> None:
    assert verifier.findings(verifier.load(await exported(await waiting()))) == []


async def test_records_whose_frames_were_dropped_verify_by_their_frames_hashes(tmp_path: Path) -> None:
    store = await finished()
    transfer = await store.transfer(CaseKey("default", "c1"))
    assert transfer is not None
    kept: Transfer = msgspec.structs.replace(transfer, records=tuple(map(without_frame, transfer.records)))
    text = export_text([kept], {})
    code, said = verified(tmp_path, text)
    assert code == 0
    assert f"{len(kept.records)} of them without contents" in said
    changed = json.loads(text)
    changed["cases"][0]["records"][3]["frame_hash"] = "00" * 32
    assert "record 3: it is not what was written" in wrong(changed)[0]


records = st.builds(
    Record,
    seq=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 2**63 - 1),
    kind=st.text(max_size=5),
    step_id=st.text(max_size=5),
    at=st.integers(0, 2**63 - 1),
    frame=st.binary(max_size=9),
)


@given(st.binary(min_size=32, max_size=32), st.text(max_size=5), st.text(max_size=5), records)
def test_its_chain_is_the_stores_chain(previous: bytes, tenant: str, case_id: str, record: Record) -> None:
    fields = (record.seq, record.epoch, record.kind, record.step_id, record.at)
    frame_hash = hashlib.sha256(record.frame).digest()
    made = verifier.chained(previous, (tenant, case_id), fields, frame_hash)
    assert made == chained(previous, CaseKey(tenant, case_id), record)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda below: st.lists(below, max_size=20) | st.dictionaries(st.text(max_size=4), below, max_size=8),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=40), plain, max_size=8))
def test_it_decodes_what_we_encode(value: dict[str, Any]) -> None:
    assert verifier.content_of(msgspec.msgpack.encode(value)) == value


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_it_decodes_texts_and_lists_of_any_length(size: int) -> None:
    value = {"text": "x" * size, "list": [1] * size, "map": {str(each): each for each in range(size)}}
    assert verifier.content_of(msgspec.msgpack.encode(value)) == value


def test_it_shows_what_json_has_no_word_for_as_text() -> None:
    value = {"bytes": b"\x00", "not a number": float("nan"), "ext": msgspec.msgpack.Ext(5, b"ab")}
    shown = {"bytes": "bytes AA==", "not a number": "nan", "ext": "extension BWFi"}
    assert verifier.content_of(msgspec.msgpack.encode(value)) == shown


@given(st.binary(max_size=60))
def test_bytes_that_are_no_frame_have_no_content_and_break_nothing(data: bytes) -> None:
    assert verifier.content_of(data) is None or isinstance(verifier.content_of(data), dict)


def test_a_frame_that_is_too_deep_has_no_content() -> None:
    assert verifier.content_of(b"\x81\xa1a" * 10_000 + b"\xc0") is None
    assert verifier.content_of(encode(Noted(text="x"))[:-1]) is None
