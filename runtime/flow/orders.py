"""What an operator says of a dead letter: that it is tried again or dropped, and why.

An order travels as the value of what is delivered under the key for which the case waits, so the log has it with who
gave it. Whatever else is delivered under such a key has the letter tried again. It does not know what the letter is.
"""

from msgspec import Raw, Struct

from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError

#: How the keys begin under which a case waits for an operator: for a task that stopped, and when it goes no further.
RETRY = "retry"
OPERATOR = "operator"
#: What stands before the id of a message that is set aside, where a task has its step.
MESSAGE = "message"
#: How the reason begins why a case goes no further that has a message which cannot be read; its id is at the end.
UNREADABLE = "a message of kind "


class Order(Struct, frozen=True, kw_only=True):
    """What is to become of a dead letter."""

    drop: bool = False
    """It is given up; else it is tried again."""
    reason: str = ""


def order_of(value: Raw) -> Order:
    """Read the order in what was delivered."""
    try:
        return unpack(value, Order)
    except ProtocolError:
        return Order()


def operator_key(case_id: str) -> str:
    """Name what a case waits for that goes no further."""
    return f"{OPERATOR}:{case_id}"


def retry_key(case_id: str, step_id: str) -> str:
    """Name what a case waits for with a task that stopped."""
    return f"{RETRY}:{case_id}:{step_id}"


def message_key(case_id: str, item_id: str) -> str:
    """Name what a case waits for with a message that is set aside; no step is named so."""
    return retry_key(case_id, f"{MESSAGE}:{item_id}")


def unreadable(kind: str, item_id: str) -> str:
    """Say why a case goes no further that has a message which cannot be read.

    Somebody may wait for it, and a newer version may be able to read it, so it is not passed over.
    """
    return f"{UNREADABLE}{kind} in its inbox cannot be read: {item_id}"
