"""What commands write is whole or not there, and never stands in the place of a store."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.files import check_files, write_files
from tests.support.command_desk import Desk

#: Each command that makes a file, but where the file goes.
MAKERS = {
    "export": ("export", "fine", "-o"),
    "export's verifier": ("export", "fine", "-o", "fine.json", "--verifier"),
    "trace": ("trace", "fine", "-o"),
    "graph": ("graph", "tiny_crew:crew", "--out"),
    "simulate": ("simulate", "tiny_crew:crew", "--save"),
}


@pytest.fixture
def done(desk: Desk) -> Desk:
    """A desk with a finished case, whose crew lies in its folder."""
    desk.put(fine="ok")
    desk.run()
    shutil.copy(Path(__file__).parents[2] / "support" / "tiny_crew.py", desk.folder)
    return desk


@pytest.fixture
def database(done: Desk) -> Path:
    return done.folder / "cases.db"


def refused(path: Path) -> str:
    with pytest.raises(Quit) as raised:
        write_files((path, b"new"))
    assert raised.value.code is Exit.USAGE
    return str(raised.value)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_a_command_does_not_write_what_it_makes_over_the_store(
    done: Desk, database: Path, maker: tuple[str, ...]
) -> None:
    before = database.read_bytes()
    out = done(*maker, "cases.db", cwd=done.folder)
    assert (out.returncode, out.stdout, len(out.stderr.splitlines())) == (2, "", 1)
    assert out.stderr.startswith("casework: error: cases.db: that is a store")
    assert out.stderr.endswith("name another file\n")
    assert database.read_bytes() == before
    assert not (done.folder / "fine.json").exists()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock", ".sock", ".generation", ".generation.new"])
def test_nothing_is_written_over_what_stands_beside_a_store_nor_to_where_it_would_stand(
    database: Path, end: str
) -> None:
    beside = Path(f"{database}{end}")
    before = beside.read_bytes() if beside.exists() else None
    assert "a part of the store cases.db" in refused(beside)
    assert (beside.read_bytes() if beside.exists() else None) == before


def linked(path: Path, database: Path) -> None:
    path.symlink_to(database)


def linked_twice(path: Path, database: Path) -> None:
    between = path.with_name("between")
    between.symlink_to(database)
    path.symlink_to(between.name)


def named_anew(path: Path, database: Path) -> None:
    os.link(database, path)


def copied(path: Path, database: Path) -> None:
    shutil.copy(database, path)


def of_its_memory(path: Path, database: Path) -> None:
    path.symlink_to(f"{database}.generation")


@pytest.mark.parametrize("make", [linked, linked_twice, named_anew, copied, of_its_memory])
def test_a_store_is_known_by_whatever_name(database: Path, make: Callable[[Path, Path], None]) -> None:
    path = database.with_name("quarter.json")
    make(path, database)
    before = path.read_bytes()
    assert "would be lost; name another file" in refused(path)
    assert path.read_bytes() == before


def test_what_stands_beside_a_link_to_a_store_is_a_part_of_it(database: Path) -> None:
    link = database.with_name("link.db")
    link.symlink_to(database)
    assert "a part of the store link.db" in refused(Path(f"{link}.lock"))


def test_what_is_remembered_of_a_store_elsewhere_is_kept(tmp_path: Path) -> None:
    memory = tmp_path / "casework.generation"
    memory.write_text("{}")
    assert "what a store's owner remembers" in refused(memory)
    write_files((tmp_path / "first.generation", b"mine"))


def test_chapters_that_left_a_store_are_never_written_over(done: Desk) -> None:
    folder = done.folder / "casework-archive"
    folder.mkdir()
    chapters, link = folder / f"{'0a' * 32}.json", folder / "link.json"
    assert done("export", "fine", "-o", chapters).returncode == 0, "nothing is lost where nothing stands"
    before = chapters.read_bytes()
    link.symlink_to(chapters)
    for path in (chapters, link):
        assert "that is a file of chapters that left a store, which would be lost" in refused(path)
    out = done("export", "fine", "-o", done.folder / "fine.json", "--verifier", link)
    assert (out.returncode, out.stdout, chapters.read_bytes()) == (2, "", before)


def test_two_files_of_one_command_are_two(done: Desk) -> None:
    file, again, link = done.folder / "fine.json", done.folder / "." / "x" / ".." / "fine.json", done.folder / "link"
    (done.folder / "x").mkdir()
    link.symlink_to(file)
    for other in (file, again, link):
        out = done("export", "fine", "-o", file, "--verifier", other)
        assert (out.returncode, out.stdout) == (2, "")
        assert out.stderr.endswith(f"is the same file as {file}; name another one for either\n")
        assert not file.exists()
    file.write_text("before")
    os.link(file, done.folder / "hard")
    with pytest.raises(Quit, match="is the same file as"):
        check_files(file, done.folder / "hard")


def test_a_file_of_before_is_replaced_as_a_whole_and_keeps_its_rights(tmp_path: Path) -> None:
    file, link = tmp_path / "quarter.json", tmp_path / "link"
    file.write_text("before, and longer")
    file.chmod(0o640)
    link.symlink_to(file)
    with file.open() as opened:
        write_files((link, b"new"))
        assert opened.read() == "before, and longer"
    assert (file.read_bytes(), file.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o640, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "quarter.json"]


def test_what_cannot_be_finished_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "quarter.json"
    file.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert f"{file}: cannot be written (No space left on device); name another file" in refused(file)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("quarter.json", "before")]


def test_where_nothing_can_be_written_it_is_said_what_to_do(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: is a folder; name a file in it"
    assert "there is no folder" in refused(tmp_path / "no" / "file")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "gone" / "file")
    assert f"there is no folder {tmp_path / 'gone'}" in refused(dangling)


def test_a_pipe_or_a_device_is_written_to_as_it_is(done: Desk) -> None:
    write_files((Path("/dev/null"), b"new"))
    assert Path("/dev/null").is_char_device()
    out = done("export", "fine", "-o", "/dev/stdout")
    assert (out.returncode, out.stderr) == (0, "")
    assert out.stdout.startswith("{")
