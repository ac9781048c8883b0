"""Reading what was handed over, strictly: what the receiver declared and nothing more.

It does not know whether the receiver is a tool or an agent.
"""

from typing import Final, TypeVar

from msgspec import Raw, Struct

from casework.actors.errors import UndeclaredFields
from casework.protocols.codec import unpack

S = TypeVar("S", bound=Struct)

#: A Struct's bytes as what they are on the way: names with bytes that nobody has looked at.
_FIELDS: Final = dict[str, Raw]


def decode_declared(raw: Raw, type_: type[S], receiver: str) -> S:
    """Decode `raw` as the type that `receiver` declared; a Struct inside it may forbid unknown fields by itself.

    Raises:
        UndeclaredFields: it has a field that the type does not declare.
        FrameInvalid, FrameTooDeep: it is not of that type; the text names the place.
    """
    config = type_.__struct_config__
    if not config.array_like:
        known = type_.__struct_encode_fields__
        extra = [name for name in unpack(raw, _FIELDS) if name not in known and name != config.tag_field]
        if extra:
            raise UndeclaredFields(receiver, extra)
    return unpack(raw, type_)


def is_struct(type_: object) -> bool:
    """Tell whether a declared type is a Struct; annotations may hold anything."""
    return isinstance(type_, type) and issubclass(type_, Struct)
