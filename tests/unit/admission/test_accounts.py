from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.accounts import (
    ShardKeys,
    balance_key,
    budget_account,
    ceiling_of,
    rate_account,
    taken_claims,
    touched_keys,
    window_at,
)
from gateway.domain.ids import RequestId
from gateway.domain.period import Period
from gateway.domain.reservation import Granted, Resource, Rung, Utilisation
from gateway.domain.scope import Scope, is_scope_name
from gateway.policy.document import BudgetMode
from gateway.policy.effective import BudgetLimit, RateLimit
from tests.fakes.ledgers import ACME, DAY_MS, MIDNIGHT_MS, budget, rate

MONTHLY = BudgetLimit(
    name="monthly",
    scope=ACME,
    period=Period.MONTH,
    zone=ZoneInfo("Europe/Berlin"),
    ceiling=1,
    mode=BudgetMode.HARD,
)
PER_MINUTE = RateLimit(
    name="per minute",
    scope=ACME,
    resource=Resource.TOKENS,
    capacity=100,
    period_ms=60_000,
    enforced=True,
)


def test_a_budgets_account_is_its_scope_period_and_zone():
    assert budget_account(MONTHLY).key == "usd:org/acme:month:Europe/Berlin"


def test_a_budget_that_is_renamed_raised_or_softened_keeps_what_was_spent():
    changed = replace(MONTHLY, name="other", ceiling=2, mode=BudgetMode.OBSERVE)
    assert budget_account(changed).key == budget_account(MONTHLY).key


def test_a_rates_account_is_its_scope_and_what_it_lets_pass():
    assert rate_account(PER_MINUTE).key == "tokens:org/acme:100:60000"
    assert rate_account(replace(PER_MINUTE, name="b")).key == rate_account(PER_MINUTE).key
    for change in ({"capacity": 99}, {"period_ms": 1}, {"resource": Resource.REQUESTS}):
        assert rate_account(replace(PER_MINUTE, **change)).key != rate_account(PER_MINUTE).key


def test_the_window_is_part_of_a_balances_key_so_nothing_is_ever_reset():
    claim = budget(1, 1)
    assert balance_key(claim.account, claim.current) == "usd:org/acme:day:UTC:2026-05-01"
    assert balance_key(claim.account, claim.following) == "usd:org/acme:day:UTC:2026-05-02"


def test_all_keys_of_a_shard_share_its_hash_tag():
    keys = ShardKeys("s7")
    for key in (keys.account("usd:x"), keys.hold(RequestId("a")), keys.due, keys.usage):
        assert key.startswith("{s7}:")


scopes = st.lists(st.from_regex(r"[a-z0-9@._+-]{1,8}", fullmatch=True).filter(is_scope_name))


@given(names=scopes.filter(bool))
def test_no_scope_can_break_out_of_its_key(names):
    """S2: braces, colons and line ends mean something in a key; a checked name has none."""
    scope = Scope.org(names[0])
    key = ShardKeys().account(budget_account(replace(MONTHLY, scope=scope)).key)
    assert key.count("{") == key.count("}") == 1
    assert key.split(":")[2] == scope.path


def test_a_record_names_the_windows_that_the_ledger_picked():
    claims = (budget(1, 9), budget(1, 9, name="shadow"), rate(1, 9))
    rung = Rung(name="r", hold_nano_usd=1, claims=claims)
    receipt = Granted(request_id="a", rung=0, at_ms=MIDNIGHT_MS + DAY_MS, utilisation=())
    assert touched_keys(rung, receipt) == (
        "usd:org/acme:day:UTC:2026-05-02",
        "tokens:org/acme:9:60000",
    )


def test_an_instant_outside_both_windows_has_no_window():
    claim = budget(1, 9)
    assert window_at(claim, MIDNIGHT_MS - 1) is None
    assert window_at(claim, MIDNIGHT_MS) == claim.current
    assert window_at(claim, MIDNIGHT_MS + DAY_MS) == claim.following
    assert window_at(claim, MIDNIGHT_MS + 2 * DAY_MS) is None


def test_only_what_was_counted_is_taken_each_account_once():
    """An observed rate that stood above its capacity has nothing to give back."""
    claims = (
        budget(5, 100),
        budget(5, 4, name="shadow", enforced=False),
        rate(7, 100),
        rate(7, 6, name="observed and full", enforced=False),
        rate(7, 50, name="observed", enforced=False),
    )
    used = (5, 5, 7, 7, 7)
    receipt = Granted(
        request_id=RequestId("r"),
        rung=0,
        at_ms=MIDNIGHT_MS,
        utilisation=tuple(
            Utilisation(account=c.account, used=u, ceiling=ceiling_of(c), resets_at_ms=None)
            for c, u in zip(claims, used, strict=True)
        ),
    )
    taken = taken_claims(Rung(name="as asked", hold_nano_usd=5, claims=claims), receipt)
    assert [claim.account.name for _, claim in taken] == ["budget", "rate", "observed"]
