"""Two quarters share a store and an output folder: neither ever replaces what the other wrote."""

from pathlib import Path

import msgspec
import pytest

from casework.actors import KnownFailure
from casework.protocols.records import ReviewAction
from examples.bookkeeping.outfolder import home_of, restore, write
from examples.bookkeeping.overview import Overview, overview_json
from tests.support.bookkeeping import Paid, make_quarter, overview, settled, working

pytestmark = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])

MIXED = Paid("BOEKHANDEL DOMPLEIN UTRECHT", "-54.30")
MIXED_BILL = "bon-051.pdf"
NEXT = "2026Q3"


def next_quarter(folder: Path) -> Path:
    """Make the quarter after the sample's, of one payment without a receipt."""
    make_quarter(folder, [Paid("BOEKHANDEL DOMPLEIN UTRECHT", "-10.90", day="20260716")])
    file = folder / "business.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("2026Q2", NEXT), encoding="utf-8")
    return folder


def files(out: Path) -> dict[str, bytes]:
    """Give all files of a folder, without those in the next quarter's own."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(NEXT)}


async def test_a_second_quarter_gets_a_folder_of_its_own_and_leaves_the_closed_one_as_it_is(tmp_path: Path) -> None:
    store, out = f"sqlite:///{tmp_path}/cases.db", tmp_path / "out"
    folder = make_quarter(tmp_path / "q2", [MIXED], [MIXED_BILL])
    async with working(store, out, folder=folder) as runtime:
        (closing,) = await runtime.store.reviews(state="open")
        await runtime.decide(closing.id, ReviewAction.APPROVE, by="anna")
        await settled(runtime)
    closed = files(out)
    assert set(closed) == {
        "overview.html",
        "overview.json",
        "revisions/2026Q2-0001.json",
        "revisions/2026Q2-0002.json",
    }
    async with working(store, out, folder=next_quarter(tmp_path / "q3")) as runtime:
        row = await runtime.wait(NEXT)
        assert row.status.value == "parked"
    assert files(out) == closed
    assert (overview(out)["quarter"], overview(out)["status"]) == ("2026Q2", "closed")
    assert (overview(out / NEXT)["quarter"], overview(out / NEXT)["status"]) == (NEXT, "provisional")
    assert set(files(out / NEXT)) == {"overview.html", "overview.json", "revisions/2026Q3-0001.json"}


async def test_links_of_the_second_quarters_page_lead_to_its_evidence(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with working("memory:", out, folder=make_quarter(tmp_path / "q2", [MIXED], [MIXED_BILL])):
        pass
    folder = next_quarter(tmp_path / "q3")
    (folder / "receipts/cut.pdf").write_bytes(b"%PDF-1.4 cut")
    async with working("memory:", out, folder=folder):
        pass
    page = (out / NEXT / "overview.html").read_text(encoding="utf-8")
    assert 'href="../../q3/receipts/cut.pdf"' in page
    assert (out / NEXT / "../../q3/receipts/cut.pdf").exists()


def read(out: Path, quarter: str, revision: int = 1) -> Overview:
    """Give an overview as that folder has it, of another quarter and revision."""
    found = msgspec.json.decode((out / "overview.json").read_bytes(), type=Overview)
    return msgspec.structs.replace(found, quarter=quarter, revision=revision)


async def test_revisions_of_two_quarters_are_taken_back_apart(tmp_path: Path) -> None:
    out, way = tmp_path / "out", tmp_path / "q2"
    async with working("memory:", out, folder=make_quarter(tmp_path / "q2", [MIXED], [MIXED_BILL])):
        pass
    first, second = read(out, "2026Q2"), read(out, NEXT)
    for revision in (1, 2):
        write(out, msgspec.structs.replace(second, revision=revision), {}, way)
    before = files(out)
    assert restore(out, NEXT, 2, way) == 1
    assert overview(out / NEXT)["revision"] == 1
    assert restore(out, NEXT, 1, way) == 0
    assert not (out / NEXT / "overview.json").exists()
    assert files(out) == before
    assert restore(out, "2026Q2", 1, way) == 0
    write(out, first, {}, way)
    assert (out / "overview.json").read_bytes() == overview_json(first)


@pytest.mark.parametrize("there", ['{"quarter": "2025Q1"}', "not JSON", "[]"])
async def test_a_file_of_another_quarter_in_the_quarters_own_folder_is_refused(tmp_path: Path, there: str) -> None:
    out = tmp_path / "out"
    async with working("memory:", out, folder=make_quarter(tmp_path / "q2", [MIXED], [MIXED_BILL])):
        pass
    before = files(out)
    (out / NEXT).mkdir()
    (out / NEXT / "overview.json").write_text(there, encoding="utf-8")
    with pytest.raises(KnownFailure, match=r"is no overview of 2026Q3; move it away"):
        write(out, read(out, NEXT), {}, tmp_path / "q3")
    assert (out / NEXT / "overview.json").read_text(encoding="utf-8") == there
    assert files(out) == before


@pytest.mark.parametrize("quarter", ["../2026Q2", "", "/etc", "2026Q5"])
def test_a_quarter_that_is_none_names_no_folder(tmp_path: Path, anyio_backend: object, quarter: str) -> None:
    with pytest.raises(KnownFailure, match="is not written like 2026Q2"):
        home_of(tmp_path, quarter)
