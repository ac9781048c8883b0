"""Bank exports: both formats are read, and bad input costs exactly what is bad."""

from __future__ import annotations

import pathlib
from decimal import Decimal

import pytest

from examples.bookkeeping.bank import LINE_BYTES_MAX, read_bank_file, read_bank_folder
from examples.bookkeeping.ing import split_remarks

ING = (
    '"Datum";"Naam / Omschrijving";"Rekening";"Tegenrekening";"Code";"Af Bij";"Bedrag (EUR)";'
    '"Mutatiesoort";"Mededelingen";"Saldo na mutatie";"Tag"'
)
RABO = (
    '"IBAN/BBAN","Munt","BIC","Volgnr","Datum","Rentedatum","Bedrag","Saldo na trn","Tegenrekening IBAN/BBAN",'
    '"Naam tegenpartij","Naam uiteindelijke partij","Naam initiërende partij","BIC tegenpartij","Code","Batch ID",'
    '"Transactiereferentie","Machtigingskenmerk","Incassant ID","Betalingskenmerk","Omschrijving-1","Omschrijving-2",'
    '"Omschrijving-3","Reden retour","Oorspr bedrag","Oorspr munt","Koers"'
)
GOOD = "ing-20260414-01"


def ing_row(day: str = "20260414", sign: str = "Af", amount: str = "54,30", name: str = "Winkel") -> str:
    remarks = "Naam: X Omschrijving: Bon 12 IBAN: NL02ABNA0123456789 Valutadatum: 14-04-2026"
    return f'"{day}";"{name}";"NL20INGB0001234567";"";"BA";"{sign}";"{amount}";"Pin";"{remarks}";"1,00";""'


def rabo_row(number: int = 7, currency: str = "EUR", amount: str = "-12,50", name: str = "Noël") -> str:
    cells = ["NL44RABO0123456789", currency, "", f"{number:018}", "2026-04-14", "2026-04-14", amount, "+1,00", "", name]
    return ",".join(f'"{cell}"' for cell in cells + [""] * 16)


def write(folder: pathlib.Path, *lines: str | bytes, name: str = "bank.csv") -> pathlib.Path:
    path = folder / name
    path.write_bytes(b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\r\n")
    return path


def test_an_ing_row_becomes_a_signed_transaction(tmp_path: pathlib.Path) -> None:
    found, problems = read_bank_file(write(tmp_path, ING, ing_row()))
    assert problems == []
    assert (found[0].id, found[0].amount, found[0].description) == (GOOD, Decimal("-54.30"), "Bon 12")
    assert found[0].counter_iban == "NL02ABNA0123456789"


def test_the_older_ing_export_with_commas_is_read_too(tmp_path: pathlib.Path) -> None:
    header = ",".join(ING.split(";")[:9])
    row = ",".join(ing_row().split(";")[:9])
    found, problems = read_bank_file(write(tmp_path, header, row))
    assert ([each.id for each in found], problems) == ([GOOD], [])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("Kosten betaalpakket", {}),
        ("Kaart: 1 Omschrijving:", {"Omschrijving": ""}),
        ("Naam: A Kenmerk: 1 Kenmerk: 2", {"Naam": "A", "Kenmerk": "1"}),
    ],
)
def test_remarks_without_labels_are_remarks_all_the_same(text: str, parts: dict[str, str]) -> None:
    assert split_remarks(text) == parts


def test_ing_rows_are_numbered_from_the_bottom_up(tmp_path: pathlib.Path) -> None:
    found, _ = read_bank_file(write(tmp_path, ING, ing_row(name="second"), ing_row(name="first")))
    assert [(each.id, each.name) for each in found] == [(GOOD, "first"), ("ing-20260414-02", "second")]


def test_a_refused_ing_row_keeps_its_number(tmp_path: pathlib.Path) -> None:
    found, _ = read_bank_file(write(tmp_path, ING, ing_row(), ing_row(amount="1,2,3")))
    assert [each.id for each in found] == ["ing-20260414-02"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_rabobank_is_read_in_every_encoding_it_was_ever_written_in(tmp_path: pathlib.Path, encoding: str) -> None:
    path = tmp_path / "rabo.csv"
    path.write_bytes(f"{RABO}\r\n{rabo_row()}\r\n".encode(encoding))
    found, problems = read_bank_file(path)
    assert problems == []
    assert (found[0].id, found[0].name, found[0].amount) == ("rabo-7", "Noël", Decimal("-12.50"))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (ing_row(day="20260231"), "does not exist"),
        (ing_row(day="14-04-2026"), "yyyymmdd"),
        (ing_row(amount="1,234,56"), "two commas"),
        (ing_row(amount="-54,30"), "signed"),
        (ing_row(sign="Over"), "expected Af or Bij"),
        (ing_row().replace(";", ","), "separated by ';'"),
        (ing_row(name="\x00"), "control characters"),
        (ing_row().encode().replace(b"Winkel", b"\xff\xfe"), "not UTF-8"),
        ('"' + "x" * 10_000_000 + '"', f"the limit is {LINE_BYTES_MAX}"),
        (ing_row().removesuffix(';"1,00";""'), "expected 11 cells"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "row",
)
def test_a_bad_row_gives_one_problem_and_the_others_go_on(tmp_path: pathlib.Path, bad: str | bytes, said: str) -> None:
    found, problems = read_bank_file(write(tmp_path, ING, ing_row(day="20260415"), bad, ing_row(day="20260413")))
    assert [each.id for each in found] == ["ing-20260413-01", "ing-20260415-01"]
    assert [(problem.file, problem.line) for problem in problems] == [("bank.csv", 3)]
    assert said in problems[0].message
    assert "\n" not in str(problems[0])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (rabo_row(8, currency="USD"), "currency 'USD' is unknown"),
        (rabo_row(8, amount="12,50"), "has no sign"),
        (rabo_row(7), "stands already at"),
    ],
)
def test_a_bad_rabobank_row_gives_one_problem(tmp_path: pathlib.Path, bad: str, said: str) -> None:
    found, problems = read_bank_file(write(tmp_path, RABO, rabo_row(7), bad))
    assert [each.id for each in found] == ["rabo-7"]
    assert said in problems[0].message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\r\n \r\n", "is empty"),
        (ING.replace(';"Mededelingen"', "").encode(), "lacks the column(s) 'Mededelingen'"),
        (ING.replace("EUR", "USD").encode(), "currency 'USD' is unknown"),
        (ING.replace(";", "\t").encode(), "wrong delimiter"),
        (RABO.replace(",", ";").encode(), "wrong delimiter"),
        (b"just some text\nand more", "no ING or Rabobank header"),
        (ING.encode("utf-16"), "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "no ING or Rabobank header"),
        (b"x" * 10_000_000, "header is longer"),
    ],
)
def test_an_unusable_file_gives_one_problem_and_no_rows(tmp_path: pathlib.Path, content: bytes, said: str) -> None:
    path = tmp_path / "bank.csv"
    path.write_bytes(content)
    found, problems = read_bank_file(path)
    assert found == []
    assert len(problems) == 1
    assert said in problems[0].message


def test_a_bad_file_leaves_the_other_files_alone(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "nonsense", name="a.csv")
    write(tmp_path, ING, ing_row(), name="b.csv")
    (tmp_path / "c.csv").mkdir()
    found, problems = read_bank_folder(tmp_path)
    assert [each.id for each in found] == [GOOD]
    assert [problem.file for problem in problems] == ["a.csv", "c.csv"]


def test_a_missing_folder_is_a_problem_and_no_traceback(tmp_path: pathlib.Path) -> None:
    found, problems = read_bank_folder(tmp_path / "nowhere")
    assert found == []
    assert "cannot be read" in problems[0].message


def test_a_wholly_broken_file_does_not_bury_its_reader(tmp_path: pathlib.Path) -> None:
    _, problems = read_bank_file(write(tmp_path, ING, *[ing_row(sign="?")] * 500))
    assert len(problems) == 101
    assert problems[-1].message.startswith("400 more lines")


def test_remarks_are_split_at_their_labels() -> None:
    parts = split_remarks("Naam: A B Omschrijving: huur: april IBAN: NL1 Kenmerk: 9")
    assert parts == {"Naam": "A B", "Omschrijving": "huur: april", "IBAN": "NL1", "Kenmerk": "9"}
