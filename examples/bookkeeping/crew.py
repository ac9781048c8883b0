"""The bookkeeping crew: six agents, their tools, three flows, one policy; run it as `examples.bookkeeping.crew:crew`.

It does not know where its input lies; `casework run` says so.
"""

from collections.abc import Mapping
from pathlib import Path

from casework.actors import Crew, DeliverKey, Intake, OpenCase
from casework.runtime import Flow
from examples.bookkeeping.agents import AGENTS
from examples.bookkeeping.business import read_business
from examples.bookkeeping.flows import OCR_KEY, receipt, transaction
from examples.bookkeeping.messages import QuarterInputs, ReceiptInputs, TransactionInputs
from examples.bookkeeping.photo import ocr_available
from examples.bookkeeping.quarter import quarter
from examples.bookkeeping.tools import read_input, read_receipt, read_trails, restore_overview, write_overview


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open the quarter that the folder is about; tell photos that wait when their reader has been installed."""
    business = read_business(folder)
    opening = OpenCase("quarter", business.quarter, QuarterInputs(quarter=business.quarter))
    return Intake(openings=(opening,), deliveries=(DeliverKey(OCR_KEY, "installed"),) if ocr_available() else ())


crew = Crew(
    name="bookkeeping",
    version="1",
    agents=AGENTS,
    tools=(read_input, read_receipt, read_trails, write_overview, restore_overview),
    flows=(
        Flow.of(quarter, inputs=QuarterInputs),
        Flow.of(receipt, inputs=ReceiptInputs),
        Flow.of(transaction, inputs=TransactionInputs),
    ),
    policy=Path(__file__).with_name("policy.toml"),
    intake=intake,
    scenario="examples.bookkeeping.simulation:Quarter",
)
