"""Somebody who knows the format changes an export and seals it anew: the verifier tells it, or tells what it cannot."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_scene import exported, waiting
from tests.support.verifying import VERIFIER, document, export, named_so, resealed, verified, wrong


def without_contents(made: dict[str, Any], *seqs: int) -> dict[str, Any]:
    """Drop contents of the first case as somebody does who leaves the chain whole."""
    for record in (made["cases"][0]["records"][seq] for seq in seqs):
        frame_hash = hashlib.sha256(base64.b64decode(record["frame"])).hexdigest()
        record.update(frame=None, content=None, frame_hash=frame_hash)
    return made


def test_contents_that_no_command_drops_so_are_found_and_hide_no_forged_column() -> None:
    last = len(document()["cases"][0]["records"]) - 1
    for seqs in ((0, last), (0,), (last,), (1,), (1, 2), range(last), range(1, last + 1)):
        changed = without_contents(document(), *seqs)
        changed["cases"][0].update(flow="forged", crew="forged", parent="forged", result="failed")
        assert wrong(changed) == ["case c1: contents are missing that neither retention nor compaction drops"]


async def test_what_follows_from_nothing_after_retention_is_told(tmp_path: Path) -> None:
    changed = without_contents(document(), *range(len(document()["cases"][0]["records"])))
    changed["cases"][0]["result"] = "failed"
    code, said = verified(tmp_path, json.dumps(resealed(changed)).encode())
    assert code == 0
    assert "; nothing covers its crew, flow, parent, result, source_hash, version any more" in said.splitlines()[0]
    assert "nothing covers" not in said.splitlines()[1]
    made = json.loads(await exported(await waiting()))
    waits = without_contents(made, *range(len(made["cases"][0]["records"])))
    assert "contents are missing" in wrong(waits)[0], "nothing drops all of a case that goes on"


def test_a_file_that_a_frame_names_is_here_or_told(tmp_path: Path) -> None:
    assert "1 files are named, 0 of them are not here" in verified(tmp_path, export())[1]
    left_out, unlisted = document(), document()
    left_out["artifacts"][0]["data"] = None
    code, said = verified(tmp_path, json.dumps(resealed(left_out)).encode())
    assert (code, "1 files are named, 1 of them are not here" in said) == (0, True)
    unlisted["artifacts"] = []
    assert "a frame names it, but not the list" in wrong(unlisted)[0]


def test_an_export_of_nothing_is_found(tmp_path: Path) -> None:
    nothing = json.dumps(resealed({**document(), "cases": [], "artifacts": []})).encode()
    for arguments in ((), ("--head", "00" * 32)):
        assert verified(tmp_path, nothing, *arguments) == (1, "it holds no case\n")


@pytest.mark.parametrize(
    "change",
    [
        {"result": "completed"}, {"status": "x"}, {"status": "closed"}, {"opened_at": 1.0}, {"opened_at": None},
        {"chapter": 1},
    ],
    ids=str,
)  # fmt: skip
async def test_a_case_that_waits_has_no_column_that_none_has(change: dict[str, Any]) -> None:
    made = json.loads(await exported(await waiting()))
    if change.get("opened_at"):
        change = {"opened_at": float(made["cases"][0]["opened_at"])}
    made["cases"][0].update(change)
    assert wrong(made)


def test_an_id_cannot_act_on_the_terminal_nor_look_like_a_line_of_its_own(tmp_path: Path) -> None:
    code, said = verified(tmp_path, named_so("\x1b[31m\n9 cases, all as written"))
    assert (code, len(said.splitlines()), said.isascii()) == (0, 3, True)
    assert "\x1b" not in said
    assert verified(tmp_path, named_so("\u4e2d"))[1].startswith("case \\u4e2d: ")


def test_what_is_nested_too_deep_to_be_hashed_is_no_crash(tmp_path: Path) -> None:
    for depth in (900, 960, 980, 985, 990, 995, 1_000, 5_000):
        deep = b'{"z": ' + b"[" * depth + b"]" * depth + b", " + export().lstrip()[1:]
        assert verified(tmp_path, deep)[0] in (1, 2)


def test_a_verdict_that_nobody_reads_to_its_end_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_bytes(export())
    command = f"{sys.executable} -I -S {VERIFIER} case.json"
    for redirected, code, said in ((" >&-", 0, b""), (" > /dev/full", 2, b"the verdict could not be written: ")):
        run = subprocess.run(
            ["sh", "-c", command + redirected], cwd=tmp_path, capture_output=True, timeout=30, check=False
        )
        assert (run.returncode, run.stderr[: len(said)], run.stderr.count(b"\n")) == (code, said, code // 2)
    with subprocess.Popen(command.split(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as piped:
        assert piped.stdout is not None
        piped.stdout.close()
        piped.wait(timeout=30)
        assert piped.stderr is not None
        assert (piped.returncode, piped.stderr.read()) == (0, b"")
