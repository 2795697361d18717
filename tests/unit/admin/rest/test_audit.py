from __future__ import annotations

import asyncio

from gateway.admin.rest.audit import entry_document
from gateway.admin.server import make_admin_app
from tests.fakes.admin import MemoryChain, bearer, services, whole_chain
from tests.fakes.audit import chain

OPERATOR = bearer("operator@platform")


async def test_entries_come_newest_first_each_once_by_pages(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services(chain=MemoryChain(*chain(7)))))
    found, query = [], {"limit": "3"}
    while True:
        page = await (await api.get("/v1/audit", params=query, headers=OPERATOR)).json()
        found += [entry["seq"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == [7, 6, 5, 4, 3, 2, 1]


async def test_an_empty_trail_is_an_empty_page(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services()))
    page = await (await api.get("/v1/audit", headers=OPERATOR)).json()
    assert page == {"items": [], "next_cursor": None}


def test_an_entry_shows_who_did_what_and_nothing_that_was_erased():
    (entry,) = chain(1)
    document = entry_document(entry)
    assert (document.actor, document.action) == (entry.details.actor, "key.create")
    assert document.hash == entry.hash
    erased = type(entry)(**{**{f: getattr(entry, f) for f in entry.__slots__}, "details": None})
    assert entry_document(erased).actor is None


async def test_those_who_verify_at_the_same_time_wait_for_one_answer(aiohttp_client):
    begun, has_begun, go = [], asyncio.Event(), asyncio.Event()

    async def verify():
        begun.append(1)
        has_begun.set()
        await go.wait()
        return await whole_chain()

    api = await aiohttp_client(make_admin_app(services(verify_audit=verify)))
    asked = [asyncio.create_task(api.get("/v1/audit/verify", headers=OPERATOR)) for _ in range(3)]
    await has_begun.wait()
    await asyncio.sleep(0.05)
    go.set()
    assert [(await one).status for one in asked] == [200] * 3
    assert len(begun) == 1
    assert (await api.get("/v1/audit/verify", headers=OPERATOR)).status == 200
    assert len(begun) == 2
