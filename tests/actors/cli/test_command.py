"""The command on real files, in processes of its own: what it prints, how it ends, what it leaves behind."""

import json
import os
import pty
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import urllib.request

import pytest

from tests.support.command_desk import COMMAND, SUPPORT, Desk, until_closed_brace
from tests.support.tiny_crew import PIPE


def test_run_closes_what_it_can_and_says_what_waits_and_why(desk: Desk) -> None:
    desk.put(fine="ok", late="wait", unclear="ask")
    done = desk.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 cases: 1 completed, 2 parked" in done.stdout
    assert "paper:late" in done.stdout
    assert "the paper is missing" in done.stdout
    assert "How much?" in done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("cases",), ("show", "late"), ("show", "nope"), ("nope",)])
def test_a_command_says_the_same_in_a_fork_and_started_from_nothing(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.put(fine="ok", late="wait")
    desk.run()
    with desk.start(*arguments) as process:
        out, err = process.communicate(timeout=30)
    forked = desk(*arguments)
    assert (process.returncode, out, err) == (forked.returncode, forked.stdout, forked.stderr)


def test_run_again_does_nothing_twice(desk: Desk) -> None:
    desk.put(fine="ok", late="wait")
    desk.run()
    before = desk("show", "fine").stdout
    assert desk.run().returncode == 0
    assert desk("show", "fine").stdout == before


def test_bad_input_is_one_line_each_with_exit_code_2_and_the_rest_goes_on(desk: Desk) -> None:
    desk.put(fine="ok", broken="bad")
    (desk.input / "photo.jpg").write_bytes(b"")
    done = desk.run()
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["photo.jpg:3: is no text", "broken.txt:1: this is no line"]
    assert "2 cases: 2 completed" in done.stdout


def test_run_speaks_json(desk: Desk) -> None:
    desk.put(fine="ok", late="wait")
    said = json.loads(desk.run("--json").stdout)
    assert said["cases"] == 2
    assert said["results"] == {"completed": 1, "parked": 1}
    assert said["parked"] == [{"case": "late", "key": "paper:late", "reason": "the paper is missing"}]


@pytest.mark.parametrize("target", ["late", "paper:late"])
def test_a_delivery_resumes_the_parked_case_when_nobody_owns_the_store(desk: Desk, target: str) -> None:
    desk.put(late="wait")
    desk.run()
    paper = desk.folder / "paper.pdf"
    paper.write_bytes(b"paper")
    # From another folder: the store remembers where its crew is found.
    done = desk("deliver", target, paper, cwd=desk.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "late: parked, waits for paper:late -> closed (completed)" in done.stdout
    assert "paper.pdf" in desk("show", "late").stdout


def test_a_delivery_is_kept_when_the_crew_cannot_be_imported(desk: Desk) -> None:
    desk.put(late="wait")
    shutil.copy(SUPPORT / "tiny_crew.py", desk.folder / "elsewhere.py")
    desk("run", "elsewhere:crew", desk.input, cwd=desk.folder)
    (desk.folder / "elsewhere.py").rename(desk.folder / "gone.py")
    shutil.rmtree(desk.folder / "__pycache__", ignore_errors=True)
    (desk.folder / "paper.pdf").write_bytes(b"paper")
    done = desk("deliver", "late", desk.folder / "paper.pdf")
    assert done.returncode == 0
    assert "recorded" in done.stderr
    assert "casework run elsewhere:crew" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (desk.folder / "gone.py").rename(desk.folder / "elsewhere.py")
    assert "1 cases: 1 completed" in desk("run", "elsewhere:crew", desk.input, cwd=desk.folder).stdout


def test_reviews_are_listed_shown_edited_and_decided_once(desk: Desk) -> None:
    desk.put(unclear="ask")
    desk.run()
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    assert listed["proposal"] == {"amount": "1.00", "pieces": 1}
    assert "How much?" in desk("review", "show", listed["id"][:8]).stdout
    wrong = desk("review", "edit", listed["id"], "--set", "amount=much", "--by", "ann")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    done = desk("review", "edit", listed["id"], "--set", "amount=2.50", "--set", "pieces=3", "--by", "ann")
    assert done.returncode == 0
    assert "closed (completed)" in done.stdout
    assert '"edit 2.50 3"' in desk("show", "unclear").stdout
    again = desk("review", "approve", listed["id"], "--by", "bob")
    assert (again.returncode, again.stdout, len(again.stderr.splitlines())) == (1, "", 1)
    assert "ann has decided already to edit" in again.stderr
    assert desk("review", "edit", listed["id"], "--set", "nothing=1", "--by", "bob").returncode == 1


def test_a_proposal_is_edited_from_a_file(desk: Desk) -> None:
    desk.put(unclear="ask")
    desk.run()
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    file = desk.folder / "proposal.json"
    file.write_text('{"amount": "3.00", "pieces": 2}')
    assert desk("review", "edit", listed["id"], "--proposal", file).returncode == 0
    assert '"edit 3.00 2"' in desk("show", "unclear").stdout


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_review_is_approved_or_rejected(desk: Desk, action: str) -> None:
    desk.put(unclear="ask")
    desk.run()
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    assert desk("review", action, listed["id"], "--by", "ann", "--reason", "because").returncode == 0
    assert f'"{action} 1.00 1"' in desk("show", "unclear").stdout
    assert "because" in desk("show", "unclear").stdout


def test_a_case_is_cancelled_with_its_reason(desk: Desk) -> None:
    desk.put(late="wait")
    desk.run()
    done = desk("cancel", "late", "--reason", "not needed", "--by", "ann")
    assert done.returncode == 0
    assert "closed (cancelled)" in done.stdout
    assert "not needed" in desk("show", "late").stdout


ASKING = """
from pathlib import Path
from msgspec import Struct
from casework.actors import Crew, Intake, OpenCase, Policy
from casework.runtime import Flow

class Amount(Struct, frozen=True):
    amount: str = "1.00"

async def ask(case, inputs):
    while (await case.review("How much?", inputs, rule="unclear")).value.amount != "2.00":
        await case.note("that is not enough\\x1b[31m; asked again", level="warning")
    while (await case.park("paper", reason="missing")).evidence.label != "right.pdf":
        await case.note("wrong paper; asked again", level="warning")

def intake(folder, settings):
    return Intake((OpenCase("ask", "sum", Amount()),))

crew = Crew("asking", flows=(Flow.of(ask, inputs=Amount),), policy=Policy(name="asking"), intake=intake)
"""


def test_a_case_that_asks_again_says_so_and_why(desk: Desk) -> None:
    (desk.folder / "asking.py").write_text(ASKING)
    assert desk("run", "asking:crew", desk.input, "--out", desk.folder / "out", cwd=desk.folder).returncode == 0
    again = desk("review", "approve", _open_review(desk), "--by", "ann")
    assert (again.returncode, again.stderr) == (0, "casework: warning: sum: that is not enough[31m; asked again\n")
    assert f"-> parked, waits for review {_open_review(desk)[:12]} again\n" in again.stdout
    assert desk("review", "edit", _open_review(desk), "--set", "amount=2.00").stderr == ""
    for name, text in (("wrong.pdf", "a"), ("right.pdf", "b")):
        (desk.folder / name).write_text(text)
    wrong = desk("deliver", "sum", desk.folder / "wrong.pdf", "--json")
    assert (wrong.returncode, wrong.stderr) == (0, "casework: warning: sum: wrong paper; asked again\n")
    (change,) = json.loads(wrong.stdout)["changed"]
    assert change["after"] == "parked, waits for paper again"
    right = desk("deliver", "sum", desk.folder / "right.pdf")
    assert (right.returncode, right.stderr) == (0, "")
    assert "closed (completed)" in right.stdout


def _open_review(desk: Desk) -> str:
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    return str(listed["id"])


def test_who_owns_the_store_hears_deliveries_and_decisions_of_other_processes(desk: Desk, served: str) -> None:
    paper = desk.folder / "paper.pdf"
    paper.write_bytes(b"paper")
    assert "late: parked, waits for paper:late -> closed (completed)" in desk("deliver", "late", paper).stdout
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    assert "closed (completed)" in desk("review", "approve", listed["id"]).stdout


def test_serve_shows_numbers_and_health_and_ends_in_order(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    with desk.start("serve", "tiny_crew:crew", "--port", str(_free_port()), "--json") as process:
        urls = json.loads(until_closed_brace(process))
        assert b"casework_cases_open" in _get(urls["metrics"])
        assert _get(urls["health"]) == b"alive\n"
        assert _get(urls["health"].replace("healthz", "readyz")) == b"ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_the_first_interrupt_drains_and_the_next_run_goes_on(desk: Desk) -> None:
    desk.put(fine="ok", held="hold")
    os.mkfifo(desk.folder / PIPE)
    with desk.start("run", "tiny_crew:crew", desk.input, "--out", desk.folder / "out") as process:
        with (desk.folder / PIPE).open("w") as writer:  # opens once an agent reads it
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "stopping: " in process.stderr.readline()
            writer.write("ok")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    (desk.folder / PIPE).unlink()
    (desk.folder / PIPE).write_text("ok")
    assert desk.run().returncode == 0
    assert "all as written" in desk("verify").stdout


def test_verify_finds_a_changed_record(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    assert desk("verify").returncode == 0
    with sqlite3.connect(desk.folder / "cases.db") as database:
        database.execute("update record set frame = cast(frame || x'c0' as blob) where seq = 1")
    database.close()
    found = desk("verify")
    assert found.returncode == 1
    assert "case fine record 1" in found.stdout
    assert desk.json("verify") != {"cases": 1, "findings": []}


def test_show_works_from_the_log_alone_and_strips_terminal_escapes(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    shown = desk("show", "fine").stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "Read fine [31maloud" in shown
    assert "decided on voice: low of [low, high] by rule quiet" in shown
    assert "reader/1 completed it" in shown
    assert "\x1b" not in desk("show", "fine", "--json").stdout


def test_trace_writes_a_file_for_the_jaeger_ui(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    file = desk.folder / "trace.json"
    assert desk("trace", "fine", "-o", file).returncode == 0
    (trace,) = json.loads(file.read_text())["data"]
    assert [span["operationName"] for span in trace["spans"]] == ["invoke_workflow line", "invoke_agent reader/1"]


@pytest.mark.parametrize("sub_command", ["show", "run"])
def test_a_reader_that_has_enough_is_no_error(desk: Desk, sub_command: str) -> None:
    desk.put(**{f"case-{number}": "ok" for number in range(3)})
    desk.run()
    arguments = {"show": ("case-1",), "run": ("tiny_crew:crew", desk.input)}[sub_command]
    with desk.start(sub_command, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_options_may_stand_before_what_they_are_for(desk: Desk) -> None:
    desk.put(unclear="ask")
    desk.run()
    (listed,) = json.loads(desk("review", "list", "--json").stdout)
    done = desk("review", "edit", "--set", "amount=2.50", "--set", "pieces=3", listed["id"])
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_progress_bar_on_a_terminal_and_none_in_a_pipe(desk: Desk) -> None:
    desk.put(fine="ok", late="wait")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny_crew:crew", str(desk.input), "--out", str(desk.folder / "out")],
        cwd=SUPPORT,
        env=desk.environ | {"TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            read = os.read(ours, 4096)
        except OSError:
            break
        if not read:
            break
        seen += read
    os.close(ours)
    assert process.wait(30) == 0
    assert b"cases" in seen
    assert desk.run().stderr == ""


def test_help_names_every_sub_command_and_the_exit_codes(desk: Desk) -> None:
    said = desk("--help").stdout
    for word in ("run", "cases", "show", "review", "deliver", "cancel", "verify", "trace", "serve", "Exit codes"):
        assert word in said


def _free_port() -> int:

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _get(url: str) -> bytes:
    last: OSError | None = None
    for _ in range(500):  # the process says where it will listen a moment before it does
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                read: bytes = answer.read()
                return read
        except OSError as error:
            last = error
    raise AssertionError(f"{url} does not answer: {last}")
