"""The command simulate on real crews, in processes of its own: what it finds, how it says so, how it ends."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.simulating import simulate
from casework.protocols.errors import CaseworkError
from tests.support.command_desk import COMMAND, SUPPORT, Desk

#: A crew without a safeguard, and a seed that finds it out.
HASTY = "hasty_shop:crew"
BAD_SEED = 1
#: A crew with every safeguard.
SHOP = "tests.support.shop_crew:crew"


def in_other_words(hasty: str, folder: Path, name: str = "crew_here") -> str:
    """Write the crew without a safeguard down as a module of its own, with changes; give its name."""
    (folder / f"{name}.py").write_text(hasty.replace("hasty_shop:", f"{name}:"))
    return f"{name}:crew"


@pytest.fixture
def hasty() -> str:
    return (SUPPORT / "hasty_shop.py").read_text()


def test_a_crew_with_every_safeguard_holds(desk: Desk) -> None:
    done = desk("simulate", SHOP, "--seeds", "6", "--jobs", "2", cwd=SUPPORT.parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 seeds, 36 case-runs, ")
    assert "seeds/s on 2 processes" in done.stdout
    assert "every invariant held" in done.stdout


def test_a_missing_safeguard_is_found_shrunk_and_repeated_byte_for_byte_by_the_printed_commands(desk: Desk) -> None:
    done = desk("simulate", HASTY, "--seeds", "4")
    assert (done.returncode, done.stderr) == (5, "")
    assert f"seed {BAD_SEED} broke paid_once" in done.stdout
    assert "paid_once: nobody is paid twice: r-c0 was paid 2 times" in done.stdout
    commands = [shlex.split(each) for each in re.findall(r"again:  casework (.*)", done.stdout)]
    digests = re.findall(r"digest: (\w+)", done.stdout)
    assert len(commands) == len(digests) >= 2
    for command, digest in zip(commands, digests, strict=True):
        again = desk(*command)
        assert (again.returncode, re.findall(r"digest: (\w+)", again.stdout)) == (5, [digest])
    # The last one is what was left of the faults.
    assert re.search(r"shrunk in \d+ runs: 1 of 12 kinds of fault left", done.stdout)
    assert "--faults" in commands[-1]


def test_what_is_left_of_a_plan_is_saved_as_a_file_that_fails_in_the_same_way(desk: Desk, hasty: str) -> None:
    crew = in_other_words(hasty.replace("] += 1", "] += 2"), desk.folder)
    done = desk("simulate", crew, "--seed", "1", "--shrink", "--save", "faults.toml", cwd=desk.folder)
    assert done.returncode == 5
    assert "seed 1, shrunk in 1 run: it fails without any fault" in done.stdout
    assert f"again:  casework simulate {crew} --seed 1 --faults faults.toml" in done.stdout
    again = desk("simulate", crew, "--seed", "1", "--faults", "faults.toml", cwd=desk.folder)
    digest, *_ = re.findall(r"digest: (\w+)", again.stdout)
    assert re.findall(r"digest: (\w+)", done.stdout)[-1] == digest


def test_what_is_said_of_a_seed_as_json_is_a_plan_that_can_be_fed_back(desk: Desk) -> None:
    file = desk.folder / "seed.json"
    done = desk("simulate", HASTY, "--seed", str(BAD_SEED), "--json")
    assert done.returncode == 5
    file.write_text(done.stdout)
    again = desk.json("simulate", HASTY, "--seed", str(BAD_SEED), "--faults", file)
    assert isinstance(again, dict)
    assert again["digest"] == json.loads(done.stdout)["digest"]


def test_without_faults_the_same_crew_holds(desk: Desk) -> None:
    done = desk("simulate", HASTY, "--seed", str(BAD_SEED), "--faults", "{}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"seed {BAD_SEED}: every invariant held" in done.stdout


def test_many_seeds_have_the_same_numbers_however_many_processes_run_them(desk: Desk) -> None:
    told: list[dict[str, Any]] = []
    for jobs in ("1", "3"):
        done = desk("simulate", SHOP, "--seeds", "5", "--from", "3", "--jobs", jobs, "--json", cwd=SUPPORT.parents[1])
        said = json.loads(done.stdout)
        told.append({name: value for name, value in said.items() if "second" not in name or name == "virtual_seconds"})
    assert told[0].pop("virtual_seconds") == pytest.approx(told[1].pop("virtual_seconds"))
    assert told[0] == told[1]
    assert told[0]["seeds"] == 5


def test_a_trace_tells_when_who_and_what(desk: Desk) -> None:
    done = desk("simulate", HASTY, "--seed", str(BAD_SEED), "--trace")
    assert done.returncode == 5
    lines = done.stdout.splitlines()
    moments = [float(line.split()[0]) for line in lines[: lines.index(f"seed {BAD_SEED} broke paid_once")]]
    assert moments == sorted(moments)
    assert re.search(r"^ +[\d.]+  [abc]\.\d +open_case r-c0$", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^ +[\d.]+  +bank\.pay happens$", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^ +[\d.]+  [abc]\.\d +died at \S+", done.stdout, flags=re.MULTILINE)
    assert re.search(r"append r-c0 #\d+ .*intent settle:bank\.pay", done.stdout)
    assert done.stdout == desk("simulate", HASTY, "--seed", str(BAD_SEED), "--trace").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tiny_crew:crew",), "has no scenario to simulate; name one: Crew(..., scenario='module:Class')"),
        ((HASTY, "--faults", '{"los": 1}'), "--faults: los: there is no such fault; did you mean loss?"),
        ((HASTY, "--seeds", "many"), 'unable to convert "many" into int'),
    ],
)
def test_every_mistake_is_one_line_that_says_what_is_right(desk: Desk, arguments: Sequence[str], words: str) -> None:
    done = desk("simulate", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("casework: error: ")
    assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 0}, "--seeds 0: how many is a number from 1"),
        ({"jobs": 0}, "--jobs 0: how many is a number from 1 to 64"),
        ({"from_": -1}, "--from -1: a seed is a number from 0"),
        ({"seed": 1, "seeds": 3}, "--seed names one seed"),
        ({"trace": True}, "name it by --seed"),
        ({"shrink": True, "seeds": 3}, "name it by --seed"),
        ({"faults": "/no/such/file"}, "/no/such/file: cannot be read: No such file or directory"),
        ({"faults": '{"loss": 2}'}, "--faults: loss: is 2; it must be a chance from 0"),
        ({"save": Path("/no/such/folder/faults")}, "there is no folder /no/such/folder; make it"),
        ({"save": Path("/")}, "/: is a folder; name a file in it"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_runs(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CaseworkError, match=re.escape(words)) as refused:
        simulate(SHOP, **options)
    assert not isinstance(refused.value, Quit) or refused.value.code is Exit.USAGE


def test_a_clock_that_is_read_directly_is_named_before_anything_runs(desk: Desk, hasty: str) -> None:
    source = hasty.replace("    for _ in range(3):", "    time.time()\n    for _ in range(3):")
    crew = in_other_words(f"import time\n{source}", desk.folder)
    done = desk("simulate", crew, "--seed", "3", "--faults", "{}", cwd=desk.folder)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert re.match(r"casework: warning: crew_here\.py:\d+: time\.time is not simulated; use case\.now\(\)", line)


def test_a_way_out_of_the_simulation_is_named(desk: Desk, hasty: str) -> None:
    crew = in_other_words(hasty.replace("    for _ in range(3):", "    open('x')\n    for _ in range(3):"), desk.folder)
    done = desk("simulate", crew, "--seeds", "2", cwd=desk.folder)
    assert done.returncode == 5
    assert "leak in 2 seeds, first in seed 0" in done.stdout
    assert re.search(r"leak: open was called at .*crew_here\.py:\d+ in refund", done.stdout)


def test_an_error_of_the_scenario_is_told_with_its_seed(desk: Desk, hasty: str) -> None:
    source = hasty.replace(
        "        self.books: Counter", "        assert number_of_the_seed\n        self.books: Counter"
    )
    done = desk("simulate", in_other_words(source, desk.folder), "--seeds", "2", cwd=desk.folder)
    assert done.returncode == 5
    assert "error: the run was ended by NameError: name 'number_of_the_seed' is not defined" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def dying(hasty: str, how: str, *, at: str) -> str:
    """Have the crew do something to its own process in the seeds in which somebody's draw is low."""
    born = f"        if randomness.stream('end').random() < {at}:\n            {how}\n        self.books: Counter"
    return f"import os, signal, sys\n{hasty.replace('        self.books: Counter', born)}"


def test_a_process_that_ends_is_told_with_its_seed_and_the_others_are_run(desk: Desk, hasty: str) -> None:
    crew = in_other_words(dying(hasty, "os.kill(os.getpid(), signal.SIGKILL)", at="0.5"), desk.folder)
    said = desk("simulate", crew, "--seeds", "8", "--jobs", "2", "--faults", "{}", "--json", cwd=desk.folder)
    assert said.returncode == 5
    told = json.loads(said.stdout)
    died = [each for each in told["failures"] if each["violations"][0]["invariant"] == "process_ended"]
    assert told["seeds"] == 8
    assert 1 <= len(died) == told["failing_seeds"] < 8
    assert all("killed by SIGKILL" in each["violations"][0]["sentence"] for each in died)


def test_where_one_process_after_another_ends_the_rest_is_given_up(desk: Desk, hasty: str) -> None:
    crew = in_other_words(dying(hasty, "os._exit(9)", at="2"), desk.folder)
    done = desk("simulate", crew, "--seeds", "50", "--jobs", "2", "--faults", "{}", cwd=desk.folder)
    assert done.returncode == 5
    assert "given up after 5 processes had ended" in done.stderr


def test_a_process_that_ends_before_any_seed_is_an_error(desk: Desk, hasty: str) -> None:
    source = f"import sys\nif 'casework.actors.cli.seeds' not in sys.modules:\n    sys.exit(7)\n{hasty}"
    done = desk("simulate", in_other_words(source, desk.folder), "--seeds", "5", cwd=desk.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a worker process ended before its first seed: exit code 7" in done.stderr


def test_a_seed_that_does_not_repeat_is_told_so(desk: Desk, hasty: str) -> None:
    source = hasty.replace("] += 1", "] += 2").replace('f"r-', 'f"r{os.getpid()}-').replace("r-c", "r{os.getpid()}-c")
    crew = in_other_words(f"import os\n{source}", desk.folder)
    done = desk("simulate", crew, "--seed", "1", "--shrink", cwd=desk.folder)
    assert done.returncode == 5
    assert "seed 1 went another way when it was run again" in done.stderr


def test_what_a_crew_prints_does_not_disturb_the_answers(desk: Desk, hasty: str) -> None:
    source = hasty.replace("        self.books: Counter", "        print('{}')\n        self.books: Counter")
    done = desk("simulate", in_other_words(source, desk.folder), "--seed", "1", "--json", cwd=desk.folder)
    assert (done.returncode, done.stderr) == (5, "{}\n")
    assert json.loads(done.stdout)["seed"] == 1


def test_a_point_that_no_seed_passes_can_be_made_a_failure(desk: Desk, hasty: str) -> None:
    source = hasty.replace('yield OpenCase("refund", f"r-{each.customer}", each)', "yield from ()")
    crew = in_other_words(source, desk.folder)
    arguments = ("simulate", crew, "--seeds", "2", "--faults", "{}")
    assert desk(*arguments, cwd=desk.folder).returncode == 0
    done = desk(*arguments, "--all-points", cwd=desk.folder)
    assert done.returncode == 1
    assert "no seed has passed" in done.stderr
    assert "bank.pay.before" in done.stderr


def test_an_interrupt_ends_the_workers_and_tells_what_was_found_so_far(desk: Desk) -> None:
    with desk.start("simulate", HASTY, "--seeds", "100000", "--jobs", "2") as process:
        workers = _until_children(process.pid, 2)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.match(r"\d+ seeds?, \d+ case-runs?, ", said)
    assert errors == "casework: note: stopping: what was found so far is told (again to stop at once)\n"
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def _until_children(parent: int, count: int) -> list[str]:
    """Wait until a process has so many children that have begun."""
    for _ in range(100_000):
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if len(children) >= count:
            return children
    raise AssertionError("it never started its workers")


def test_there_is_a_progress_bar_on_a_terminal(desk: Desk) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "simulate", HASTY, "--seeds", "3", "--faults", "{}"],
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
        seen += read
        if not read:
            break
    os.close(ours)
    assert process.wait(30) == 0
    assert b"seeds (0 failed)" in seen
