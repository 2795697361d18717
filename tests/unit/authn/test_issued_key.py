from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.authn.issued_key import caller_of, expect_in_force
from gateway.domain.caller import CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import NOON
from tests.fakes.issued_keys import issued_key

A_SECOND = timedelta(seconds=1)


def test_a_key_without_end_is_in_force():
    expect_in_force(issued_key("AKIA1"), NOON)


def test_a_key_is_in_force_until_the_instant_it_ends():
    expect_in_force(issued_key("AKIA1", expires_at=NOON + A_SECOND), NOON)
    expect_in_force(issued_key("AKIA1", revoked_at=NOON + A_SECOND), NOON)


@pytest.mark.parametrize("ago", [timedelta(0), A_SECOND])
def test_an_expired_key_says_when_it_ended(ago):
    with pytest.raises(GatewayError) as refused:
        expect_in_force(issued_key("AKIA1", expires_at=NOON - ago), NOON)
    assert refused.value.reason is Reason.CREDENTIAL_EXPIRED
    assert "2026-11-21" in refused.value.detail


def test_a_revoked_key_counts_as_unknown_even_if_it_has_expired_too():
    key = issued_key("AKIA1", revoked_at=NOON, expires_at=NOON)
    with pytest.raises(GatewayError) as refused:
        expect_in_force(key, NOON)
    assert refused.value.reason is Reason.CREDENTIAL_UNKNOWN


def test_a_caller_is_what_its_key_binds():
    key = issued_key(
        "AKIA1",
        role=Role.VIEWER,
        org="o",
        team="t",
        user="u",
        application="a",
        may_set=frozenset({"feature"}),
        may_act_for_others=True,
    )
    caller = caller_of(key, CredentialKind.BEARER_KEY)
    assert (caller.key_id, caller.credential) == ("AKIA1", CredentialKind.BEARER_KEY)
    assert (caller.org, caller.team, caller.user, caller.application) == ("o", "t", "u", "a")
    assert (caller.role, caller.may_set) == (Role.VIEWER, {"feature"})
    assert caller.may_act_for_others
