"""The policy of a crew: who may do what, what needs a person, how often and how long; a TOML file, typed and hashed.

Everything that is not allowed is denied. The hash stands in every verdict, so the log says which policy was active
at that moment. It does not know which tools and agents there are; the crew checks that.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from casework.actors.budgets import Budgets
from casework.actors.errors import PolicyInvalid
from casework.protocols.codec import Plain, pack
from casework.protocols.wire import RiskTier

#: What a free setting of a policy may be.
SettingValue: TypeAlias = (
    "bool | int | float | str | list[bool | int | float | str] | dict[str, bool | int | float | str]"
)
#: Bytes that a policy file has at most; a longer one is a mistake.
FILE_BYTES_MAX: Final = 1 << 20
#: Digits of a policy's hash.
HASH_DIGITS: Final = 32
#: What a circuit may stand before.
KINDS: Final = ("agent", "tool", "model")
#: What another may stand in for, and whose rate may be limited.
FALLING_BACK: Final = ("agent", "tool")
LIMITED: Final = ("tenant", "agent", "tool")

T = TypeVar("T")


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one agent, or one flow by its own calls, may do at most."""

    tools: tuple[str, ...] = ()
    tier_max: RiskTier = RiskTier.READ_ONLY


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that has a person approve a call; an empty condition fits everything."""

    rule: str
    title: str
    tool: str = ""
    tier: RiskTier = RiskTier.REVERSIBLE
    """Tiers from this one on."""
    amount_field: str = ""
    """The argument that holds an amount; without it every fitting call is asked for."""
    amount_above: Decimal = Decimal(0)

    def asks(self, tool: str, tier: RiskTier, arguments: dict[str, Plain]) -> bool:
        """Tell whether a call needs this approval; an amount that cannot be read needs it."""
        if tier.rank < self.tier.rank or self.tool not in ("", tool):
            return False
        if not self.amount_field:
            return True
        try:
            amount = abs(Decimal(str(arguments.get(self.amount_field))))
        except InvalidOperation:
            return True
        return not amount.is_finite() or amount > self.amount_above


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often something is tried in all, and how long after a failure."""

    attempts: int = 3
    backoff_seconds: float = 0.2
    factor: float = 2.0
    delay_seconds_max: float = 30.0

    def delay_seconds(self, attempt: int) -> float:
        """Say how long to wait after the failure of `attempt`, counted from 1."""
        steps = min(max(attempt, 1) - 1, 64)
        return min(self.backoff_seconds * self.factor**steps, self.delay_seconds_max)


class RetryTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retries by tier; what is irreversible is never tried again."""

    read_only: Retries = Retries()
    reversible: Retries = Retries(attempts=2)


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long one attempt at a task may take, in seconds.

    One with a write in doubt has until its deadline, and its time anew once it is known what became of the write.
    """

    default_seconds: float = 30.0
    tasks: dict[str, float] = field(default_factory=dict[str, float])
    call_within_seconds: float = 30.0
    """How long after its intent a write may still be made."""


class Breaking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a circuit opens, and for how long."""

    failures: int = 5
    """So many failures within the window open it, ..."""
    failure_rate: float = 0.5
    """... if they are at least this part of the calls within it."""
    slow_seconds: float = 0.0
    """A call that takes so long is slow; 0: none is."""
    slow_rate: float = 0.5
    """This part of the calls being slow opens it, ..."""
    micros_max: int = 0
    """... and so does a window in which they cost more, in millionths; 0: whatever they cost ..."""
    calls_min: int = 10
    """... once there were so many calls."""
    window_seconds: float = 60.0
    open_seconds: float = 30.0
    probes: int = 1
    """Calls let through at a time to try whether it is over."""


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what may pile up or go round in circles."""

    repeats_max: int = 3
    """Calls of one tool with the same arguments and the same result within one task."""
    bounces_max: int = 3
    """Times that a case may send the same two things in turn to the same two skills, with the same outcomes."""
    pending_max: int = 1000
    """Tasks that wait for a free agent; more are refused."""


class Rate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many calls there may be."""

    per_second: float
    burst: int = 1
    """Calls that may come at once after a quiet while."""


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on how fast calls follow each other; a call passes those of its tenant, its agent and its tool."""

    limits: dict[str, Rate] = field(default_factory=dict[str, Rate])
    """By `tenant:NAME`, `agent:NAME` or `tool:NAME`; the name `*` is each of that kind that has none of its own."""
    shed: tuple[RiskTier, ...] = ()
    """Tiers whose calls do not wait, but are refused; all others wait, if their deadline lets them."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a crew is allowed, and its limits."""

    name: str
    version: str = "1"
    agents: dict[str, Limits] = field(default_factory=dict[str, Limits])
    flows: dict[str, Limits] = field(default_factory=dict[str, Limits])
    denied: dict[str, str] = field(default_factory=dict[str, str])
    """Tools that nobody may call, each with the reason."""
    approvals: tuple[Approval, ...] = ()
    retry: RetryTable = RetryTable()
    timeouts: Timeouts = Timeouts()
    breaker: Breaking = Breaking()
    breakers: dict[str, Breaking] = field(default_factory=dict[str, Breaking])
    """Circuits with settings of their own, by `agent:NAME`, `tool:NAME` or `model:NAME`."""
    fallbacks: dict[str, str] = field(default_factory=dict[str, str])
    """Which agent or tool stands in while a circuit is open, by `agent:NAME` or `tool:NAME`."""
    rates: Rates = Rates()
    bounds: Bounds = Bounds()
    budgets: Budgets = Budgets()
    settings: dict[str, SettingValue] = field(default_factory=dict[str, SettingValue])
    """Figures that the crew's own rules use, such as warning levels."""

    def approval(self, tool: str, tier: RiskTier, arguments: dict[str, Plain]) -> Approval | None:
        """Give the first rule that has a person approve such a call."""
        return next((rule for rule in self.approvals if rule.asks(tool, tier, arguments)), None)


def policy_hash(policy: Policy) -> str:
    """Hash a policy's meaning: comments, order and layout of the file do not count."""
    return hashlib.sha256(pack(policy)).hexdigest()[:HASH_DIGITS]


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        PolicyInvalid: it cannot be read, is no TOML, or says something that is no policy; names the place.
    """
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PolicyInvalid(file, "", f"cannot be read: {error.strerror or error}") from error
    if len(data) > FILE_BYTES_MAX:
        raise PolicyInvalid(file, "", f"has {len(data)} bytes; a policy has at most {FILE_BYTES_MAX}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyInvalid(file, f"line {line}", "is not UTF-8") from error
    return parse_policy(text, file=file)


def parse_policy(text: str, *, file: str = "policy") -> Policy:
    """Read a policy's text; raises as `load_policy`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why, _, place = str(error).removesuffix(")").partition(" (at ")
        if not place.startswith("line"):
            place = f"line {len(text.rstrip().splitlines())}, {place}"
        raise PolicyInvalid(file, place, why) from error
    try:
        policy = msgspec.convert(table, Policy)
    except msgspec.ValidationError as error:
        why, _, place = str(error).partition(" - at ")
        raise PolicyInvalid(file, place.strip("`$.") or "top level", why) from error
    _check(policy, file)
    return policy


def of_kind(kind: str, named: Mapping[str, T]) -> dict[str, T]:
    """Give what is named `kind:NAME`, by its name."""
    return {name.partition(":")[2]: each for name, each in named.items() if _kind(name) == kind}


def _kind(name: str) -> str:
    kind, _, rest = name.partition(":")
    return kind if rest else ""


def _named(kinds: Sequence[str]) -> str:
    return f"name it {', '.join(f'{kind}:NAME' for kind in kinds[:-1])} or {kinds[-1]}:NAME"


def _breaking(each: Breaking) -> list[tuple[bool, str]]:
    whole = min(each.failures, each.probes, each.calls_min) >= 1 and min(each.window_seconds, each.open_seconds) > 0
    return [
        (whole, "failures, calls_min, probes, window_seconds and open_seconds must be above 0"),
        (min(each.slow_seconds, each.micros_max) >= 0, "slow_seconds and micros_max must not be negative"),
        (0 <= each.failure_rate <= 1 and 0 < each.slow_rate <= 1, "its rates must be from 0 to 1"),
    ]


def _check(policy: Policy, file: str) -> None:
    retries = (("retry.read_only", policy.retry.read_only), ("retry.reversible", policy.retry.reversible))
    times = (("timeouts.default_seconds", policy.timeouts.default_seconds), *policy.timeouts.tasks.items())
    bounds = policy.bounds
    bounded = min(bounds.repeats_max, bounds.bounces_max, bounds.pending_max) >= 1
    circuits = {"breaker": policy.breaker, **{f"breakers.{name}": each for name, each in policy.breakers.items()}}
    checks = [
        ("name", bool(policy.name), "a policy needs a name"),
        ("timeouts.call_within_seconds", policy.timeouts.call_within_seconds > 0, "must be above 0"),
        *((place, fine, why) for place, each in circuits.items() for fine, why in _breaking(each)),
        *((f"breakers.{name}", _kind(name) in KINDS, _named(KINDS)) for name in policy.breakers),
        *((f"fallbacks.{name}", _kind(name) in FALLING_BACK, _named(FALLING_BACK)) for name in policy.fallbacks),
        *((f"rates.limits.{name}", _kind(name) in LIMITED, _named(LIMITED)) for name in policy.rates.limits),
        *(
            (f"rates.limits.{name}", each.per_second > 0 and each.burst >= 1, "must let something through")
            for name, each in policy.rates.limits.items()
        ),
        ("bounds", bounded, "all its numbers must be at least 1"),
        *((f"budgets.{place}", False, why) for place, why in policy.budgets.faults()),
        *((place, seconds > 0, "must be above 0 seconds") for place, seconds in times),
        *((place, each.attempts >= 1, "attempts must be at least 1") for place, each in retries),
        *((place, min(each.backoff_seconds, each.factor) >= 0, "must not be negative") for place, each in retries),
        *((f"denied.{tool}", bool(why), "say why nobody may call it") for tool, why in policy.denied.items()),
        *((f"approvals.{each.rule}", bool(each.rule and each.title), "needs a title") for each in policy.approvals),
    ]
    for place, fine, why in checks:
        if not fine:
            raise PolicyInvalid(file, place, why)
