"""Reading what was handed over, strictly: what the receiver declared and nothing more.

It does not know whether the receiver is a tool or an agent.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Final, TypeVar, get_type_hints

import msgspec
from msgspec import Raw, Struct

from casework.actors.errors import UndeclaredFields
from casework.protocols.codec import unpack
from casework.protocols.errors import FrameInvalid

S = TypeVar("S", bound=Struct)

#: A Struct's bytes as what they are on the way: names with bytes that nobody has looked at.
_FIELDS: Final = dict[str, Raw]
#: How the bytes of a map of up to so many names begin, and what no byte is.
_SMALL: Final = 0x80
_SMALL_MAX: Final = 15
_NONE: Final = -1
#: Types of which is remembered how their bytes begin.
TYPES_MAX: Final = 1_024


def decode_declared(raw: Raw, type_: type[S], receiver: str) -> S:
    """Decode `raw` as the type that `receiver` declared; a Struct inside it may forbid unknown fields by itself.

    Raises:
        UndeclaredFields: it has a field that the type does not declare.
        FrameInvalid, FrameTooDeep: it is not of that type; the text names the place.
    """
    config = type_.__struct_config__
    if config.array_like or _exact(raw, type_):
        try:
            return unpack(raw, type_)
        except FrameInvalid:
            if config.array_like:
                raise
    known = type_.__struct_encode_fields__
    extra = [name for name in unpack(raw, _FIELDS) if name not in known and name != config.tag_field]
    if extra:
        raise UndeclaredFields(receiver, extra)
    return unpack(raw, type_)


def _exact(raw: Raw, type_: type[Struct]) -> bool:
    """Tell whether a map has as many names as the type has fields, all of them required: then there is no other."""
    return len(raw) > 0 and memoryview(raw)[0] == _header(type_)


@lru_cache(maxsize=TYPES_MAX)
def _header(type_: type[Struct]) -> int:
    names = type_.__struct_encode_fields__
    optional = type_.__struct_defaults__ or type_.__struct_config__.tag is not None
    return _NONE if optional or len(names) > _SMALL_MAX else _SMALL | len(names)


def unreadable(type_: object) -> str:
    """Say why no value of a declared type could be read from a frame; empty if it can."""
    try:
        msgspec.msgpack.Decoder(type_)
    except TypeError as error:
        return " ".join(str(error).split())
    return ""


def is_struct(type_: object) -> bool:
    """Tell whether a declared type is a Struct; annotations may hold anything."""
    return isinstance(type_, type) and issubclass(type_, Struct)


def takes_none(type_: object) -> bool:
    """Tell whether None is a value of a declared type."""
    try:
        msgspec.convert(None, type_)
    except msgspec.ValidationError:
        return False
    return True


def annotated(function: Callable[..., object]) -> object:
    """Give what a function says that it returns, and all that is said of that; `object` if it cannot be read.

    What it takes may be there for a type checker alone.
    """
    made = inspect.unwrap(function)
    said = SimpleNamespace(__annotations__={"return": getattr(made, "__annotations__", {}).get("return", object)})
    try:
        return get_type_hints(said, getattr(made, "__globals__", {}), include_extras=True)["return"]
    except (AttributeError, NameError, TypeError):
        return object
