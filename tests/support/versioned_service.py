"""A process that works on a PostgreSQL store with some versions of one flow, as one node of a rolling deployment.

    python -m tests.support.versioned_service STORE VERSION...

reads the ids of cases, one a line: opens each with its last version if it is not there, and says where it stands once
it rests. A line `+CASE` delivers what the case waits for. At the end of its input it drains.
"""

import sys

import anyio
from msgspec import Struct

from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.small_staff import SmallStaff


class Order(Struct, frozen=True):
    """What a case is opened with."""

    n: int = 0


async def first(case: Case, inputs: Order) -> str:
    """Wait once."""
    await case.park(f"go:{case.id}", reason="waits")
    return "first"


async def second(case: Case, inputs: Order) -> str:
    """Wait once, and say so."""
    await case.note("of the second version")
    await case.park(f"go:{case.id}", reason="waits")
    return "second"


FUNCTIONS = {"1": first, "2": second}


def versioned(*versions: str) -> SmallStaff:
    """Make a crew that has these versions of its one flow, of which new cases get the last."""
    flows = [Flow.of(FUNCTIONS[version], inputs=Order, version=version) for version in versions]
    named = [Flow("orders", flow.version, flow.function, flow.inputs, flow.source_hash) for flow in flows]
    return SmallStaff({f"orders@{flow.version}": flow for flow in named} | {"orders": named[-1]})


async def work(store: str, versions: tuple[str, ...]) -> None:
    """Open, deliver, wait and tell, until nobody tells anything any more."""
    async with Runtime(versioned(*versions), store, telemetry=Telemetry.off()) as runtime:
        while line := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            case_id = line.removeprefix("+")
            if line.startswith("+"):
                await runtime.deliver(f"go:{case_id}", by="ann")
                print("delivered", flush=True)
                continue
            await runtime.open("orders", case_id, Order())
            row = await runtime.wait(case_id)
            print(row.result if row.status is CaseStatus.CLOSED else row.waits[0].reason, flush=True)


if __name__ == "__main__":
    anyio.run(work, sys.argv[1], tuple(sys.argv[2:]))
