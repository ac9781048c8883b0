"""Says what is wrong with an exported case, without Casework: `python verifier.py case.json`.

This one file needs Python 3.11 and nothing else, so it can be kept beside an export for as long as the export is kept.
It recomputes the hash chain of each case from the records' own bytes, compares the chain's end with the head, and
holds what people read (the decoded content, the case's columns) against those bytes. A log whose frames retention or
compaction dropped still verifies, for their hashes are kept; what nothing covers any more is told. With `--archive`
for each file that compaction made, what was dropped is put back and verified as well. What it cannot see: a log that
was replaced as a whole, with its head and checksum. So it prints each head; compare it with one that was noted
elsewhere, or give that one with `--head`.

Exit codes: 0 everything is as written; 1 something is not; 2 the file cannot be read as an export, or nothing be told.
It does not know what a record means.
"""

import argparse
import base64
import hashlib
import io
import json
import math
import os
import re
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

#: The format, and its newest version that is read here.
FORMAT: Final = "casework-export"
VERSION: Final = 1
#: What stands before the first record of every case.
GENESIS: Final = bytes(32)
#: Arrays and maps inside one another that are followed in a frame; Casework makes none deeper than 64.
DEPTH_MAX: Final = 128
#: Columns of a case that its first record repeats; those that the last record which has them says; and all such ones.
OPENED_COLUMNS: Final = ("flow", "crew", "parent")
PINS: Final = ("version", "source_hash")
SAID_COLUMNS: Final = (*OPENED_COLUMNS, *PINS, "result")
NUMBERS: Final = ("length", "epoch", "opened_at", "changed_at", "chapter")
#: How a frame names a delivered file as evidence: by its reference, then its hash; a text may speak of any.
EVIDENCE: Final = re.compile(rb"artifact:([0-9a-f]{64})\xa6sha256\xd9\x40\1")
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
        read = _object(json.loads(text, object_pairs_hook=_pairs, parse_constant=int))  # which knows no NaN
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON that an export can be: {error}") from error
    if read.get("format") != FORMAT:
        raise Unreadable(f"it is no export: its format is not {FORMAT!r}")
    version = read.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise Unreadable(f"its version is {version!r}, this verifier reads up to {VERSION}; use a newer one")
    return read


def findings(document: Mapping[str, object], *, put_back: bool = False) -> list[Finding]:
    """Give what is wrong, of each log the first place; where contents were put back, any others may be missing."""
    try:
        cases, artifacts, sealed = _maps(document, "cases"), _maps(document, "artifacts"), checksum(document)
    except (_Odd, RecursionError) as error:
        return [Finding("", None, str(error))]
    names = [(case.get("tenant"), case.get("case_id")) for case in cases]
    found = [] if cases else [Finding("", None, "it holds no case")]
    found += [finding for case in cases for finding in _case_findings(case, put_back=put_back)]
    found += [Finding(str(name[1]), None, "it is here twice") for name in names if names.count(name) > 1][:1]
    found += [finding for artifact in artifacts for finding in _artifact_findings(artifact)]
    if not found and document.get("with_children") is True:
        found = [finding for case in cases for finding in _missing_children(case, names)]
    if not found:
        unlisted = named(document) - {artifact["sha256"] for artifact in artifacts}
        found = [Finding("", None, f"artifact {name}: a frame names it, but not the list") for name in sorted(unlisted)]
    if document.get("checksum") != sealed:
        found.append(Finding("", None, "the file is not what was exported: its checksum is another"))
    return found


def named(document: Mapping[str, object], *, missing: bool = False) -> set[str]:
    """Give the hashes of the delivered files that frames name: all, or those whose bytes are not here."""
    entries = [each for case in _maps(document, "cases") for part in ("records", "inbox") for each in _maps(case, part)]
    frames = [_octets(entry, "frame") or b"" for entry in entries]
    here = {artifact["sha256"] for artifact in _maps(document, "artifacts") if artifact.get("data") is not None}
    return {name.decode() for frame in frames for name in EVIDENCE.findall(frame)} - (here if missing else set())


def joined(document: Mapping[str, object], *archives: Mapping[str, object]) -> dict[str, object]:
    """Put back what was dropped, from archives that have it under the same hash; all of them have been verified."""
    kept = {place: record for archive in archives for place, record in _places(archive) if record["frame"] is not None}
    made = cast("dict[str, object]", json.loads(_canonical(document)))
    for place, record in _places(made):
        record.update(kept.get(place, {}))
    made["artifacts"] = [artifact for each in (document, *archives) for artifact in _maps(each, "artifacts")]
    return {**made, "checksum": checksum(made)}


def _places(document: Mapping[str, object]) -> Iterator[tuple[tuple[object, ...], dict[str, object]]]:
    for case in _maps(document, "cases"):
        for record in _maps(case, "records"):
            yield (case["tenant"], case["case_id"], record["seq"], record["hash"]), record


def checksum(document: Mapping[str, object]) -> str:
    """Hash everything but the checksum itself; it shows accidents, the chain shows intent."""
    rest = _canonical({name: value for name, value in document.items() if name != "checksum"})
    return hashlib.sha256(rest.encode()).hexdigest()


def chained(previous: bytes, key: tuple[str, str], record: tuple[int, int, str, str, int], frame_hash: bytes) -> bytes:
    """Give a record's hash: over the one before it, tenant, case, seq, epoch, kind, step id, at and frame's hash."""
    parts = [part.encode() if isinstance(part, str) else part.to_bytes(8, "big") for part in (*key, *record)]
    # Length first, for two neighbours must not be able to trade bytes.
    measured = (len(part).to_bytes(4, "big") + part for part in (previous, *parts, frame_hash))
    return hashlib.sha256(b"".join(measured)).digest()


def _case_findings(case: Mapping[str, object], *, put_back: bool) -> list[Finding]:
    name = str(case.get("case_id"))
    try:
        key = (_text(case, "tenant"), _text(case, "case_id"))
        records, _ = _maps(case, "records"), [_octets(entry, "frame") for entry in _maps(case, "inbox")]
        head, (length, *_) = _hash(case, "head"), [_number(case, column) for column in NUMBERS]
        if not records:
            raise _Odd("its log is empty")
    except _Odd as odd:
        return [Finding(name, None, str(odd))]
    previous = GENESIS
    for place, record in enumerate(records):
        try:
            if record.get("seq") != place:
                raise _Odd(_misplaced([each.get("seq") for each in records], place))
            previous = _verified(previous, key, record)
        except _Odd as odd:
            return [Finding(name, place, str(odd))]
    if len(records) != length:
        return [Finding(name, len(records), f"the log ends here, but the case says it has {length} records")]
    if previous != head:
        return [Finding(name, len(records) - 1, "its hash is not the head: the end was cut off, or the head changed")]
    if not put_back and not _as_dropped(records):
        return [Finding(name, None, "contents are missing that neither retention nor compaction drops")]
    ended = records[-1].get("kind") == "closed"
    if case.get("status") not in (("closed",) if ended else ("open", "parked")):
        return [Finding(name, length - 1, "the case says another status than this record")]
    other = [(seq, column) for column, (seq, value) in _said(records).items() if case.get(column) != value]
    return [Finding(name, seq, f"the case says another {column} than this record") for seq, column in other]


def _misplaced(seqs: Sequence[object], place: int) -> str:
    if seqs[place] in seqs[:place]:
        return f"record {seqs[place]} is here a second time"
    return f"it and record {seqs[place]} are not in their order" if place in seqs else "it is missing"


def _verified(previous: bytes, key: tuple[str, str], record: Mapping[str, object]) -> bytes:
    """Give a record's hash after `previous`, if the record is what was written; _Odd if not."""
    place = (_number(record, "seq"), _number(record, "epoch"), _text(record, "kind"), _text(record, "step_id"))
    frame = _octets(record, "frame")
    frame_hash = _hash(record, "frame_hash") if frame is None else hashlib.sha256(frame).digest()
    made = chained(previous, key, (*place, _number(record, "at")), frame_hash)
    if made != _hash(record, "hash"):
        raise _Odd("it is not what was written: its hash does not follow from the record before it and its own bytes")
    content = None if frame is None else content_of(frame)
    if _canonical(record.get("content")) != _canonical(content):
        raise _Odd("the content that is shown is not what its frame says")
    return made


def _as_dropped(records: Sequence[Mapping[str, object]]) -> bool:
    """Say whether contents are missing as after retention, all, or compaction, before a chapter but the first."""
    gone = [seq for seq, record in enumerate(records) if record.get("frame") is None]
    kinds = [record.get("kind") for record in records]
    compacted = gone == [*range(1, len(gone) + 1)] and kinds[len(gone) + 1 :][:1] == ["chapter"]
    return not gone or compacted or (len(gone) == len(records) and kinds[-1] == "closed")


def _said(records: Sequence[Mapping[str, object]]) -> dict[str, tuple[int, object]]:
    """Give what records say of their case's columns, each with its record; what has no contents says nothing."""
    contents = [_object(record.get("content")) for record in records]
    chapter = max((seq for seq, record in enumerate(records) if record.get("kind") == "chapter"), default=0)
    said: dict[str, tuple[int, object]] = {"opened_at": (0, records[0].get("at")), "chapter": (chapter, chapter)}
    if records[0].get("kind") == "opened" and contents[0]:
        said |= {column: (0, contents[0].get(column, "")) for column in OPENED_COLUMNS}
    # The last one that says them: a later record may have moved the case to other code.
    for seq, content in enumerate(contents):
        if {*PINS} <= content.keys():
            said |= {column: (seq, content[column]) for column in PINS}
    ended = records[-1].get("kind") == "closed"
    if contents[-1] or not ended:
        said["result"] = (len(records) - 1, contents[-1].get("result") if ended else "")
    return said


def uncovered(case: Mapping[str, object]) -> str:
    """Name the columns of a case without findings that nothing covers, for the contents that say them were dropped."""
    return ", ".join(sorted({*SAID_COLUMNS} - _said(_maps(case, "records")).keys()))


def _missing_children(case: Mapping[str, object], names: Sequence[tuple[object, object]]) -> Iterator[Finding]:
    for seq, record in enumerate(_maps(case, "records")):
        child = _object(record.get("content")).get("case_id")
        if record.get("kind") == "child" and child is not None and (case.get("tenant"), child) not in names:
            yield Finding(str(case.get("case_id")), seq, f"it opened case {child}, which is not here")


def _artifact_findings(artifact: Mapping[str, object]) -> list[Finding]:
    try:
        name, data = _text(artifact, "sha256"), _octets(artifact, "data")
        if data is not None and hashlib.sha256(data).hexdigest() != name:
            raise _Odd("its bytes have another hash")
        if artifact.get("lost"):
            raise _Odd("a frame names it, but it is not in the store that was exported")
    except _Odd as odd:
        return [Finding("", None, f"artifact {artifact.get('sha256')}: {odd}")]
    return []


def content_of(frame: bytes) -> object:
    """Decode a frame's MessagePack for people, as plain JSON; None where it is no map with texts for names."""
    stream = io.BytesIO(frame)
    try:
        value = _value(stream, DEPTH_MAX)
    except (_Odd, UnicodeDecodeError):
        return None
    return cast("object", value) if isinstance(value, dict) and stream.tell() == len(frame) else None


#: Tags with a length or number behind them: how it is read, and what it is of.
_TAGS: Final = {
    0xC4: ("BHI", "bytes"), 0xC7: ("BHI", "extension"), 0xCA: ("fd", "number"), 0xCC: ("BHIQ", "number"),
    0xD0: ("bhiq", "number"), 0xD9: ("BHI", "text"), 0xDC: ("HI", "array"), 0xDE: ("HI", "map"),
}  # fmt: skip
_FORMS: Final = {
    start + place: (f">{form}", kind) for start, (forms, kind) in _TAGS.items() for place, form in enumerate(forms)
}
_SINGLE: Final = {0xC0: None, 0xC2: False, 0xC3: True}


def _value(stream: io.BytesIO, depth: int) -> object:
    tag = _taken(stream, 1)[0]
    if depth == 0:
        raise _Odd("it is too deep")
    if tag < 0x80 or tag >= 0xE0:
        return tag if tag < 0x80 else tag - 256
    if tag in _SINGLE:
        return _SINGLE[tag]
    if tag < 0xC0:
        kind, number = ("map", tag & 15) if tag < 0x90 else ("array", tag & 15) if tag < 0xA0 else ("text", tag & 31)
    elif 0xD4 <= tag <= 0xD8:
        kind, number = "extension", 1 << (tag - 0xD4)
    elif tag in _FORMS:
        form, kind = _FORMS[tag]
        (number,) = struct.unpack(form, _taken(stream, struct.calcsize(form)))
    else:
        raise _Odd("there is no such tag")
    if kind == "number":
        return number if math.isfinite(number) else str(number)
    if kind == "array":
        return [_value(stream, depth - 1) for _ in range(number)]
    if kind == "map":
        pairs = [(_value(stream, depth - 1), _value(stream, depth - 1)) for _ in range(number)]
        if len(made := {name: value for name, value in pairs if isinstance(name, str)}) < number:
            raise _Odd("a name is no text, or is there twice")
        return made
    part = _taken(stream, number + (kind == "extension"))
    return part.decode() if kind == "text" else f"{kind} {base64.b64encode(part).decode()}"


def _taken(stream: io.BytesIO, count: int) -> bytes:
    if len(part := stream.read(count)) < count:
        raise _Odd("it ends too early")
    return part


# What the file holds can be anything; these give a value of the type that it must have.
def _octets(values: Mapping[str, object], name: str) -> bytes | None:
    try:
        return None if values.get(name) is None else base64.b64decode(_text(values, name), validate=True)
    except ValueError:
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


def _maps(values: Mapping[str, object], name: str) -> list[dict[str, object]]:
    value = values.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in cast("list[object]", value)):
        raise _Odd(f"{name} is no list of objects")
    return cast("list[dict[str, object]]", value)


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Verify the files that the arguments name, print what is wrong, and give the exit code."""
    parser = argparse.ArgumentParser(prog="verifier", description="Says what is wrong with an exported case.")
    parser.add_argument("file", type=Path, help="an export, as `casework export` writes it")
    parser.add_argument("--archive", type=Path, action="append", default=[], help="an earlier export with contents")
    parser.add_argument("--head", help="the hash, in hex, that the first case must end with, as noted elsewhere")
    arguments = parser.parse_args(argv)
    code, lines = _verdict((arguments.file, *arguments.archive), arguments.head)
    try:
        print("\n".join(ascii(line)[1:-1] for line in lines), file=sys.stderr if code == 2 else sys.stdout, flush=True)
    except OSError as error:
        # What Python still wants to flush at its end goes nowhere; who closed a pipe has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"the verdict could not be written: {error}", file=sys.stderr)
            return 2
    return code


def _verdict(paths: Sequence[Path], head: str | None) -> tuple[int, list[str]]:
    documents: list[dict[str, object]] = []
    for path in paths:
        try:
            documents.append(load(path.read_bytes()))
        except (OSError, Unreadable) as error:
            return 2, [f"{path}: {error}"]
    found = [finding for document in documents for finding in findings(document)]
    document = documents[0] if found else joined(*documents)
    found = found or findings(document, put_back=True)
    if not found and head is not None and (case := _maps(document, "cases")[0])["head"] != head.lower():
        found = [Finding(str(case["case_id"]), None, f"its head is not {head}")]
    return (1, list(map(str, found))) if found else (0, _told(document))


def _told(document: Mapping[str, object]) -> list[str]:
    """Tell what is as written, with what nothing covers and what is not here."""
    lines: list[str] = []
    for case in _maps(document, "cases"):
        dropped = sum(record.get("frame") is None for record in _maps(case, "records"))
        gone = f", {dropped} of them without contents" if dropped else ""
        bare = f"; nothing covers its {bare} any more" if (bare := uncovered(case)) else ""
        lines.append(f"case {case['case_id']}: {case['length']} records{gone}, head {case['head']}{bare}")
    if files := named(document):
        lines.append(f"{len(files)} files are named, {len(named(document, missing=True))} of them are not here")
    return [*lines, f"{len(_maps(document, 'cases'))} cases, all as written"]


if __name__ == "__main__":
    sys.exit(main())
