"""The bookkeeping crew in process: on its sample, or on a quarter of a few payments made on the spot."""

import json
import shutil
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from casework.actors import Crew
from casework.protocols.codec import decode_entry
from casework.protocols.records import Entry
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseRow, Record, ReviewRow, Store, StoreReader
from casework.runtime.store.verify import verify
from casework.runtime.telemetry import Telemetry
from examples.bookkeeping import crew as bookkeeping
from examples.bookkeeping import photo

CREW: Final = bookkeeping.crew
SAMPLE: Final = Path(__file__).parents[2] / "examples/bookkeeping/sample"
QUARTER: Final = SAMPLE / "2026Q2"
LATE: Final = SAMPLE / "late/factuur-cameraland.pdf"
EXPECTED: Final[dict[str, Any]] = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
#: Seconds until a sample run that hangs is given up.
PATIENCE_SECONDS: Final = 60.0

_ING: Final = (
    '"Datum";"Naam / Omschrijving";"Rekening";"Tegenrekening";"Code";"Af Bij";"Bedrag (EUR)";'
    '"Mutatiesoort";"Mededelingen";"Saldo na mutatie";"Tag"'
)


@contextmanager
def without_reader_of_photos() -> Generator[None, None, None]:
    """Have the extra `[ocr]` not installed, whether it is or not."""
    photo._reader.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "rapidocr_onnxruntime", None)
        yield


@asynccontextmanager
async def working(
    store: str | Store, out: Path, *, folder: Path = QUARTER, crew: Crew = CREW
) -> AsyncGenerator[Runtime, None]:
    """Run the crew on a folder until nothing can go on, and give the runtime."""
    settings = {"input": str(folder), "out": str(out)}
    telemetry = Telemetry()
    async with Runtime(crew, store, settings=settings, telemetry=telemetry) as runtime:
        taken = bookkeeping.intake(folder, settings)
        for opening in taken.openings:
            await runtime.open(opening.flow, opening.case_id, opening.inputs)
        for delivery in taken.deliveries:
            await runtime.deliver(delivery.key, value=delivery.value, by=delivery.by)
        await settled(runtime)
        yield runtime


async def settled(runtime: Runtime) -> None:
    """Wait until no case can go on."""
    with anyio.fail_after(PATIENCE_SECONDS):
        await runtime.wait_idle()


def overview(out: Path) -> dict[str, Any]:
    """Read overview.json."""
    read: dict[str, Any] = json.loads((out / "overview.json").read_text(encoding="utf-8"))
    return read


def comparable(whole: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Give of an overview what the expected answers speak of, in their order."""
    fields = ("transaction", "receipt", "kind", "status", "amount")
    flags = [{name: flag[name] for name in fields if name in flag} for flag in whole["exceptions"]]
    known = {name: whole[name] for name in expected}
    return known | {"exceptions": sorted(flags, key=_order)}


def expected_overview(name: str) -> dict[str, Any]:
    """Give the expected overview of that name."""
    found: dict[str, Any] = EXPECTED[name]
    return found | {"exceptions": sorted(found["exceptions"], key=_order)}


def _order(flag: dict[str, Any]) -> str:
    return json.dumps([flag["kind"], flag.get("transaction", ""), flag.get("receipt", "")])


@dataclass(slots=True, frozen=True)
class Standing:
    """Everything that a store holds, read once."""

    out: Path
    overview: dict[str, Any]
    cases: dict[str, CaseRow]
    logs: dict[str, list[tuple[Record, Entry]]]
    reviews: list[ReviewRow]

    def entries(self, case_id: str) -> list[Entry]:
        """Give what a case's log says."""
        return [entry for _, entry in self.logs[case_id]]


async def standing(reader: StoreReader, out: Path) -> Standing:
    """Read a store, and hold its chains to what they promise."""
    assert await verify(reader) == []
    cases = {row.key.case_id: row for row in await reader.cases()}
    logs = {}
    for case_id, row in cases.items():
        records = await reader.records(CaseKey(row.key.tenant, case_id))
        assert [record.seq for record in records] == list(range(row.next_seq)), f"{case_id} has a gap"
        logs[case_id] = [(record, decode_entry(record.frame)) for record in records]
    return Standing(out, overview(out), cases, logs, list(await reader.reviews()))


@dataclass(slots=True, frozen=True)
class Paid:
    """One line of a bank export to be made."""

    name: str
    amount: str
    day: str = "20260516"
    told: str = ""


def make_quarter(folder: Path, payments: Sequence[Paid], receipts: Sequence[str] = ()) -> Path:
    """Make an input folder of a few payments, with receipts taken from the sample."""
    (folder / "bank").mkdir(parents=True)
    (folder / "receipts").mkdir()
    rows = [_row(payment) for payment in reversed(payments)]
    (folder / "bank/ing.csv").write_text("\n".join((_ING, *rows)) + "\n", encoding="utf-8")
    shutil.copy(QUARTER / "business.toml", folder)
    for name in receipts:
        shutil.copy(QUARTER / "receipts" / name, folder / "receipts")
    return folder


def _row(payment: Paid) -> str:
    amount = Decimal(payment.amount)
    text = f"{abs(amount):.2f}".replace(".", ",")
    way = "Af" if amount < 0 else "Bij"
    cells = (payment.day, payment.name, "NL20INGB0001234567", "", "BA", way, text, "Betaalautomaat", payment.told)
    return ";".join(f'"{cell}"' for cell in (*cells, "1000,00", ""))
