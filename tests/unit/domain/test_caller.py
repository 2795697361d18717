"""Callers: where their spend is accounted."""

from __future__ import annotations

import pytest

from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId


def caller(**names):
    return Caller(
        key_id=KeyId("AKIAEXAMPLE"), credential=CredentialKind.SIGV4, role=Role.CALLER, **names
    )


def test_a_user_is_accounted_in_every_scope_above():
    scopes = caller(org="acme", team="web", user="ada").scopes
    assert [scope.path for scope in scopes] == [
        "platform",
        "org/acme",
        "org/acme/team/web",
        "org/acme/team/web/user/ada",
    ]


def test_an_application_is_a_branch_of_its_org():
    paths = [scope.path for scope in caller(org="acme", team="web", application="shop").scopes]
    assert paths[-1] == "org/acme/application/shop"
    assert not any("/user/" in path for path in paths)


def test_spend_that_no_team_claims_is_unattributed():
    assert caller(org="acme").scopes[-1].path == "org/acme/team/unattributed"


def test_a_name_that_could_break_out_of_its_scope_is_no_caller():
    with pytest.raises(ValueError, match="scope name"):
        _ = caller(org="acme", team="web/user/root").scopes
