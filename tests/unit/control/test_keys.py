from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.sealing import AesGcmSealer
from gateway.control.keys import (
    SET_BY_DEFAULT,
    SETTABLE,
    KeyMaterial,
    KeyRequest,
    KeyRequestError,
    create_key,
    list_keys,
    revoke_key,
)
from gateway.domain.errors import GatewayError
from tests.fakes.stores import MemoryKeyStore

SEALER = AesGcmSealer(base64.b64encode(bytes(range(32))).decode())
MATERIAL = KeyMaterial(key_id="AKIANEW", secret="the-secret", bearer="bgk-AKIANEW-the-bearer")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def make(store=None, material=MATERIAL, **request):
    asked = KeyRequest(**{"org": "acme", "created_by": "test", **request})
    return await create_key(store or MemoryKeyStore(), SEALER, asked, material, NOON)


async def test_a_new_key_is_stored_sealed_and_opens_to_its_secret():
    store = MemoryKeyStore()
    made = await make(store, team="web", user="ada", expires_at=NOON + timedelta(days=90))
    stored = store.keys["AKIANEW"]
    assert made.stored == stored
    assert (made.secret, made.bearer) == ("the-secret", "bgk-AKIANEW-the-bearer")
    issued = SEALER.open(stored)
    assert issued.secret == "the-secret"
    assert issued.bearer_digest == SEALER.bearer_digest(made.bearer)
    assert (issued.org, issued.team, issued.user) == ("acme", "web", "ada")
    assert issued.created_at == NOON


async def test_nothing_that_is_stored_or_printed_by_accident_holds_the_secret():
    store = MemoryKeyStore()
    made = await make(store)
    for text in (repr(made), repr(store.keys), repr(MATERIAL)):
        assert "the-secret" not in text
        assert "the-bearer" not in text
    stored = store.keys["AKIANEW"]
    assert b"the-secret" not in stored.sealed_secret
    assert b"the-bearer" not in stored.bearer_digest


async def test_what_is_not_said_is_unattributed_and_narrow():
    stored = (await make()).stored
    assert (stored.team, stored.user, stored.application) == ("unattributed", None, None)
    assert stored.role == "caller"
    assert set(stored.may_set) == SET_BY_DEFAULT
    assert not stored.may_act_for_others
    assert stored.expires_at is None
    assert stored.revoked_at is None


async def test_an_administrators_key_needs_no_org():
    assert (await make(org=None, role="admin")).stored.org == "platform"


async def test_the_attributes_a_key_may_set_are_chosen_from_a_closed_list():
    assert (await make(may_set=["task", "feature", "task"])).stored.may_set == ("feature", "task")
    assert (await make(may_set=[])).stored.may_set == ()
    assert SET_BY_DEFAULT < SETTABLE
    assert "end-user" not in SETTABLE


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"org": None}, "bound to an org"),
        ({"org": ""}, "bound to an org"),
        ({"org": "a/b"}, "org must be"),
        ({"org": "*"}, "org must be"),
        ({"team": "a b"}, "team must be"),
        ({"user": "x" * 65}, "user must be"),
        ({"application": "{tag}"}, "application must be"),
        ({"role": "root"}, "caller, viewer, analyst, operator, admin"),
        ({"may_set": ["feature", "org"]}, "not 'org'"),
        ({"may_set": ["end-user"]}, "not 'end-user'"),
        ({"expires_at": NOON}, "in the future"),
        ({"role": "viewer", "may_act_for_others": True}, "acts for others"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_issued(request_, complaint):
    store = MemoryKeyStore()
    with pytest.raises(KeyRequestError, match=complaint):
        await make(store, **request_)
    assert store.keys == {}


async def test_an_id_that_exists_is_never_overwritten():
    store = MemoryKeyStore()
    await make(store)
    with pytest.raises(GatewayError):
        await make(store, org="evil")
    assert store.keys["AKIANEW"].org == "acme"


async def test_keys_are_listed_and_revoked_once():
    store = MemoryKeyStore()
    await make(store)
    assert [key.key_id for key in await list_keys(store)] == ["AKIANEW"]
    assert await revoke_key(store, "AKIANEW", NOON)
    assert await revoke_key(store, "AKIANEW", NOON + timedelta(hours=1))
    assert store.keys["AKIANEW"].revoked_at == NOON
    assert not await revoke_key(store, "AKIANONE", NOON)
