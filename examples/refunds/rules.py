"""The shop's refund policy: plain functions over facts, with every figure in the policy file.

    wish            refunded when
    changed_mind    goods, within the days of the customer's tier
    damaged         within the days for damage, whoever the customer is
    not_received    the carrier has lost it
    charged_twice   more was taken than the order comes to; only the difference

What the policy refuses only for its kind or for a customer's history is an *exception*: a person may grant it. What
is more than the limit is granted by a person as well; the gate asks, not these rules. They do no I/O.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, convert

from casework.actors.policy import SettingValue
from examples.refunds.messages import Facts, Judged, Wish

#: An order's status once its money went back.
REFUNDED: Final = "refunded"


class Figures(Struct, frozen=True, kw_only=True):
    """The figures of the policy file."""

    return_days: dict[str, int]
    """Days after delivery in which goods may come back, by the customer's tier."""
    damage_days: int
    refunds_max: dict[str, int]
    """Refunds in twelve months after which a person looks at the next, by tier."""


def figures_of(settings: Mapping[str, SettingValue]) -> Figures:
    """Read the figures from the free settings of the policy."""
    return convert(dict(settings), Figures)


def judge(facts: Facts, figures: Figures) -> Judged:
    """Say what the policy says."""
    order = facts.order
    if order.status == REFUNDED:
        return _refuse("refunded_before", f"order {order.order} was refunded before")
    judged = _RULES[facts.wish](facts, figures)
    most = figures.refunds_max[facts.customer.tier]
    if judged.verdict == "refund" and facts.tickets.refunds >= most:
        why = f"{facts.tickets.refunds} refunds in twelve months, where {most} are usual"
        return Judged(
            verdict="exception",
            cents=judged.cents,
            rule="many_refunds",
            why=why,
            goods_come_back=judged.goods_come_back,
        )
    return judged


def _changed_mind(facts: Facts, figures: Figures) -> Judged:
    order, delivery = facts.order, facts.delivery
    if delivery.state != "delivered" or delivery.on is None:
        return _refuse("not_delivered_yet", "the parcel has not arrived; it can be refused at the door")
    days, most = (facts.received - delivery.on).days, figures.return_days[facts.customer.tier]
    if order.kind == "digital":
        return Judged(verdict="exception", cents=order.cents, rule="digital", why="digital goods cannot come back")
    if days > most:
        return _refuse("too_late", f"{days} days after delivery, where {most} are allowed")
    return _refund(order.cents, "in_time", f"{days} days after delivery, of {most}", goods_come_back=True)


def _damaged(facts: Facts, figures: Figures) -> Judged:
    order, delivery = facts.order, facts.delivery
    if delivery.state != "delivered" or delivery.on is None:
        return _refuse("not_delivered_yet", "what has not arrived cannot be damaged")
    days = (facts.received - delivery.on).days
    if days > figures.damage_days:
        return _refuse("too_late", f"{days} days after delivery, where {figures.damage_days} are allowed for damage")
    return _refund(order.cents, "damaged", f"{days} days after delivery", goods_come_back=order.kind == "goods")


def _not_received(facts: Facts, _: Figures) -> Judged:
    if facts.delivery.state == "lost":
        return _refund(facts.order.cents, "lost", "the carrier has lost the parcel")
    if facts.delivery.state == "delivered":
        return _refuse("delivered", f"the carrier delivered it on {facts.delivery.on}")
    return _refuse("underway", "the parcel is underway")


def _charged_twice(facts: Facts, _: Figures) -> Judged:
    extra = facts.order.charged_cents - facts.order.cents
    if extra <= 0:
        return _refuse("charged_once", "no more was taken than the order comes to")
    return _refund(extra, "charged_twice", "more was taken than the order comes to")


def _other(facts: Facts, _: Figures) -> Judged:
    return Judged(verdict="exception", cents=facts.order.cents, rule="no_rule", why="no rule of the policy fits")


_RULES: Final = {
    Wish.CHANGED_MIND: _changed_mind,
    Wish.DAMAGED: _damaged,
    Wish.NOT_RECEIVED: _not_received,
    Wish.CHARGED_TWICE: _charged_twice,
    Wish.HELP: _other,
    Wish.OTHER: _other,
}


def _refuse(rule: str, why: str) -> Judged:
    return Judged(verdict="refuse", cents=0, rule=rule, why=why)


def _refund(cents: int, rule: str, why: str, *, goods_come_back: bool = False) -> Judged:
    return Judged(verdict="refund", cents=cents, rule=rule, why=why, goods_come_back=goods_come_back)
