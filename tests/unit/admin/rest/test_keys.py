from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.admin.server import make_admin_app
from gateway.domain.observer import ComponentFailed
from tests.fakes.admin import SEALER, FakeGate, bearer, services
from tests.fakes.clock import NOON
from tests.fakes.stored_keys import sealed_key

OPERATOR = bearer("operator@acme")
ADMIN_KEY = "AKIAZZZZZZZZZZZZZZZZ"


@pytest.fixture
def house():
    return services()


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


@pytest.fixture
async def made(api):
    answer = await api.post("/v1/keys", json={"user": "ada", "team": "web"}, headers=OPERATOR)
    assert answer.status == 201
    return await answer.json()


async def test_a_new_key_is_shown_whole_once_and_opens_to_its_secret(api, house, made):
    assert made["org"] == "acme"
    assert made["created_by"] == "key:AKIAOPERATOR"
    stored = house.keys.keys[made["key_id"]]
    assert SEALER.open(stored).secret == made["secret_access_key"]
    assert SEALER.bearer_digest(made["bearer_key"]) == stored.bearer_digest
    shown = await api.get(f"/v1/keys/{made['key_id']}", headers=OPERATOR)
    listed = await api.get("/v1/keys", headers=OPERATOR)
    for answer in (shown, listed):
        text = await answer.text()
        assert made["key_id"] in text
        assert made["secret_access_key"] not in text
        assert made["bearer_key"] not in text
    (event,) = house.trail.events
    assert (event.action, event.resource) == ("key.create", f"key/{made['key_id']}")
    assert made["secret_access_key"] not in str(event)


@pytest.mark.parametrize(
    "field",
    [
        {"key_id": "AKIAAAAAAAAAAAAAAAAA"},
        {"sealed_secret": "x"},
        {"bearer_digest": "x"},
        {"created_by": "cli:root"},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"revoked_at": None},
        {"allowed_routes": ["*"]},
        {"may_act_for_others": True},
        {"status": "active"},
        {"is_admin": True},
    ],
)
async def test_nothing_can_be_assigned_that_is_not_asked_for(api, house, field):
    answer = await api.post("/v1/keys", json={"user": "ada", **field}, headers=OPERATOR)
    assert answer.status == 422
    assert (await answer.json())["errors"][0]["pointer"] == f"#/{next(iter(field))}"
    assert house.keys.keys == {}


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"role": "admin"}, 403),
        ({"role": "operator"}, 201),
        ({"org": "globex"}, 403),
        ({"org": "platform"}, 403),
        ({"acts_for_others": True}, 403),
        ({"expires_at": "2026-11-22T12:00:01Z"}, 403),
        ({"expires_at": "2026-11-22T11:00:00Z"}, 201),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({"expires_at": "2026-11-22T11:00:00"}, 422),
        ({"role": "root"}, 422),
        ({"user": "a/b"}, 422),
        ({"may_set": ["org"]}, 422),
    ],
)
async def test_a_key_never_exceeds_who_makes_it(aiohttp_client, order, status):
    house = services(gate=FakeGate(expires_at=NOON + timedelta(days=1)))
    api = await aiohttp_client(make_admin_app(house))
    answer = await api.post("/v1/keys", json=order, headers=OPERATOR)
    assert answer.status == status, await answer.text()
    assert len(house.keys.keys) == (1 if status == 201 else 0)
    for key in house.keys.keys.values():
        assert key.expires_at <= NOON + timedelta(days=1)


async def test_a_rotated_key_is_replaced_now_and_ends_after_its_grace(api, house, made):
    path = f"/v1/keys/{made['key_id']}"
    answer = await api.post(f"{path}/rotate", json={"grace_s": 3600}, headers=OPERATOR)
    new = await answer.json()
    assert answer.status == 201
    assert new["replaces"] == made["key_id"] != new["key_id"]
    assert (new["user"], new["team"]) == ("ada", "web")
    old = await (await api.get(path, headers=OPERATOR)).json()
    assert (old["status"], old["revoked_at"]) == ("retiring", "2026-11-21T13:00:00Z")
    assert house.revocations.announced == []
    again = await api.post(f"{path}/rotate", headers=OPERATOR)
    assert again.status == 409
    house.clock.advance(3600)
    assert (await (await api.get(path, headers=OPERATOR)).json())["status"] == "revoked"


async def test_without_a_grace_the_old_key_ends_at_once_everywhere(api, house, made):
    path = f"/v1/keys/{made['key_id']}/rotate"
    assert (await api.post(path, json={"grace_s": 59}, headers=OPERATOR)).status == 422
    assert (await api.post(path, json={"grace_s": 0}, headers=OPERATOR)).status == 201
    assert house.revocations.announced == [made["key_id"]]


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/revoke"), ("DELETE", "")])
async def test_a_revoked_key_is_announced_and_stays_listed(api, house, made, method, suffix):
    path = f"/v1/keys/{made['key_id']}"
    for _ in range(2):
        answer = await api.request(method, path + suffix, headers=OPERATOR)
        assert (answer.status, (await answer.json())["status"]) == (200, "revoked")
    assert house.keys.keys[made["key_id"]].revoked_at == NOON
    assert house.revocations.announced == [made["key_id"]] * 2
    answer = await api.get("/v1/keys?status=revoked", headers=OPERATOR)
    assert [key["key_id"] for key in (await answer.json())["items"]] == [made["key_id"]]


async def test_a_revocation_stands_though_it_cannot_be_announced(api, house, made):
    house.revocations.is_available = False
    answer = await api.delete(f"/v1/keys/{made['key_id']}", headers=OPERATOR)
    assert answer.status == 200
    assert house.keys.keys[made["key_id"]].revoked_at == NOON
    assert isinstance(house.observer.facts[0], ComponentFailed)


async def test_who_could_not_have_made_a_key_gets_neither_its_rights_nor_its_end(api, house):
    house.keys.keys[ADMIN_KEY] = sealed_key(SEALER, ADMIN_KEY, role="admin", user=None)
    for path in ("/rotate", "/revoke"):
        answer = await api.post(f"/v1/keys/{ADMIN_KEY}{path}", headers=OPERATOR)
        assert answer.status == 403
    assert list(house.keys.keys) == [ADMIN_KEY]
    assert house.keys.keys[ADMIN_KEY].revoked_at is None
    assert house.trail.said == [("key.rotate", "refused"), ("key.revoke", "refused")]


@pytest.mark.parametrize("key_id", ["AKIAAAAAAAAAAAAAAAAZ", "x", "AKIA%00", "a" * 300])
async def test_a_key_that_is_not_there_is_not_found(api, key_id):
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/revoke")):
        answer = await api.request(method, f"/v1/keys/{key_id}{suffix}", headers=OPERATOR)
        assert answer.status == 404


async def test_keys_come_newest_first_by_pages(api, house):
    for number in range(7):
        house.clock.advance(number % 2)  # some at the same instant
        await api.post("/v1/keys", json={"user": f"u{number}"}, headers=OPERATOR)
    found, query = [], {"limit": "3"}
    while True:
        page = await (await api.get("/v1/keys", params=query, headers=OPERATOR)).json()
        assert len(page["items"]) <= 3
        found += [(key["created_at"], key["key_id"]) for key in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(found) == 7
    assert found == sorted(set(found), reverse=True)
    other = await api.get("/v1/keys", params={**query, "user": "u1"}, headers=OPERATOR)
    assert other.status == 400
    stranger = await api.get("/v1/keys", params=query, headers=bearer("operator@globex"))
    assert stranger.status == 400
