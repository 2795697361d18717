"""The one error: its reason is data, its text is for people."""

from __future__ import annotations

from gateway.domain.errors import Fault, GatewayError, LedgerNotAskedError
from gateway.domain.reason import Reason


def test_an_error_says_its_reason_and_what_was_expected():
    error = GatewayError(Reason.MALFORMED_PATH, "expected /model/{id}/converse")
    assert str(error) == "malformed_path: expected /model/{id}/converse"
    assert error.fault is Fault.CALLER
    assert error.retry_after_s is None


def test_an_error_without_detail_is_its_reason():
    error = GatewayError(Reason.OVERLOADED, fault=Fault.GATEWAY, retry_after_s=1.5)
    assert str(error) == "overloaded"
    assert (error.fault, error.retry_after_s) == (Fault.GATEWAY, 1.5)


def test_a_ledger_that_was_not_asked_is_away_like_any_other_to_the_caller():
    error = LedgerNotAskedError("asked again in a moment")
    assert isinstance(error, GatewayError)
    assert error.reason is Reason.LEDGER_UNAVAILABLE
    assert error.fault is Fault.GATEWAY
    assert error.retry_after_s == 1.0
