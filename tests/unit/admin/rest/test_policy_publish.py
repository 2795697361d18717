from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from gateway.control.bundle import FolderState, PublisherReport
from tests.fakes.admin import bearer, services
from tests.fakes.clock import NOON
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of, policy

ORGS = ("acme", "globex", "initech")
REPORT = PublisherReport(
    name="w1", folder="policies", is_leader=True, state=FolderState.BROKEN, detail="a.yaml:3",
    edition=7, at=NOON,
)  # fmt: skip


@pytest.fixture
async def house():
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of(*ORGS)), expected=0, at_least=7)

    async def publishers():
        return [REPORT]

    return services(rules=store, publishers=publishers)


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


async def put(api, files, tag='"7"', who="admin@platform", **more):
    headers = bearer(who) | ({} if tag is None else {"If-Match": tag})
    body = {"files": files, "why": "cheaper", **more}
    answer = await api.put("/v1/policies", json=body, headers=headers)
    return answer.status, await answer.json(), answer.headers.get("ETag")


def changed(*orgs):
    return folder_of(*ORGS) | folder_of(*orgs, usd=1)


async def test_files_are_put_in_force_under_a_new_edition_and_are_on_record(api, house):
    status, found, tag = await put(api, changed("acme"))
    assert (status, found["published"], found["orgs_hit"], found["orgs"]) == (
        200,
        True,
        ["acme"],
        3,
    )
    current = await house.current_bundle()
    assert (current.edition, tag) == (found["edition"], f'"{found["edition"]}"')
    assert (current.files, current.why) == (changed("acme"), "cheaper")
    assert current.published_by == "key:AKIAADMIN"
    assert house.trail.said == [("policy.push", "done")]
    assert house.trail.events[0].context["orgs_hit"] == "1 of 3"


async def test_what_was_made_from_an_older_edition_is_refused(api, house):
    await put(api, changed("acme"))
    status, found, _ = await put(api, changed("globex"))
    assert (status, found["type"].split(":")[-1]) == (412, "changed_meanwhile")
    assert (await house.current_bundle()).files == changed("acme")


async def test_who_does_not_say_which_edition_was_changed_is_asked_to(api, house):
    status, found, _ = await put(api, changed("acme"), tag=None)
    assert (status, found["type"].split(":")[-1]) == (428, "version_needed")
    assert house.trail.said == []


async def test_more_than_half_of_the_orgs_need_a_confirmation_that_names_them(api, house):
    status, found, _ = await put(api, changed("acme", "globex"))
    assert (status, found["type"].split(":")[-1]) == (409, "needs_confirmation")
    assert "would hit 2 of 3 orgs: acme, globex" in found["detail"]
    assert [error["detail"].split()[-1] for error in found["errors"]] == ["acme", "globex"]
    assert (await house.current_bundle()).edition == 7
    status, found, _ = await put(api, changed("acme", "globex"), confirmed=True)
    assert (status, found["orgs_hit"]) == (200, ["acme", "globex"])


async def test_the_same_rules_are_not_published_twice(api):
    status, found, tag = await put(api, folder_of(*ORGS))
    assert (status, found["published"], found["edition"], tag) == (200, False, 7, '"7"')


async def test_broken_files_change_nothing(api, house):
    status, found, _ = await put(api, {"a.yaml": "version: 1\norg: a\nbudgetz: 1\nx: 2\n"})
    assert (status, found["type"].split(":")[-1], len(found["errors"])) == (422, "broken_rules", 2)
    assert "(and 1 more)" in found["detail"]
    assert (await house.current_bundle()).edition == 7


async def test_who_loses_a_race_is_told_and_it_is_on_record(api, house):
    record = house.trail.record

    async def race(event):
        house.trail.record = record
        await record(event)
        assert (await put(api, changed("globex")))[0] == 200

    house.trail.record = race
    status, _, _ = await put(api, changed("acme"))
    assert status == 412
    assert house.trail.said == [("policy.push", "done"), ("policy.push", "done"),
                                ("policy.push", "failed")]  # fmt: skip


@pytest.mark.parametrize(
    ("who", "status"), [("operator@platform", 403), ("admin@acme", 403), ("admin@platform", 200)]
)
async def test_only_administrators_of_everything_publish(api, who, status):
    assert (await put(api, {**folder_of(*ORGS), "new.yaml": policy("new")}, who=who))[0] == status


async def test_the_first_edition_is_published_over_none(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services()))
    assert (await put(api, folder_of("acme"), tag='"0"'))[0] == 200


async def test_publishers_say_how_their_folders_stand(api):
    answer = await api.get("/v1/policies/publishers", headers=bearer("viewer@platform"))
    (item,) = (await answer.json())["items"]
    assert (item["publisher"], item["state"], item["detail"]) == ("w1", "broken", "a.yaml:3")
    refused = await api.get("/v1/policies/publishers", headers=bearer("viewer@acme"))
    assert refused.status == 403
