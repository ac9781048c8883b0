"""Reads the URL of a PostgreSQL store, and shows any store's URL without its secrets.

`postgresql://user:password@host:port/database?schema=name&memory=folder`: everything but `schema` and `memory` is the
driver's to read. What comes back for people, logs and errors bears no password, however badly the URL was written.
It does not know how a connection is made.
"""

import os.path
import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from casework.runtime.errors import StoreInvalid

POSTGRES: Final = "postgresql://"
#: Where the tables stand unless the URL names another schema.
SCHEMA: Final = "casework"
#: What is said of a port that is none. The driver takes any number, and the system may read one port as another.
PORTS: Final = "a port is a number from 1 to 65535"

#: A name that needs no quotes, and leaves room for the channel that is called after it.
_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,50}")
_NUMBER: Final = re.compile(r"-?[0-9]+")
_PORT: Final = re.compile(r"0*[1-9][0-9]{0,4}")
_PORT_MAX: Final = 65_535
_PARAMETER: Final = re.compile(r"([?&])([^?&=]*)=[^&]*")
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
    return _PARAMETER.sub(_without_secret, f"{scheme}{separator}{shown}{at}{place}")


def postgres_address(url: str) -> PostgresAddress:
    """Take a URL apart.

    Raises:
        StoreInvalid: the schema has a name that a schema of ours cannot have, the memory is no folder, or a port is
            none.
    """
    base, question, query = url.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    if any(_NUMBER.fullmatch(port) and not _is_port(port) for port in _ports(base, dict(parameters))):
        raise StoreInvalid(masked(url), PORTS)
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


def _ports(base: str, parameters: dict[str, str]) -> list[str]:
    """Give what stands where a URL names ports: after each host, and in a parameter."""
    hosts = base.partition("://")[2].partition("/")[0].rpartition("@")[2].split(",")
    return [*(host.rpartition(":")[2] for host in hosts if ":" in host), *parameters.get("port", "").split(",")]


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _PORT_MAX


def _without_secret(parameter: re.Match[str]) -> str:
    """Show a parameter, without its value if that is a secret, in whatever signs its name is written."""
    mark, name = parameter.groups()
    return f"{mark}{name}={_MASK}" if "pass" in unquote(name).lower() else parameter[0]
