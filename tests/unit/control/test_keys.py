from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.sealing import AesGcmSealer
from gateway.control.keys import (
    SET_BY_DEFAULT,
    SETTABLE,
    KeyEndedError,
    KeyExceedsMakerError,
    KeyMaterial,
    KeyRequest,
    KeyRequestError,
    Maker,
    create_key,
    draft_key,
    draft_rotation,
    excess_of,
    grace_of,
    has_ended,
    issue_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from gateway.control.reach import Reach
from gateway.domain.caller import Role
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


def maker(**changes):
    values = {
        "name": "key:AKIAMAKER",
        "role": Role.OPERATOR,
        "reach": Reach(org="acme", team="web"),
        "may_set": frozenset({"feature", "task"}),
        "may_act_for_others": False,
        "expires_at": NOON + timedelta(days=30),
    }
    return Maker(**{**values, **changes})


def draft(by, **request):
    asked = KeyRequest(**{"org": "acme", "team": "web", "created_by": "test", **request})
    return draft_key(SEALER, asked, MATERIAL, NOON, maker=by).unsealed


def test_what_is_not_asked_for_is_no_more_than_its_maker_has():
    key = draft(maker(), org=None)
    assert (key.org, key.may_set, key.may_act_for_others) == ("acme", ("feature", "task"), False)
    assert key.expires_at == NOON + timedelta(days=30)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"role": "admin"}, "you have the role operator"),
        ({"org": "evil"}, "beyond org/acme/team/web"),
        ({"team": None}, "beyond org/acme/team/web"),
        ({"team": "ops"}, "beyond org/acme/team/web"),
        ({"may_set": ["cache"]}, "'cache'"),
        ({"may_act_for_others": True}, "act for others"),
        ({"expires_at": NOON + timedelta(days=31)}, "outlive"),
    ],
)
def test_a_key_never_exceeds_its_maker(request_, complaint):
    with pytest.raises(KeyExceedsMakerError, match=complaint):
        draft(maker(), **request_)


def test_what_a_maker_has_may_be_handed_on():
    by = maker(role=Role.ADMIN, may_act_for_others=True, expires_at=None)
    key = draft(by, role="operator", may_act_for_others=True, may_set=["task"])
    assert (key.role, key.may_act_for_others, key.may_set) == ("operator", True, ("task",))
    assert key.expires_at is None
    assert excess_of(key, by) is None


async def test_an_administrator_of_the_installation_may_hand_on_everything():
    stored = (await make(org=None, role="admin")).stored
    assert set(stored.may_set) == SETTABLE
    assert stored.may_act_for_others
    assert not (await make(org="acme", role="admin")).stored.may_act_for_others


async def test_a_rotated_key_has_the_rights_of_the_old_one_which_ends_later():
    store = MemoryKeyStore()
    old = (await make(store, team="web", user="ada", may_set=["task"])).stored
    material = KeyMaterial(key_id="AKIATWO", secret="another", bearer="bgk-AKIATWO-another")
    after = draft_rotation(SEALER, old, material, NOON, by="key:AKIAMAKER")
    made = await rotate_key(store, SEALER, old.key_id, after, NOON + timedelta(hours=24))
    new = store.keys["AKIATWO"]
    assert SEALER.open(new).secret == "another"
    assert made.bearer == "bgk-AKIATWO-another"
    rights = ("role", "org", "team", "user", "may_set", "may_act_for_others", "expires_at")
    assert [getattr(new, name) for name in rights] == [getattr(old, name) for name in rights]
    assert new.created_by == "key:AKIAMAKER"
    ending = store.keys[old.key_id]
    assert not has_ended(ending, NOON + timedelta(hours=23))
    assert has_ended(ending, NOON + timedelta(hours=24))


async def test_a_key_that_has_ended_or_is_replaced_already_cannot_be_rotated():
    store = MemoryKeyStore()
    made = (await make(store, expires_at=NOON + timedelta(days=1))).stored
    with pytest.raises(KeyEndedError):
        draft_rotation(SEALER, made, MATERIAL, NOON + timedelta(days=1), by="x")
    await revoke_key(store, made.key_id, NOON + timedelta(hours=1))
    with pytest.raises(KeyEndedError):
        draft_rotation(SEALER, store.keys[made.key_id], MATERIAL, NOON, by="x")


async def test_the_earliest_end_of_a_key_counts():
    store = MemoryKeyStore()
    made = await issue_key(
        store, SEALER, draft_key(SEALER, KeyRequest(org="a", created_by="x"), MATERIAL, NOON)
    )
    await revoke_key(store, made.stored.key_id, NOON + timedelta(hours=24))
    await revoke_key(store, made.stored.key_id, NOON)
    await revoke_key(store, made.stored.key_id, NOON + timedelta(hours=1))
    assert store.keys[made.stored.key_id].revoked_at == NOON


@pytest.mark.parametrize(("seconds", "is_one"), [(0, True), (60, True), (2_592_000, True)])
def test_a_grace_is_none_or_as_long_as_gateways_need(seconds, is_one):
    assert (grace_of(seconds) == timedelta(seconds=seconds)) is is_one


@pytest.mark.parametrize("seconds", [-1, 1, 59, 2_592_001])
def test_another_grace_is_refused(seconds):
    with pytest.raises(KeyRequestError, match="60 seconds"):
        grace_of(seconds)
