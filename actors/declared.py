"""Reading what was handed over, strictly: what the receiver declared and nothing more.

It does not know whether the receiver is a tool or an agent.
"""

from typing import TypeVar

from msgspec import Raw, Struct

from casework.actors.errors import UndeclaredFields
from casework.protocols.codec import unpack
from casework.protocols.wire import declared_fields

S = TypeVar("S", bound=Struct)


def decode_declared(raw: Raw, type_: type[S], receiver: str) -> S:
    """Decode `raw` as the type that `receiver` declared; a Struct inside it may forbid unknown fields by itself.

    Raises:
        UndeclaredFields: it has a field that the type does not declare.
        FrameInvalid, FrameTooDeep: it is not of that type; the text names the place.
    """
    if not type_.__struct_config__.array_like:
        known = declared_fields(type_)
        extra = [name for name in unpack(raw, dict[str, Raw]) if name not in known]
        if extra:
            raise UndeclaredFields(receiver, extra)
    return unpack(raw, type_)


def is_struct(type_: object) -> bool:
    """Tell whether a declared type is a Struct; annotations may hold anything."""
    return isinstance(type_, type) and issubclass(type_, Struct)
