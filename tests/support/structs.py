"""Any value of a message type, for tests that must hold for all of them."""

import enum
import types
import typing
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from casework.protocols.codec import pack

INTEGERS: Final = st.integers(min_value=-(2**63), max_value=2**63 - 1)
PLAIN: Final = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

_SIMPLE: Final[dict[object, st.SearchStrategy[Any]]] = {
    str: st.text(max_size=20),
    int: INTEGERS,
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    type(None): st.none(),
    msgspec.Raw: PLAIN.map(pack),
}


def any_of(type_: Any) -> st.SearchStrategy[Any]:
    """Give values of a field's type or of a whole Struct."""
    if type_ in _SIMPLE:
        return _SIMPLE[type_]
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([any_of(each) for each in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(any_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(any_of(each) for each in arguments))
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return st.sampled_from(list(type_))
    return st.builds(type_, **{field.name: any_of(field.type) for field in msgspec.structs.fields(type_)})
