from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.accounts import balance_key
from gateway.domain.period import Period, windows_at
from gateway.domain.reservation import Account, Resource
from gateway.domain.scope import Scope
from gateway.journal.account_row import account_window, account_windows
from gateway.journal.codec import UnreadableDocumentError
from tests.fakes.records import document_of

HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12", "Australia/Lord_Howe")
instants = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 - given its zone by the strategy
    datetime(2040, 1, 1),  # noqa: DTZ001 - same
    timezones=st.just(UTC),
)


def key_of(period, zone, window, *, rolling=False):
    name = f"rolling-{period.value}" if rolling else period.value
    account = Account(
        scope=Scope.org("acme"),
        resource=Resource.MONEY,
        name="any",
        key=f"usd:org/acme/team/a.b@c:{name}:{zone}",
    )
    return balance_key(account, window)


@given(st.sampled_from(Period), st.sampled_from(ZONES), instants)
def test_a_row_lives_until_its_window_has_ended_and_two_days_more(period, zone, at):
    window, _ = windows_at(period, ZoneInfo(zone), at)
    until_ms = account_window(key_of(period, zone, window)).until_ms
    assert window.end_ms + 48 * HOUR_MS <= until_ms <= window.end_ms + (48 + 110) * HOUR_MS


@given(st.sampled_from(Period), st.sampled_from(ZONES), instants)
def test_a_row_of_a_rolling_window_lives_as_long_as_it_may_count(period, zone, at):
    first, _ = windows_at(period, ZoneInfo(zone), at)
    last = first
    for _ in range(31):
        _, last = windows_at(
            period, ZoneInfo(zone), datetime.fromtimestamp(last.start_ms / 1000, UTC)
        )
    until_ms = account_window(key_of(period, zone, first, rolling=True)).until_ms
    assert until_ms >= last.end_ms + 48 * HOUR_MS


def test_only_budgets_are_accounts_of_the_books_and_each_counts_once():
    month = "usd:org/acme:month:UTC:2026-11"
    document = document_of(accounts=("requests:org/acme:60:60000", month, month))
    assert [account.key for account in account_windows(document)] == [month]
    assert account_windows(document_of(accounts=())) == []


@pytest.mark.parametrize(
    "key",
    [
        "usd:org/acme",
        "usd:org/acme:month:UTC:2026-13",
        "usd:org/acme:year:UTC:2026",
        "usd:org/acme:day:UTC:today",
        "usd:org/acme:week:UTC:2026-W60",
        "usd:a:b:c:d:e",
        f"usd:org/{'x' * 1000}:month:UTC:2026-11",
    ],
)
def test_a_key_that_names_no_window_is_refused(key):
    with pytest.raises(UnreadableDocumentError):
        account_window(key)


@pytest.mark.parametrize("accounts", ["usd:org/acme:month:UTC:2026-11", [1]])
def test_accounts_that_are_no_list_of_texts_are_refused(accounts):
    with pytest.raises(UnreadableDocumentError, match="list of texts"):
        account_windows({**document_of(), "accounts": accounts})
