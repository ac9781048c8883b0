"""What a crew's source may not use directly is found by file, line and name, with what to use in its place."""

from itertools import count
from pathlib import Path

import pytest

from casework.actors import CrewInvalid
from casework.actors.simulation import check_source

NUMBERS = count()


def written(folder: Path, **files: str) -> str:
    """Write a package that nobody has imported yet, and give the name of its module `crew`."""
    name = f"looked_through_{next(NUMBERS)}"
    package = folder / name
    package.mkdir()
    for file, text in {"__init__": "", **files}.items():
        (package / f"{file}.py").write_text(text, encoding="utf-8")
    return f"{name}.crew"


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("import time\ntime.time()", "time.time"),
        ("from time import monotonic as tick\ntick()", "time.monotonic"),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("from datetime import date\ndate.today()", "datetime.date.today"),
        ("import random\n[random.choice(x) for x in y]", "random.choice"),
        ("from uuid import uuid4\nf(default_factory=uuid4)", "uuid.uuid4"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("import os\nos.urandom(4)", "os.urandom"),
        ("import threading\nthreading.Thread(target=f)", "threading.Thread"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(1)", "asyncio.sleep"),
        ("import socket\nsocket.socket()", "socket.socket"),
    ],
)
def test_what_goes_round_the_world_is_found(
    source: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = check_source(written(tmp_path, crew=source))
    assert (found.call, found.line) == (call, len(source.splitlines()))
    assert Path(found.file).parts[-1] == "crew.py"
    assert found.instead in str(found)


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef f(stream: random.Random) -> random.Random: ...",
        "import random\nclass A:\n    stream: random.Random",
        "import uuid\nuuid.UUID(text)",
        "import datetime\ndatetime.date(2026, 1, 1)",
        "def f(time):\n    return time.time()",
        "class random: ...\nrandom.choice = 1",
    ],
)
def test_what_only_looks_like_it_is_not_found(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert check_source(written(tmp_path, crew=source)) == ()


def test_modules_beside_the_crew_are_looked_through_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    other = written(tmp_path, crew="import random\nrandom.random()")
    crew = written(
        tmp_path,
        crew=f"from . import flows\nfrom .tools import pay\nimport {other}",
        flows="import time\ntime.sleep(1)",
        tools="import uuid\npay = uuid.uuid1",
        unused="import random\nrandom.random()",
    )
    assert [(Path(each.file).name, each.call) for each in check_source(crew)] == [
        ("flows.py", "time.sleep"),
        ("tools.py", "uuid.uuid1"),
    ]


def test_the_crew_of_the_examples_reads_no_clock() -> None:
    assert check_source("examples.bookkeeping.crew") == ()


@pytest.mark.parametrize("name", ["no.such.crew", "sys"])
def test_a_module_without_source_is_refused(name: str) -> None:
    with pytest.raises(CrewInvalid, match="no source"):
        check_source(name)


def test_a_module_that_is_no_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CrewInvalid, match="cannot be looked through"):
        check_source(written(tmp_path, crew="def :"))
