"""Policy files: what they say, and what is said about those that cannot be used."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from casework.actors.errors import PolicyInvalid
from casework.actors.policy import load_policy, parse_policy, policy_hash
from casework.protocols.wire import RiskTier

TEXT = """
name = "books"
version = "3"

[agents.booker]
tools = ["read", "book"]
tier_max = "reversible"

[denied]
submit_vat_return = "high risk: a person submits it"

[[approvals]]
rule = "large"
title = "Book a large amount"
tool = "book"
amount_field = "amount"
amount_above = "500.00"

[settings]
kor_levels = ["15000.00", "18000.00"]
"""


def test_a_policy_reads_as_what_it_says() -> None:
    policy = parse_policy(TEXT)
    assert policy.agents["booker"].tier_max is RiskTier.REVERSIBLE
    assert policy.approvals[0].amount_above == Decimal("500.00")
    assert policy.settings["kor_levels"] == ["15000.00", "18000.00"]


@pytest.mark.promise("POLICY-1")
def test_the_hash_is_of_the_meaning_and_not_of_the_layout() -> None:
    again = parse_policy("# a remark\n" + TEXT.replace('name = "books"\nversion = "3"', "version='3'\nname='books'"))
    other = parse_policy(TEXT.replace("500.00", "500.01"))
    assert policy_hash(parse_policy(TEXT)) == policy_hash(again)
    assert policy_hash(parse_policy(TEXT)) != policy_hash(other)


def asks(**arguments: Any) -> bool:
    approval = parse_policy(TEXT).approval("book", RiskTier.REVERSIBLE, arguments)
    return approval is not None


def test_an_approval_is_asked_for_above_its_amount_and_when_the_amount_cannot_be_read() -> None:
    assert not asks(amount="500.00")
    assert asks(amount="500.01")
    assert asks(amount="-500.01")
    assert asks(amount="a lot")
    assert asks(amount="NaN")
    assert asks()


def test_an_approval_fits_only_its_tool_and_the_tiers_from_its_own_on() -> None:
    policy = parse_policy(TEXT)
    assert policy.approval("read", RiskTier.REVERSIBLE, {}) is None
    assert policy.approval("book", RiskTier.READ_ONLY, {}) is None
    assert policy.approval("book", RiskTier.IRREVERSIBLE, {}) is not None


@pytest.mark.promise("POLICY-1")
@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("name = ", "line 1", "nvalid value"),
        ('name = "x"\nname = "y"', "line 2", "overwrite"),
        ("version = '1'", "top level", "missing required field `name`"),
        ("name = ''", "name", "needs a name"),
        ("name = 'x'\ntools = []", "top level", "unknown field `tools`"),
        ("name = 'x'\n[agents.a]\ntier_max = 'harmless'", "agents[...].tier_max", "harmless"),
        ("name = 'x'\n[agents.a]\ntool = ['a']", "agents[...]", "unknown field `tool`"),
        ("name = 'x'\n[retry.read_only]\nattempts = 0", "retry.read_only", "at least 1"),
        ("name = 'x'\n[timeouts.tasks]\nocr = 0", "ocr", "above 0"),
        ("name = 'x'\n[breaker]\nfailures = 0", "breaker", "above 0"),
        ("name = 'x'\n[bounds]\nrepeats_max = 0", "bounds", "at least 1"),
        ("name = 'x'\n[denied]\nsubmit = ''", "denied.submit", "say why"),
        ("name = 'x'\n[[approvals]]\nrule = 'r'\ntitle = ''", "approvals.r", "title"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_file_and_place(
    tmp_path: Path, text: str, place: str, why: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(path)
    assert caught.value.file == str(path)
    assert place in caught.value.place
    assert why in caught.value.why
    assert "\n" not in str(caught.value)


def test_a_policy_file_that_is_absent_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load_policy(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"name = 'x'\n# \xff")
    with pytest.raises(PolicyInvalid, match="line 2: is not UTF-8"):
        load_policy(tmp_path / "bytes.toml")
