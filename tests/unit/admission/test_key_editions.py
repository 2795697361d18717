from __future__ import annotations

from gateway.admission.key_editions import AS_ISSUED, is_about_key, key_editions
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId
from gateway.domain.reservation import Seen, SeenKind


def caller(kind):
    return Caller(key_id=KeyId("AKIA"), credential=kind, role=Role.CALLER, org="acme")


def test_a_plan_says_with_which_edition_of_a_key_it_was_made():
    seen = (Seen(kind=SeenKind.KEY, name="AKIA", version=AS_ISSUED),)
    assert key_editions(caller(CredentialKind.SIGV4)) == seen
    assert key_editions(caller(CredentialKind.BEARER_KEY)) == seen


def test_a_token_has_no_key_that_could_be_ended():
    assert key_editions(caller(CredentialKind.JWT)) == ()


def test_what_a_ledger_calls_stale_may_be_a_key():
    assert is_about_key("key:AKIA")
    assert not is_about_key("policy:rules")
