"""A file that is damaged as a whole is refused by one line that names it and says what to do; nothing waits for it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from store_support import arrived

from casework.actors.cli.app import main
from casework.runtime.errors import StoreInvalid
from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.urls import open_store
from tests.support.flow_scene import Ask, crew, runtime

PAGE = 4096


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def waits(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a store with a case that waits and has something in its inbox."""
    path = tmp_path / "cases.db"

    async def made() -> None:
        async with runtime(crew(waits), f"sqlite:///{path}") as machine:
            await machine.open("waits", "c1", Ask(3))
            await machine.wait("c1")
        store = await open_store(f"sqlite:///{path}", World())
        await store.deliver("default", "c1", "m", arrived("m", "go"))
        await store.aclose()

    anyio.run(made)
    return path


def page_of(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def no_header(path: Path) -> None:
    _overwrite(path, 0, b"SQLite formap 3\0")


def no_schema(path: Path) -> None:
    data = path.read_bytes()
    _overwrite(path, data.index(b"CREATE TABLE record"), b"CREATE TABLF record")


def no_cases(path: Path) -> None:
    _overwrite(path, (page_of(path, "case") - 1) * PAGE, bytes(PAGE))


def no_waits(path: Path) -> None:
    _overwrite(path, (page_of(path, "wait_due") - 1) * PAGE, b"\xff" * PAGE)


def no_end(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGES = [no_header, no_schema, no_cases, no_waits, no_end]


def named(damage: Callable[[Path], None]) -> str:
    return damage.__name__


@pytest.mark.parametrize("damage", DAMAGES, ids=named)
def test_a_runtime_on_a_damaged_file_ends_with_an_error_that_names_it_and_says_what_to_do(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    with pytest.raises((StoreInvalid, BaseExceptionGroup)) as raised:
        anyio.run(_work, f"sqlite:///{path}")
    error: BaseException = raised.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StoreInvalid)
    assert str(error).startswith(f"sqlite:///{path}: the file is damaged")
    assert "move it away with its `-wal` and `-shm`, restore the last backup" in str(error)


async def _work(url: str) -> None:
    with anyio.fail_after(10):
        async with runtime(crew(waits), url) as machine:
            await machine.open("waits", "c2", Ask(3))
            await machine.wait("c1")
            await anyio.sleep_forever()


@pytest.mark.parametrize("damage", DAMAGES, ids=named)
def test_the_command_says_in_one_line_what_is_wrong_with_a_damaged_file(
    path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(path)
    code = main(["verify", "--store", f"sqlite:///{path}"])
    out, err = capsys.readouterr()
    assert code in {1, 2}
    assert "Traceback" not in err
    assert "damaged" in (out if code == 1 else err)
    assert code == 1 or err.count("\n") == 1
