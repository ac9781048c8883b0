"""Says what is wrong with an exported case, without Casework: `python verifier.py case.json`.

This one file needs Python 3.11 and nothing else, so it can be kept beside an export for as long as the export is kept.
It recomputes the hash chain of each case from the records' own bytes, compares the chain's end with the head, and
holds what people read (the decoded content, the case's columns) against those bytes. A record whose frame was dropped
by retention or compaction still verifies: its frame's hash stands in the frame's place. With `--archive` for each file
that compaction made, what was dropped is put back and verified as well.

What it cannot see: a log that was replaced as a whole, with its head and checksum. So it prints each head; compare it
with one that was noted elsewhere, or give that one with `--head`.

Exit codes: 0 everything is as written; 1 something is not; 2 the file cannot be read as an export.
It does not know what a record means.
"""

import argparse
import base64
import binascii
import hashlib
import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

FORMAT: Final = "casework-export"
#: The newest version of the format that is read here.
VERSION: Final = 1
#: What stands before the first record of every case.
GENESIS: Final = bytes(32)
#: Arrays and maps inside one another that are followed in a frame; Casework makes none deeper than 64.
DEPTH_MAX: Final = 128
#: Columns of a case that its first record repeats.
OPENED_COLUMNS: Final = ("flow", "crew", "parent")
#: Columns that the last record which has them says.
PINS: Final = ("version", "source_hash")
INTEGER_MAX: Final = (1 << 63) - 1


class Finding(NamedTuple):
    """One thing that is not as written."""

    case: str
    seq: int | None
    """Where in the case's log, if it is a record."""
    why: str

    def __str__(self) -> str:
        """Tell it in one line."""
        place = f"case {self.case}: " if self.case else ""
        return f"{place}{'' if self.seq is None else f'record {self.seq}: '}{self.why}"


class Unreadable(Exception):
    """The file is no export, or one of a newer version."""


class _Odd(Exception):
    """A value is not what it must be."""


def load(text: str | bytes) -> dict[str, object]:
    """Read an export's text, without judging it.

    Raises:
        Unreadable: it is no JSON, no export, or of a newer version.
    """
    try:
        document: object = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON that an export can be: {error}") from error
    read = _object(document)
    if read.get("format") != FORMAT:
        raise Unreadable(f"it is no export: its format is not {FORMAT!r}")
    version = read.get("version")
    if type(version) is not int or version < 1:
        raise Unreadable("it is no export: it has no version")
    if version > VERSION:
        raise Unreadable(f"its version is {version}, this verifier reads up to {VERSION}; use a newer one")
    return read


def findings(document: Mapping[str, object]) -> list[Finding]:
    """Give everything that is wrong; of each case's log the first place only, for what follows rests on it."""
    try:
        cases = [_map(each) for each in _list(document, "cases")]
        artifacts = [_map(each) for each in _list(document, "artifacts")]
    except _Odd as odd:
        return [Finding("", None, str(odd))]
    found = [finding for case in cases for finding in _case_findings(case)]
    names = [(case.get("tenant"), case.get("case_id")) for case in cases]
    found += [Finding(str(name[1]), None, "it is here twice") for name in names if names.count(name) > 1][:1]
    if document.get("with_children") is True:
        found += [finding for case in cases for finding in _missing_children(case, names)]
    found += [finding for artifact in artifacts for finding in _artifact_findings(artifact)]
    if document.get("checksum") != checksum(document):
        found.append(Finding("", None, "the file is not what was exported: its checksum is another"))
    return found


def joined(document: Mapping[str, object], *archives: Mapping[str, object]) -> dict[str, object]:
    """Put back what was dropped, from archives that have it under the same hash; all of them have been verified."""
    kept = {place: record for archive in archives for place, record in _places(archive) if record["frame"] is not None}
    made = cast("dict[str, object]", json.loads(_canonical(document)))
    for place, record in _places(made):
        if record["frame"] is None:
            record.update(kept.get(place, {}))
    return {**made, "checksum": checksum(made)}


def _places(document: Mapping[str, object]) -> Iterator[tuple[tuple[object, ...], dict[str, object]]]:
    for case in cast("list[dict[str, object]]", document["cases"]):
        for record in cast("list[dict[str, object]]", case["records"]):
            yield (case["tenant"], case["case_id"], record["seq"], record["hash"]), record


def checksum(document: Mapping[str, object]) -> str:
    """Hash everything but the checksum itself; it shows accidents, the chain shows intent."""
    rest = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(_canonical(rest).encode()).hexdigest()


def chained(previous: bytes, key: tuple[str, str], record: tuple[int, int, str, str, int], frame_hash: bytes) -> bytes:
    """Give a record's hash: over the one before it, tenant, case, seq, epoch, kind, step id, at and frame's hash."""
    seq, epoch, kind, step_id, at = record
    hasher = hashlib.sha256()
    numbers = [number.to_bytes(8, "big") for number in (seq, epoch, at)]
    texts = [text.encode() for text in (*key, kind, step_id)]
    for part in (previous, *texts[:2], *numbers[:2], *texts[2:], numbers[2], frame_hash):
        # Length first, for two neighbours must not be able to trade bytes.
        hasher.update(len(part).to_bytes(4, "big"))
        hasher.update(part)
    return hasher.digest()


def _case_findings(case: Mapping[str, object]) -> list[Finding]:
    name = str(case.get("case_id"))
    try:
        key = (_text(case, "tenant"), _text(case, "case_id"))
        records = [_map(each) for each in _list(case, "records")]
        length, head = _number(case, "length"), _hash(case, "head")
    except _Odd as odd:
        return [Finding(name, None, str(odd))]
    misplaced = _misplaced(records)
    previous = GENESIS
    for place, record in enumerate(records):
        if misplaced is not None and misplaced.seq == place:
            return [misplaced._replace(case=name)]
        try:
            previous = _verified(previous, key, record)
        except _Odd as odd:
            return [Finding(name, place, str(odd))]
    if misplaced is not None:
        return [misplaced._replace(case=name)]
    if len(records) != length:
        return [Finding(name, len(records), f"the log ends here, but the case says it has {length} records")]
    if previous != head:
        return [Finding(name, len(records) - 1, "its hash is not the head: the end was cut off, or the head changed")]
    return [Finding(name, seq, why) for seq, why in _column_findings(case, records)]


def _misplaced(records: Sequence[Mapping[str, object]]) -> Finding | None:
    seqs = [record.get("seq") for record in records]
    for place, seq in enumerate(seqs):
        if seq == place:
            continue
        if seq in seqs[:place]:
            return Finding("", place, f"record {seq} is here a second time")
        if place in seqs:
            return Finding("", place, f"it and record {seq} are not in their order")
        return Finding("", place, "it is missing")
    return None


def _verified(previous: bytes, key: tuple[str, str], record: Mapping[str, object]) -> bytes:
    """Give a record's hash after `previous`, if the record is what was written; _Odd if not."""
    place = (_number(record, "seq"), _number(record, "epoch"), _text(record, "kind"), _text(record, "step_id"))
    frame = None if record.get("frame") is None else _octets(record, "frame")
    frame_hash = _hash(record, "frame_hash") if frame is None else hashlib.sha256(frame).digest()
    made = chained(previous, key, (*place, _number(record, "at")), frame_hash)
    if made != _hash(record, "hash"):
        raise _Odd("it is not what was written: its hash does not follow from the record before it and its own bytes")
    content = None if frame is None else content_of(frame)
    if _canonical(record.get("content")) != _canonical(content):
        raise _Odd("the content that is shown is not what its frame says")
    return made


def _column_findings(case: Mapping[str, object], records: Sequence[Mapping[str, object]]) -> Iterator[tuple[int, str]]:
    """Hold the case's columns against its first and last record, as far as these can be read."""
    if not records:
        yield 0, "the log is empty"
        return
    first, last = records[0], records[-1]
    opened, closed = _object(first.get("content")), _object(last.get("content"))
    if case.get("opened_at") != first.get("at"):
        yield 0, "it was written at another moment than the case says it was opened"
    if first.get("kind") == "opened" and opened:
        for column in OPENED_COLUMNS:
            if case.get(column) != opened.get(column, ""):
                yield 0, f"the case says another {column} than this record"
        # A later record may have moved the case to other code.
        pinning = [seq for seq, record in enumerate(records) if {*PINS} <= _object(record.get("content")).keys()]
        pinned = _object(records[pinning[-1]].get("content")) if pinning else {}
        if any(case.get(column) != pinned.get(column) for column in PINS):
            yield pinning[-1] if pinning else 0, "the case says another version or source of its flow than this record"
    if (case.get("status") == "closed") is not (last.get("kind") == "closed"):
        yield len(records) - 1, f"the log ends with {last.get('kind')}, but the case says it is {case.get('status')}"
    if last.get("kind") == "closed" and closed and case.get("result") != closed.get("result"):
        yield len(records) - 1, "the case says another result than this record"


def _missing_children(case: Mapping[str, object], names: Sequence[tuple[object, object]]) -> Iterator[Finding]:
    records = case.get("records")
    for seq, record in enumerate(map(_object, cast("list[object]", records) if isinstance(records, list) else ())):
        child = _object(record.get("content")).get("case_id")
        if record.get("kind") == "child" and child is not None and (case.get("tenant"), child) not in names:
            yield Finding(str(case.get("case_id")), seq, f"it opened case {child}, which is not here")


def _artifact_findings(artifact: Mapping[str, object]) -> list[Finding]:
    try:
        name, data = _text(artifact, "sha256"), artifact.get("data")
        if data is not None and hashlib.sha256(_octets(artifact, "data")).hexdigest() != name:
            raise _Odd("its bytes have another hash")
    except _Odd as odd:
        return [Finding("", None, f"artifact {artifact.get('sha256')}: {odd}")]
    return []


def content_of(frame: bytes) -> object:
    """Decode a frame's MessagePack for people, as plain JSON; None where it is no map with texts for names."""
    try:
        value, end = _value(frame, 0, DEPTH_MAX)
    except (_Odd, IndexError, struct.error, UnicodeDecodeError):
        return None
    return cast("object", value) if isinstance(value, dict) and end == len(frame) else None


#: Tags with a length or number behind them: how to read it, and how many bytes it takes.
_FORMS: Final = {0xC4: "BHI", 0xC7: "BHI", 0xCA: "fd", 0xCC: "BHIQ", 0xD0: "bhiq", 0xD9: "BHI", 0xDC: "HI", 0xDE: "HI"}
_WIDTHS: Final = {
    start + place: (f">{form}", struct.calcsize(f">{form}"))
    for start, forms in _FORMS.items()
    for place, form in enumerate(forms)
}
_SINGLE: Final = {0xC0: None, 0xC2: False, 0xC3: True}


def _value(data: bytes, at: int, depth: int) -> tuple[object, int]:
    tag = data[at]
    at += 1
    if depth == 0:
        raise _Odd("it is too deep")
    if tag < 0x80 or tag >= 0xE0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag in _SINGLE:
        return _SINGLE[tag], at
    if tag < 0xC0:
        kind, count = ("map", tag & 15) if tag < 0x90 else ("array", tag & 15) if tag < 0xA0 else ("text", tag & 31)
        return _holding(data, at, kind, count, depth)
    if 0xD4 <= tag <= 0xD8:
        return _holding(data, at, "extension", 1 << (tag - 0xD4), depth)
    if tag not in _WIDTHS:
        raise _Odd("there is no such tag")
    form, width = _WIDTHS[tag]
    (number,) = struct.unpack_from(form, data, at)
    at += width
    if tag in (0xCA, 0xCB):
        return (number if math.isfinite(number) else str(number)), at
    if 0xCC <= tag <= 0xD3:
        return number, at
    kinds = {0xC4: "bytes", 0xC7: "extension", 0xD9: "text", 0xDC: "array", 0xDE: "map"}
    kind = kinds[max(start for start in kinds if start <= tag)]
    return _holding(data, at, kind, number, depth)


def _holding(data: bytes, at: int, kind: str, count: int, depth: int) -> tuple[object, int]:
    if kind == "array":
        elements: list[object] = []
        for _ in range(count):
            element, at = _value(data, at, depth - 1)
            elements.append(element)
        return elements, at
    if kind == "map":
        pairs: dict[str, object] = {}
        for _ in range(count):
            name, at = _value(data, at, depth - 1)
            if not isinstance(name, str) or name in pairs:
                raise _Odd("a name is no text, or is there twice")
            pairs[name], at = _value(data, at, depth - 1)
        return pairs, at
    end = at + count + (kind == "extension")
    part = data[at:end]
    if len(part) < end - at:
        raise _Odd("it ends too early")
    if kind == "text":
        return part.decode(), end
    return f"{kind} {base64.b64encode(part).decode()}", end


# What the file holds can be anything; these give a value of the type that it must have.


def _octets(values: Mapping[str, object], name: str) -> bytes:
    try:
        return base64.b64decode(_text(values, name), validate=True)
    except (binascii.Error, ValueError):
        raise _Odd(f"its {name} is no base64") from None


def _hash(values: Mapping[str, object], name: str) -> bytes:
    if len(text := _text(values, name)) != 64 or text.strip("0123456789abcdef"):
        raise _Odd(f"its {name} is no hash")
    return bytes.fromhex(text)


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or any(0xD800 <= ord(each) <= 0xDFFF for each in value):
        raise _Odd(f"its {name} is no text")
    return value


def _number(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise _Odd(f"its {name} is no number that was ever written")
    return value


def _list(values: Mapping[str, object], name: str) -> list[object]:
    value = values.get(name)
    if not isinstance(value, list):
        raise _Odd(f"{name} is no list")
    return cast("list[object]", value)


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _map(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Odd("a case, record or artifact is no object")
    return cast("dict[str, object]", value)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return made


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def main(argv: Sequence[str] | None = None) -> int:
    """Verify the files that the arguments name, print what is wrong, and give the exit code."""
    parser = argparse.ArgumentParser(prog="verifier", description="Says what is wrong with an exported case.")
    parser.add_argument("file", type=Path, help="an export, as `casework export` writes it")
    parser.add_argument("--archive", type=Path, action="append", default=[], help="an earlier export with contents")
    parser.add_argument("--head", help="the hash, in hex, that the first case must end with, as noted elsewhere")
    arguments = parser.parse_args(argv)
    documents: list[dict[str, object]] = []
    for path in (arguments.file, *arguments.archive):
        try:
            documents.append(load(path.read_bytes()))
        except (OSError, Unreadable) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
    found = [finding for document in documents for finding in findings(document)]
    document = documents[0] if found else joined(*documents)
    found = found or findings(document)
    cases = cast("list[dict[str, object]]", document["cases"]) if not found else []
    if cases and arguments.head is not None and cases[0]["head"] != arguments.head.lower():
        found.append(Finding(str(cases[0]["case_id"]), None, f"its head is not {arguments.head}"))
    for finding in found:
        print(ascii(str(finding))[1:-1])
    if found:
        return 1
    for case in cases:
        records = cast("list[dict[str, object]]", case["records"])
        dropped = sum(record.get("frame") is None for record in records)
        gone = f", {dropped} of them without contents" if dropped else ""
        print(f"case {case['case_id']}: {len(records)} records{gone}, head {case['head']}")
    print(f"{len(cases)} cases, all as written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
