from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from gateway.admin.models.keys import Attribute, KeyDocument, NewKeyDocument, RoleName, status_of
from gateway.control.keys import SETTABLE, NewKey
from gateway.domain.caller import Role
from tests.fakes.clock import NOON
from tests.fakes.stored_keys import stored_key

HOUR = timedelta(hours=1)


def test_what_may_be_asked_for_is_what_there_is():
    assert set(get_args(Attribute)) == SETTABLE
    assert set(get_args(RoleName)) == {role.value for role in Role}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"expires_at": None}, "active"),
        ({"expires_at": NOON + HOUR}, "active"),
        ({"expires_at": NOON}, "expired"),
        ({"revoked_at": NOON + HOUR}, "retiring"),
        ({"revoked_at": NOON}, "revoked"),
        ({"revoked_at": NOON, "expires_at": NOON - HOUR}, "revoked"),
    ],
)
def test_a_key_says_whether_it_works(changes, status):
    assert status_of(stored_key(**changes), NOON) == status


def test_a_document_shows_nothing_secret_but_that_of_a_new_key():
    key = stored_key()
    shown = KeyDocument.of(key, NOON).model_dump(mode="json")
    assert shown["acts_for_others"] is False
    assert not {"sealed_secret", "bearer_digest"} & set(shown)
    made = NewKeyDocument.of_new(NewKey(stored=key, secret="s", bearer="b"), NOON, replaces="AKIAX")
    extra = {"secret_access_key": "s", "bearer_key": "b", "replaces": "AKIAX"}
    assert made.model_dump(mode="json") == shown | extra
