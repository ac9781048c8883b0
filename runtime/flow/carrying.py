"""Which versions of flows a node carries, as it says with its lease, and how cases go on that wait for one of them.

A case that nobody could read any more, for no living node had its version, waits for that version beside its operator.
A node that comes and has it tells those that wait, as an operator would: so a deployment that is taken back, or whose
nodes were all replaced at once, leaves nobody behind. What is told stands in the log of the case.
It does not know how a store keeps who carries what, nor which node is given a case.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from casework.protocols.codec import pack
from casework.protocols.records import Arrived
from casework.runtime.flow.case import Flow
from casework.runtime.flow.orders import Order, operator_key
from casework.runtime.flow.telling import tell_waiting
from casework.runtime.store.base import CaseRow, Store
from casework.runtime.store.rules import pin, version_key

#: What a case is told for which there is a node again.
_ORDER: Final = pack(Order(reason="a node has this version"))


def carried(flows: Mapping[str, Flow]) -> tuple[str, ...]:
    """Name the versions that a crew has, each once."""
    return tuple(sorted({pin(flow.name, flow.version, flow.source_hash) for flow in flows.values()}))


def missing(row: CaseRow) -> str:
    """Name the version that a case is pinned to, as it waits for it."""
    return version_key(pin(row.flow, row.version, row.source_hash))


async def tell_carried(store: Store, carries: Iterable[str]) -> None:
    """Have the cases tried again that wait for one of these versions; raises as `tell_waiting`."""
    for key in map(version_key, carries):
        await tell_waiting(store, key, partial(_arrival, key))


def _arrival(key: str, row: CaseRow, item_id: str) -> Arrived:
    return Arrived(key=operator_key(row.key.case_id), message_id=item_id, by=key, value=_ORDER)
