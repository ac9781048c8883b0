"""Options that several sub-commands share. It does not know what they are used for."""

import getpass
from typing import Annotated, Final

from cyclopts import Parameter

#: Where cases are, unless `--store` or CASEWORK_STORE says otherwise.
STORE: Final = "sqlite:///casework.db"
#: Whose cases they are, unless `--tenant` says otherwise.
TENANT: Final = "default"

StoreOption = Annotated[str, Parameter(name="--store", env_var="CASEWORK_STORE", help="URL of the store.")]
TenantOption = Annotated[str, Parameter(name="--tenant", help="Whose cases.")]
JsonOption = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
ByOption = Annotated[str, Parameter(name="--by", help="Who does it; your login name if left out.")]


def person(by: str) -> str:
    """Give the name under which something is recorded: the one given, else the login name."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
