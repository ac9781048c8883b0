"""Reads the URL of a PostgreSQL store, and shows any store's URL without its secrets.

`postgresql://user:password@host:port/database?schema=name&memory=folder`: everything but `schema` and `memory` is the
driver's to read. What comes back for people, logs and errors bears no password, however badly the URL was written.
It does not know how a connection is made.
"""

import os.path
import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from casework.runtime.errors import StoreInvalid

POSTGRES: Final = "postgresql://"
#: Where the tables stand unless the URL names another schema.
SCHEMA: Final = "casework"

#: A name that needs no quotes, and leaves room for the channel that is called after it.
_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,50}")
_SECRET: Final = re.compile(r"(?i)([?&][a-z_]*pass[a-z_]*=)[^&]*")
_MASK: Final = "***"
#: Parameters that are not the driver's.
_OURS: Final = ("schema", "memory")


class PostgresAddress(NamedTuple):
    """Where a PostgreSQL store is."""

    dsn: str
    """What the driver is given; holds the password and is never shown."""
    schema: str
    shown: str
    """The URL for people, without secrets."""
    memory: str = ""
    """The folder in which this machine remembers how far the store had come; empty for none."""

    @property
    def channel(self) -> str:
        """Name the channel on which those who use this schema give each other hints."""
        return f"cases:{self.schema}"


def masked(url: str) -> str:
    """Give a URL without its password.

    Whatever stands before the last '@' counts as user and password, for a password that was not quoted may hold any
    mark of a URL.
    """
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:{_MASK}" if colon else login
    return _SECRET.sub(rf"\1{_MASK}", f"{scheme}{separator}{shown}{at}{place}")


def postgres_address(url: str) -> PostgresAddress:
    """Take a URL apart.

    Raises:
        StoreInvalid: the schema has a name that a schema of ours cannot have, or the memory is no folder.
    """
    base, question, query = url.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    schema = dict(parameters).get("schema", SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema):
        raise StoreInvalid(
            masked(url), f"schema {schema!r} must be lower-case letters, digits and '_', at most 51, and not begin pg_"
        )
    memory = dict(parameters).get("memory", "")
    if memory and not os.path.isdir(memory):
        raise StoreInvalid(masked(url), f"the memory {memory} is no directory; make it first")
    rest = urlencode([(name, value) for name, value in parameters if name not in _OURS], quote_via=quote)
    return PostgresAddress(base + (question and rest and f"?{rest}"), schema, masked(url), memory)
