"""Opens connections to PostgreSQL, and tells its errors apart.

What an error means for whoever waits is decided here and nowhere else: whether the server is away, whether it only
cannot or will not do it just now, or whether a statement was wrong for its values. Only what is known to lie in the
values does: of a right, a table, a trigger or a fault of the server's own nobody can say that it will not pass.
No text that leaves this file holds a password.
It does not know what is asked over a connection.
"""

import enum
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
import anyio.lowlevel
import asyncpg

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.store.postgres_url import PORTS, PostgresAddress

if TYPE_CHECKING:
    Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
else:
    Link: TypeAlias = asyncpg.Connection

#: How long a server may take to let us in.
CONNECT_SECONDS_MAX: Final = 5.0
#: How long the server lets a statement run, also while it waits for a lock.
STATEMENT_SECONDS_MAX: Final = 10.0
#: How long an answer is waited for; longer than the server needs to give up by itself.
ANSWER_SECONDS_MAX: Final = 15.0
#: How long a transaction may stand still before the server ends it, since nothing is asked or an answer is not read.
#: Whoever stands still amid one holds cases that nobody can take; this is over before a lease is, of which three of
#: four seconds are left when its node stops. Over a Unix socket the server does not see that nobody reads.
STANDSTILL_SECONDS_MAX: Final = 2.0
#: How long a connection may take to say good-bye.
GOODBYE_SECONDS_MAX: Final = 2.0

#: What the driver raises, and what the sockets below it raise. A value that cannot be sent is a ValueError.
DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    EOFError,
    ValueError,
)


class Fault(enum.Enum):
    """What an error of the driver means for whoever waits."""

    LOST = "lost"
    """The connection is gone; whether a commit that was under way is durable, only reading tells."""
    AGAIN = "again"
    """Others were in the way, nothing happened, and the same again will do."""
    PASSING = "passing"
    """Nothing happened, and a later try may succeed: the disk is full, the server only reads."""
    REFUSED = "refused"
    """Nothing happened: a right, a table or a trigger is in the way, which others need not meet and which may pass."""
    OURS = "ours"
    """A statement was wrong for its values; the server is well."""


#: Plans are made while the tables are still empty and kept, or from guesses at how much is in them: none may become a
#: scan of everything. With scans forbidden every plan looks dear, and compiling one costs more than any of them takes.
_PLANS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
#: What is written is planned once for each connection: with the values of each call at hand the server would expect a
#: few rows less of a plan, and think that worth to plan anew each time, which takes longer than the statement itself.
#: What is read may leave conditions out, and is planned for those that it has.
_KEPT_PLANS: Final = {"plan_cache_mode": "force_generic_plan"}
#: A lock that was not given in time.
_LOCKED_OUT: Final = "55P03"
#: Classes and codes of errors after which nothing happened and a later try may succeed.
_PASSING: Final = ("53", "58", _LOCKED_OUT, "57014", "25006")
_AGAIN: Final = ("40001", "40P01")
#: Classes of errors that lie in the values: they are none, they break a rule of the table, or are more than fits.
_OURS: Final = ("22", "23", "54")
#: Damage on the server's disk. Who reads is told that it cannot be read; who writes waits until it is mended.
_DAMAGED: Final = ("XX001", "XX002")
_GONE: Final = ("08", "57P01", "57P02", "57P03", "57P05")
#: The code with which a server that is stopped, or asked to, ends a connection.
_ENDED: Final = "57P01"
#: What says that the URL is wrong rather than the server away: the login, or a database that is not there.
_REFUSED: Final = ("28", "3D000", "42501")
#: What says that the URL gives the server a setting that it does not have, or not with that value.
_UNKNOWN: Final = ("22", "42704")


async def connect(address: PostgresAddress, *, writes: bool = False) -> Link:
    """Open a connection whose statements find the schema's tables by their bare names.

    Args:
        address: where the store is.
        writes: it is the one that writes, by few statements over and over.

    Raises:
        StoreInvalid: the URL is wrong, the server refuses the login, or the event loop is not asyncio's.
        StoreUnavailable: the server cannot be reached just now.

    If cancelled, nothing stays open.
    """
    _assert_asyncio(address)
    settings = {
        "application_name": "casework",
        "search_path": address.schema,
        "statement_timeout": f"{STATEMENT_SECONDS_MAX:.0f}s",
        "idle_in_transaction_session_timeout": f"{STANDSTILL_SECONDS_MAX:.0f}s",
        "tcp_user_timeout": f"{STANDSTILL_SECONDS_MAX:.0f}s",
        "synchronous_commit": "on",
        **_PLANS,
        **(_KEPT_PLANS if writes else {}),
    }
    refused: StoreError
    try:
        return await asyncpg.connect(
            address.dsn,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=ANSWER_SECONDS_MAX,
            server_settings=settings,
        )
    except (*DRIVER_ERRORS, OverflowError) as error:
        refused = _not_let_in(address, error)
    # What the driver says of a URL that it cannot read may quote any part of it: raised in the block above, the error
    # would have it as its context.
    raise refused


async def part(link: Link) -> None:
    """Close a connection in good order, or without if the server does not answer; if cancelled, it is closed."""
    try:
        with anyio.move_on_after(GOODBYE_SECONDS_MAX, shield=True):
            await link.close()
    except DRIVER_ERRORS:
        link.terminate()
    finally:
        if not link.is_closed():
            link.terminate()


def fault_of(error: BaseException, link: Link) -> Fault:
    """Say what an error means that came over this connection."""
    code = _code(error)
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    if link.is_closed() or code.startswith(_GONE) or severity in {"FATAL", "PANIC"}:
        return Fault.LOST
    if isinstance(error, asyncpg.PostgresError):
        if code in _AGAIN:
            return Fault.AGAIN
        if code.startswith(_PASSING):
            return Fault.PASSING
        return Fault.OURS if code.startswith(_OURS) else Fault.REFUSED
    # A value that cannot be encoded never left this process. After anything else the talk may be out of step.
    return Fault.OURS if isinstance(error, ValueError) else Fault.LOST


def ended_by_server(error: BaseException) -> bool:
    """Say whether the server itself ended the connection amid a statement, which then did not happen.

    Of a statement that is its own transaction the server says nothing before it is durable, unless it gave it up.
    """
    return _ENDED in (_code(error), _code(error.__cause__))


def locked_out(error: BaseException) -> bool:
    """Say whether somebody else's lock was in the way for longer than it was waited for."""
    return _code(error) == _LOCKED_OUT


def damaged(error: BaseException | None) -> bool:
    """Say whether the server cannot read what is on its disk."""
    return _code(error) in _DAMAGED


def store_error(shown: str, error: BaseException, link: Link, *, known: bool) -> StoreError:
    """Give the store's error for one that came while reading; `known` says that it was found to be a store of ours."""
    fault = fault_of(error, link)
    if fault is Fault.OURS or damaged(error) or (fault is Fault.REFUSED and not known):
        return StoreInvalid(shown, f"its tables or values are not ours ({told(error)})")
    return StoreUnavailable(shown, f"it cannot be read just now ({told(error)})")


def told(error: BaseException) -> str:
    """Say in one line what the driver said."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _not_let_in(address: PostgresAddress, error: BaseException) -> StoreError:
    code = _code(error)
    if code.startswith(_REFUSED):
        return StoreInvalid(address.shown, f"the server refuses: {told(error)}")
    if code.startswith(_UNKNOWN):
        return StoreInvalid(address.shown, f"the server knows no such setting: {told(error)}")
    if isinstance(error, OverflowError):
        return StoreInvalid(address.shown, PORTS)
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return StoreInvalid(
            address.shown, "the URL cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, signs quoted"
        )
    if isinstance(error, TimeoutError):
        return StoreUnavailable(address.shown, f"no answer within {CONNECT_SECONDS_MAX:.0f} s")
    why = f"it cannot be reached ({told(error)}); see that the server runs and lets us in"
    return StoreUnavailable(address.shown, why)


def _code(error: BaseException | None) -> str:
    code = getattr(error, "sqlstate", None) if isinstance(error, asyncpg.PostgresError) else None
    return code if isinstance(code, str) else ""


def _assert_asyncio(address: PostgresAddress) -> None:
    token = anyio.lowlevel.current_token()
    native = getattr(token, "native_token", token)
    if type(native).__module__.partition(".")[0] == "trio":
        raise StoreInvalid(address.shown, "its driver needs asyncio, and this runs on trio; use SQLite, or asyncio")
