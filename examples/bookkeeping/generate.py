"""Write the sample quarter: bank exports, receipts, the late receipt and the business's own data.

Run `python -m examples.bookkeeping.generate --out DIR`; the same seed gives the same bytes. The seed moves
only what no answer depends on: reference numbers, account numbers of others, times of day, camera grain.
It does not know the right answers; `expected.py` does.
"""

import argparse
import pathlib
from typing import Final

from examples.bookkeeping.sample_exports import ing_export, rabo_export
from examples.bookkeeping.sample_names import OWN_IBANS, Dice, papers
from examples.bookkeeping.sample_paper import draw
from examples.bookkeeping.sample_parties import BUSINESS
from examples.bookkeeping.scenario import QUARTER, TURNOVER_BEFORE, VAT_ID

SEED: Final = 20260401


def sample_files(seed: int) -> dict[str, bytes]:
    """Make every file of the sample but the expected answers, by its path in the sample folder."""
    dice = Dice(seed)
    files = {
        f"{QUARTER}/business.toml": _business().encode(),
        f"{QUARTER}/bank/ing.csv": ing_export(dice),
        f"{QUARTER}/bank/rabobank.csv": rabo_export(dice),
    }
    files.update((str(paper.path), draw(paper, dice)) for paper in papers())
    return files


def write_sample(folder: pathlib.Path, seed: int) -> None:
    """Write the files below `folder`, making folders as needed; other files there are left alone."""
    for name, data in sample_files(seed).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _business() -> str:
    accounts = ", ".join(f'"{iban}"' for iban in OWN_IBANS.values())
    return (
        "# A made-up business; its numbers belong to nobody.\n"
        f'name = "{BUSINESS.name}"\n'
        f'vat_id = "{VAT_ID}"\n'
        f'quarter = "{QUARTER}"\n'
        "kor = false\n"
        f'turnover_before = "{TURNOVER_BEFORE // 100}.{TURNOVER_BEFORE % 100:02}"\n'
        f"accounts = [{accounts}]\n"
    )


def main() -> None:
    """Read the command line and write the sample."""
    parser = argparse.ArgumentParser(description="Write the sample quarter of the bookkeeping crew.")
    parser.add_argument("--seed", type=int, default=SEED, help="the same seed gives the same bytes")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="folder to write below")
    arguments = parser.parse_args()
    write_sample(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
