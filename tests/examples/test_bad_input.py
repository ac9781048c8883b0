"""Bad input through the real command: one clear line with file and line, exit code 2, and everything else goes on."""

import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bookkeeping import QUARTER, Paid, make_quarter
from tests.support.bookkeeping_command import Books

GOOD = Paid("BOEKHANDEL DOMPLEIN UTRECHT", "-54.30")
RECEIPT = "bon-051.pdf"
HEADER = (
    '"Datum";"Naam / Omschrijving";"Rekening";"Tegenrekening";"Code";"Af Bij";"Bedrag (EUR)";"Mutatiesoort";'
    '"Mededelingen";"Saldo na mutatie";"Tag"'
)
RABO = (QUARTER / "bank/rabobank.csv").read_bytes().splitlines()


def row(day: str = "20260414", amount: str = "10,00") -> str:
    return f'"{day}";"Winkel";"NL20INGB0001234567";"";"BA";"Af";"{amount}";"Pin";"Kassa 1";"1,00";""'


def encrypted() -> bytes:
    canvas = pytest.importorskip("reportlab.pdfgen.canvas", reason="reportlab makes the encrypted file")
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, encrypt="secret")
    page.drawString(100, 700, "Totaal: 1,00")
    page.save()
    return buffer.getvalue()


BANK: dict[str, bytes] = {
    "columns.csv": HEADER.replace('"Af Bij";', "").encode() + b"\n",
    "delimiter.csv": HEADER.replace(";", "\t").encode() + b"\n" + row().replace(";", "\t").encode() + b"\n",
    "bytes.csv": f"{HEADER}\n".encode() + row().encode().replace(b"Winkel", b"W\xffnkel") + b"\n",
    "empty.csv": b"",
    "long.csv": f"{HEADER}\n".encode() + b'"' + b"x" * (10 << 20) + b'"\n' + row("20260501").encode() + b"\n",
    "date.csv": f"{HEADER}\n{row('20260231')}\n{row('20260502')}\n".encode(),
    "amount.csv": f"{HEADER}\n{row('20260503')}\n{row(amount='1,234,56')}\n".encode(),
    "currency.csv": RABO[0] + b"\n" + RABO[1].replace(b'"EUR"', b'"XAU"', 1) + b"\n",
    "picture.csv": b"\x89PNG\r\n\x1a\n\x00\x00\x00",
}
RECEIPTS: dict[str, bytes] = {
    "corrupt.pdf": b"%PDF-1.4\n1 0 obj << broken",
    "cut.pdf": (QUARTER / "receipts" / RECEIPT).read_bytes()[:700],
    "encrypted.pdf": b"",
    "text.pdf": b"I am a text.\n",
    "empty.pdf": b"",
    "letter.docx": b"PK\x03\x04",
}

#: What is told of each file: its line (0: the whole file), and what the line says.
TOLD = [
    ("bank/columns.csv", 1, "lacks the column(s) 'Af Bij'"),
    ("bank/delimiter.csv", 1, "wrong delimiter '\\t'"),
    ("bank/bytes.csv", 2, "not UTF-8"),
    ("bank/empty.csv", 0, "is empty"),
    ("bank/long.csv", 2, "bytes long, the limit is"),
    ("bank/date.csv", 2, "date '20260231' does not exist"),
    ("bank/amount.csv", 3, "amount '1,234,56' has two commas"),
    ("bank/currency.csv", 2, "currency 'XAU'"),
    ("bank/picture.csv", 1, ""),
    ("receipts/corrupt.pdf", 0, "receipt cannot be read"),
    ("receipts/cut.pdf", 0, "receipt cannot be read"),
    ("receipts/encrypted.pdf", 0, "encrypted"),
    ("receipts/text.pdf", 0, "not a PDF"),
    ("receipts/empty.pdf", 0, "receipt cannot be read"),
    ("receipts/letter.docx", 0, "is neither PDF, JPEG nor PNG"),
]


class Tried:
    """One run of the command, and what it left."""

    def __init__(self, books: Books, run: subprocess.CompletedProcess[str], folder: Path) -> None:
        self.books = books
        self.code = run.returncode
        self.lines = run.stderr.splitlines()
        self.folder = folder

    @property
    def overview(self) -> dict[str, Any]:
        """overview.json."""
        read: dict[str, Any] = json.loads((self.books.out / "overview.json").read_text(encoding="utf-8"))
        return read

    def about(self, file: str) -> list[str]:
        """Give the lines that name a file, without the folder."""
        here = f"{self.folder}/"
        bare = [line.removeprefix(here) for line in self.lines]
        return [line for line in bare if line.startswith(f"{file}:")]


def tried(tmp_path: Path, folder: Path) -> Tried:
    books = Books(tmp_path)
    return Tried(books, books.call(books.run_command(folder)), folder)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """One good payment with its receipt among everything that can be bad, run once."""
    tmp_path = tmp_path_factory.mktemp("spoiled")
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    for name, data in BANK.items():
        (folder / "bank" / name).write_bytes(data)
    for name, data in (RECEIPTS | {"encrypted.pdf": encrypted()}).items():
        (folder / "receipts" / name).write_bytes(data)
    return tried(tmp_path, folder)


@pytest.mark.parametrize(("file", "line", "says"), TOLD, ids=[file for file, _, _ in TOLD])
def test_each_bad_input_is_told_in_one_line_with_its_place(spoiled: Tried, file: str, line: int, says: str) -> None:
    (told,) = spoiled.about(file)
    place, _, text = told.partition(": ")
    assert place == (f"{file}:{line}" if line else file)
    assert says in text


def test_bad_input_ends_with_exit_code_two(spoiled: Tried) -> None:
    assert spoiled.code == 2


def test_nothing_is_told_that_is_not_asked_for(spoiled: Tried) -> None:
    assert len(spoiled.lines) == len(TOLD), spoiled.lines
    assert not [line for line in spoiled.lines if "Traceback" in line or line.startswith(" ")]


def test_everything_else_goes_on(spoiled: Tried) -> None:
    overview = spoiled.overview
    assert overview["vat"]["5b"] == "6.70"
    waiting = {flag["transaction"] for flag in overview["exceptions"] if flag["kind"] == "missing_receipt"}
    assert waiting == {"ing-20260501-01", "ing-20260502-01", "ing-20260503-01"}


def test_what_was_refused_stands_in_the_overview_as_well(spoiled: Tried) -> None:
    text = json.dumps(spoiled.overview)
    assert [file for file, _, _ in TOLD if Path(file).name not in text] == []


def test_the_same_command_again_tells_the_same_and_changes_nothing(spoiled: Tried) -> None:
    before = spoiled.overview
    again = tried(spoiled.books.folder, spoiled.folder)
    assert (again.code, again.lines) == (2, spoiled.lines)
    assert spoiled.overview == before


@pytest.mark.parametrize("name", ["bank", "receipts"])
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    (folder / name).rename(folder / "aside")
    (folder / name).symlink_to(folder / name)
    run = tried(tmp_path, folder)
    assert run.code == 2
    (told,) = run.about(name)
    assert "folder cannot be read" in told
    assert run.overview["counts"]["booked"] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    (folder / "receipts").chmod(0)
    run = tried(tmp_path, folder)
    (folder / "receipts").chmod(0o700)
    assert run.code == 2
    assert "Permission denied" in "".join(run.about("receipts"))


def test_an_input_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = tried(tmp_path, tmp_path / "nowhere")
    assert run.code == 2
    assert run.lines == [f"casework: error: {tmp_path}/nowhere: no such folder; name the folder that holds the input"]


@pytest.mark.parametrize(
    ("text", "says"), [(None, "cannot be read"), ("= nothing", "is not valid TOML"), ("quarter = 7", "expected a file")]
)
def test_a_business_file_that_says_nothing_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD])
    path = folder / "business.toml"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    run = tried(tmp_path, folder)
    assert (run.code, len(run.lines)) == (2, 1)
    assert str(path) in run.lines[0]
    assert says in run.lines[0]


def test_a_store_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    assert tried(tmp_path, folder).code == 0
    path = tmp_path / "cases.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    run = tried(tmp_path, folder)
    assert (run.code, len(run.lines)) == (2, 1)
    assert "newer" in run.lines[0]
    assert str(path) in run.lines[0]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("crew", "says"),
    [
        ("examples.bookkeeping.crew", "write it as module:attribute"),
        ("examples.bookkeeping.crew:curw", "has no 'curw'"),
        ("examples.bookkeeping.craw:crew", "cannot be imported"),
        ("examples.bookkeeping.crew:intake", "not a Crew"),
    ],
)
def test_a_crew_that_does_not_import_is_named(tmp_path: Path, crew: str, says: str) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD])
    books = Books(tmp_path)
    run = books.call(books.run_command(folder, crew))
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)
    assert crew in run.stderr
    assert says in run.stderr
    assert not (tmp_path / "cases.db").exists()


def test_a_traceback_is_shown_when_it_is_asked_for(tmp_path: Path) -> None:
    books = Books(tmp_path)
    run = books.call([*books.run_command(tmp_path / "nowhere"), "--debug"])
    assert run.returncode == 2
    assert "Traceback" in run.stderr


ODD_NAMES = {
    b"\xff\xfe.pdf": r"receipts/\udcff\udcfe.pdf",
    b"two\nlines.pdf": r"receipts/two\nlines.pdf",
    b"\x1b[2J.jpg": r"receipts/\x1b[2J.jpg",
    b"\xff.docx": r"receipts/\udcff.docx",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only there may a file be called anything")
def test_a_file_whose_name_is_no_text_costs_that_file_alone(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    for name in ODD_NAMES:
        (folder / "receipts" / os.fsdecode(name)).write_bytes((QUARTER / "receipts" / RECEIPT).read_bytes())
    (folder / "bank" / os.fsdecode(b"\xff\n.csv")).write_bytes((QUARTER / "bank/rabobank.csv").read_bytes())
    run = tried(tmp_path, folder)
    assert (run.code, len(run.lines)) == (2, len(ODD_NAMES) + 1)
    for shown in (*ODD_NAMES.values(), r"bank/\udcff\n.csv"):
        (told,) = run.about(shown)
        assert "rename it" in told
    assert (run.overview["counts"]["booked"], run.overview["vat"]["5b"]) == (1, "6.70")


def test_a_receipt_that_is_no_file_of_the_input_folder_is_named_and_never_read(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(b"%PDF-1.4 kept from everybody")
    receipts = folder / "receipts"
    (receipts / "passwd.pdf").symlink_to("/etc/passwd")
    (receipts / "secret.pdf").symlink_to(secret)
    (receipts / "dangling.pdf").symlink_to(tmp_path / "nowhere.pdf")
    (receipts / "loop.pdf").symlink_to(receipts / "loop.pdf")
    (receipts / "sub.pdf").mkdir()
    os.mkfifo(receipts / "pipe.pdf")
    (receipts / "again.pdf").symlink_to(receipts / RECEIPT)
    run = tried(tmp_path, folder)
    told = {file.name: run.about(f"receipts/{file.name}") for file in receipts.iterdir()}
    assert run.code == 2
    for name, says in {
        "passwd.pdf": "leads out of the input folder",
        "secret.pdf": "leads out of the input folder",
        "dangling.pdf": "cannot be read (No such file or directory)",
        "loop.pdf": "cannot be read",
        "sub.pdf": "is a folder",
        "pipe.pdf": "is not a file",
    }.items():
        (line,) = told.pop(name)
        assert says in line
    assert told == {RECEIPT: [], "again.pdf": []}
    assert len(run.lines) == 6
    assert run.overview["counts"]["receipts"] == 2
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("cases.db*"))
    assert b"root:" not in kept
    assert hashlib.sha256(Path("/etc/passwd").read_bytes()).hexdigest().encode() not in kept


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_receipt_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [GOOD], [RECEIPT])
    (folder / "receipts" / RECEIPT).chmod(0)
    run = tried(tmp_path, folder)
    assert run.code == 2
    assert "Permission denied" in "".join(run.about(f"receipts/{RECEIPT}"))
