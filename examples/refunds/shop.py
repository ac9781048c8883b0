"""The shop's own systems in one SQLite file: orders, customers, tickets, the carrier, the ledger and the bank.

They stand for services that a shop would have. Each writing call takes an idempotency key, and the same key again
gives what it gave before; the carrier will not take back a label whose parcel is on its way, and the bank refuses
accounts that are closed. Everything is one transaction. It does not know who calls, nor what the policy is.
"""

import datetime as dt
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from casework.actors import KnownFailure
from examples.refunds.messages import Customer, Delivery, Kind, Order, Tickets, Tier

SCHEMA: Final = """
    CREATE TABLE customer (customer TEXT PRIMARY KEY, tier TEXT, refunds INTEGER, account TEXT);
    CREATE TABLE orders (number TEXT PRIMARY KEY, customer TEXT, product TEXT, kind TEXT, cents INTEGER,
        charged INTEGER, status TEXT, believed TEXT, believed_on TEXT, carried TEXT, carried_on TEXT,
        collected INTEGER);
    CREATE TABLE label (code TEXT PRIMARY KEY, number TEXT, state TEXT);
    CREATE TABLE booking (code TEXT PRIMARY KEY, number TEXT, cents INTEGER, state TEXT);
    CREATE TABLE payment (code TEXT PRIMARY KEY, number TEXT, cents INTEGER);
    CREATE TABLE letter (code TEXT PRIMARY KEY, request TEXT, customer TEXT, template TEXT);
    CREATE TABLE happened (key TEXT PRIMARY KEY, result TEXT);
"""
#: Seconds to wait for another writer of the file.
BUSY_SECONDS: Final = 10.0
NAME: Final = "shop.db"


class OrderSeed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order as the sample tells it."""

    order: str
    customer: str
    product: str
    cents: int
    kind: Kind = "goods"
    charged_cents: int | None = None
    status: str = "delivered"
    shop_says: Delivery
    carrier_says: Delivery | None = None
    """The same as the shop's if it is left out."""
    collected: bool = False
    """A label for it is used at once: the parcel is on its way back before anybody can cancel."""


class CustomerSeed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer as the sample tells it."""

    customer: str
    tier: Tier = "standard"
    refunds: int = 0
    account: str = "open"


class Seed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the systems hold before anything is asked of them."""

    customers: tuple[CustomerSeed, ...]
    orders: tuple[OrderSeed, ...]


class Shop:
    """The systems behind one connection."""

    def __init__(self, link: sqlite3.Connection) -> None:
        """Take a connection in autocommit mode over which nobody else speaks."""
        self._link = link

    def fill(self, seed: Seed) -> None:
        """Set the systems up, unless they are."""
        with self._transaction() as link:
            if link.execute("SELECT 1 FROM sqlite_master WHERE name = 'happened'").fetchone():
                return
            for statement in SCHEMA.split(";"):
                link.execute(statement)
            link.executemany(
                "INSERT INTO customer VALUES (?, ?, ?, ?)",
                [(each.customer, each.tier, each.refunds, each.account) for each in seed.customers],
            )
            link.executemany(f"INSERT INTO orders VALUES ({', '.join('?' * 12)})", list(map(_row, seed.orders)))

    # What may be read.

    def order(self, number: str) -> Order | None:
        """Give an order as the shop knows it."""
        row = self._one(
            "SELECT number, customer, product, kind, cents, charged, status FROM orders WHERE number = ?", number
        )
        named = ("order", "customer", "product", "kind", "cents", "charged_cents", "status")
        return None if row is None else msgspec.convert(dict(zip(named, row, strict=True)), Order)

    def believed(self, number: str) -> Delivery | None:
        """Give where the shop believes a parcel to be; the carrier may know better."""
        return _delivery(self._one("SELECT believed, believed_on FROM orders WHERE number = ?", number))

    def carried(self, number: str) -> Delivery | None:
        """Give where the carrier says a parcel is."""
        return _delivery(self._one("SELECT carried, carried_on FROM orders WHERE number = ?", number))

    def customer(self, customer: str) -> Customer | None:
        """Give a customer."""
        row = self._one("SELECT customer, tier FROM customer WHERE customer = ?", customer)
        return None if row is None else msgspec.convert({"customer": row[0], "tier": row[1]}, Customer)

    def tickets(self, customer: str) -> Tickets:
        """Give what a customer was refunded before."""
        row = self._one("SELECT refunds FROM customer WHERE customer = ?", customer)
        return Tickets(int(row[0]) if row else 0)

    def status(self, number: str) -> str:
        """Give an order's status; empty if there is none."""
        row = self._one("SELECT status FROM orders WHERE number = ?", number)
        return "" if row is None else str(row[0])

    def state(self, table: str, code: str) -> str:
        """Give the state of a label or a booking; empty if there is none."""
        assert table in ("label", "booking"), "only these have a state"
        row = self._one(f"SELECT state FROM {table} WHERE code = ?", code)
        return "" if row is None else str(row[0])

    def happened(self, key: str) -> str | None:
        """Say what a key gave; None if nothing was done under it."""
        row = self._one("SELECT result FROM happened WHERE key = ?", key)
        return None if row is None else str(row[0])

    def paid(self, number: str) -> list[int]:
        """Give the payments back for an order, in cents."""
        rows = self._link.execute("SELECT cents FROM payment WHERE number = ? ORDER BY code", (number,))
        return [cents for (cents,) in rows]

    def booked(self, number: str) -> int:
        """Give the sum of the refunds that stand in the ledger for an order, in cents."""
        sums = "SELECT coalesce(sum(cents), 0) FROM booking WHERE number = ? AND state = 'booked'"
        row = self._one(sums, number)
        assert row is not None, "a sum is always there"
        return int(row[0])

    def letters(self, request: str) -> list[str]:
        """Name the templates of the letters that were sent about a request."""
        rows = self._link.execute("SELECT template FROM letter WHERE request = ? ORDER BY rowid", (request,))
        return [template for (template,) in rows]

    # What may be written: each once for its key.

    def make_label(self, key: str, number: str) -> str:
        """Make a return label and give its code."""
        with self._once(key, "L") as once:
            if once.new:
                (collected,) = self._need("SELECT collected FROM orders WHERE number = ?", number)
                state = "collected" if collected else "open"
                self._link.execute("INSERT INTO label VALUES (?, ?, ?)", (once.code, number, state))
            return once.code

    def cancel_label(self, key: str, code: str) -> str:
        """Cancel a label; refused once its parcel is on its way."""
        with self._once(key, "X") as once:
            if once.new:
                (state,) = self._need("SELECT state FROM label WHERE code = ?", code)
                if state == "collected":
                    raise KnownFailure("the parcel with this label was collected already")
                self._link.execute("UPDATE label SET state = 'cancelled' WHERE code = ?", (code,))
            return once.code

    def change_status(self, key: str, number: str, was: str, becomes: str) -> str:
        """Change an order's status, if it is still what the caller believes."""
        with self._once(key, "S") as once:
            if once.new:
                changed = self._link.execute(
                    "UPDATE orders SET status = ? WHERE number = ? AND status = ?", (becomes, number, was)
                )
                if changed.rowcount != 1:
                    raise KnownFailure(f"the order is not {was} any more")
            return once.code

    def book(self, key: str, number: str, cents: int) -> str:
        """Book a refund and give the booking's number."""
        with self._once(key, "B") as once:
            if once.new:
                self._link.execute("INSERT INTO booking VALUES (?, ?, ?, 'booked')", (once.code, number, cents))
            return once.code

    def reverse(self, key: str, code: str) -> str:
        """Reverse a booking."""
        with self._once(key, "R") as once:
            if once.new:
                self._link.execute("UPDATE booking SET state = 'reversed' WHERE code = ?", (code,))
            return once.code

    def pay(self, key: str, number: str, customer: str, cents: int) -> str:
        """Pay money back; refused if the customer's account is closed."""
        with self._once(key, "P") as once:
            if once.new:
                (account,) = self._need("SELECT account FROM customer WHERE customer = ?", customer)
                if account != "open":
                    raise KnownFailure("the bank says that the account is closed")
                self._link.execute("INSERT INTO payment VALUES (?, ?, ?)", (once.code, number, cents))
            return once.code

    def send(self, key: str, request: str, customer: str, template: str) -> str:
        """Send a letter."""
        with self._once(key, "M") as once:
            if once.new:
                self._link.execute("INSERT INTO letter VALUES (?, ?, ?, ?)", (once.code, request, customer, template))
            return once.code

    def _one(self, sql: str, value: str) -> tuple[str, ...] | None:
        found: tuple[str, ...] | None = self._link.execute(sql, (value,)).fetchone()
        return found

    def _need(self, sql: str, value: str) -> tuple[str, ...]:
        found = self._one(sql, value)
        if found is None:
            raise KnownFailure(f"there is no {value}")
        return found

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection, None, None]:
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield self._link
        except BaseException:
            self._link.execute("ROLLBACK")
            raise
        self._link.execute("COMMIT")

    @contextmanager
    def _once(self, key: str, letter: str) -> Generator["_Once", None, None]:
        """Do a thing in a transaction, once for its key; gives the code that it had then or has now."""
        with self._transaction() as link:
            before = self.happened(key)
            if before is not None:
                yield _Once(before, new=False)
                return
            (number,) = link.execute("SELECT count(*) + 1 FROM happened").fetchone()
            once = _Once(f"{letter}-{number:04}", new=True)
            yield once
            link.execute("INSERT INTO happened VALUES (?, ?)", (key, once.code))


class _Once(Struct, frozen=True):
    """A thing that is done once."""

    code: str
    new: bool
    """False: it was done before, and nothing is to be done now."""


@contextmanager
def shop_in(folder: Path) -> Generator[Shop, None, None]:
    """Open the systems below a folder."""
    with closing(sqlite3.connect(folder / NAME, timeout=BUSY_SECONDS, isolation_level=None)) as link:
        yield Shop(link)


def _row(seed: OrderSeed) -> tuple[object, ...]:
    shop, carrier = seed.shop_says, seed.carrier_says or seed.shop_says
    return (
        *(seed.order, seed.customer, seed.product, seed.kind, seed.cents),
        *(seed.cents if seed.charged_cents is None else seed.charged_cents, seed.status),
        *(shop.state, _day(shop.on), carrier.state, _day(carrier.on), int(seed.collected)),
    )


def _delivery(row: tuple[str, ...] | None) -> Delivery | None:
    return None if row is None else msgspec.convert({"state": row[0], "on": row[1]}, Delivery)


def _day(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()
