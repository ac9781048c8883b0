"""The seals of a SQLite store's settings, by which it shows that somebody else changed one.

No log says what a setting must be: which history the store holds, whether it is halted, what is switched off. So
whoever sets one notes its hash in the same transaction, and `unsealed` names those whose hash is another. A store whose
settings were last set before there were seals has none, and nothing follows.
It does not know what a setting means.
"""

import sqlite3
from typing import Final

import msgspec

from casework.protocols.codec import digest
from casework.runtime.store.queries import setting

#: The setting that holds the hash of each other one, by its name.
SEALS: Final = "store.seals"
_SET: Final = "INSERT OR REPLACE INTO setting VALUES (?, ?)"
_ALL: Final = "SELECT CAST(name AS BLOB), typeof(value), CAST(value AS BLOB) FROM setting"
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def seal(connection: sqlite3.Connection, name: str) -> None:
    """Seal a setting that was just set; those of others stay as they are."""
    try:
        seals = _seals(connection)
    except ValueError:
        return  # Somebody else changed them, which stays to be seen.
    there = _hashes(connection)
    sealed = there if seals is None else {**seals, name: there[name]}
    connection.execute(_SET, (SEALS, _ENCODER.encode(sealed).decode()))


def unsealed(connection: sqlite3.Connection) -> list[str]:
    """Name the settings that are not as they were set, as far as anybody can tell."""
    try:
        seals = _seals(connection)
    except ValueError:
        return [SEALS]
    there = _hashes(connection)
    return [] if seals is None else sorted(name for name in there.keys() | seals if there.get(name) != seals.get(name))


def _seals(connection: sqlite3.Connection) -> dict[str, str] | None:
    kept = setting(connection, SEALS)
    return None if kept is None else msgspec.json.decode(kept, type=dict[str, str])


def _hashes(connection: sqlite3.Connection) -> dict[str, str]:
    rows = [(bytes(name or b"").decode(errors="replace"), *kept) for name, *kept in connection.execute(_ALL).fetchall()]
    return {name: digest(type_.encode() + bytes(value or b"")).hex() for name, type_, value in rows if name != SEALS}
