"""How a write is undone: which tool does it, with which arguments, and how often it is tried.

The tool that a write names in `undo` takes of the write's own arguments those that it declares by the same name, and
in a field called `result` what the write returned. Whether that fits is checked when the tools are registered.
It does not know when anything is undone, nor who asks.
"""

from typing import Final

from msgspec import Raw

from casework.actors.declared import decode_declared
from casework.actors.errors import UndeclaredFields
from casework.actors.failures import describe
from casework.actors.policy import Policy
from casework.actors.tools import RESULT, Tool, ToolRegistry
from casework.protocols.codec import pack, unpack
from casework.protocols.errors import ProtocolError
from casework.runtime.staff import Undoing

#: A Struct's bytes by field.
_FIELDS: Final = dict[str, Raw]


def decide_undo(tools: ToolRegistry, policy: Policy, name: str, arguments: Raw, value: Raw) -> Undoing:
    """Say how a write with these arguments, which gave this value, is undone."""
    write = tools.find(name)
    if write is None:
        return Undoing(why=f"no tool {name!r} is registered any more")
    undo = tools.find(write.undo)
    if undo is None:
        return Undoing(why=f"no tool undoes {name}")
    try:
        given = undo_arguments(write, undo, arguments, value)
    except (UndeclaredFields, ProtocolError) as error:
        return Undoing(why=f"{undo.name} cannot be called: {describe(error)}")
    retries = policy.retry.reversible
    return Undoing(undo.name, given, tuple(retries.delay_seconds(number) for number in range(1, retries.attempts)))


def undo_arguments(write: Tool, undo: Tool, arguments: Raw, value: Raw) -> Raw:
    """Give the arguments of the tool that undoes a write.

    Raises:
        UndeclaredFields, ProtocolError: the arguments are none of the write's, or none that the undo takes.
    """
    # Decoded first: an argument that was left out has its default.
    own = unpack(pack(decode_declared(arguments, write.arguments, f"tool {write.name}")), _FIELDS)
    own.setdefault(RESULT, value)
    taken = pack({field: own[field] for field in undo.arguments.__struct_encode_fields__ if field in own})
    decode_declared(taken, undo.arguments, f"tool {undo.name}")
    return taken
