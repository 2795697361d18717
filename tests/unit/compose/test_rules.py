"""The rules a process decides by: swapped whole, only for newer ones, kept where none come."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.compose.rules import LiveRules
from gateway.control.bundle import compile_bundle, seen_of
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, RulesInForce
from gateway.domain.reason import Reason
from gateway.proxy.admit import Rules
from tests.fakes.observers import RememberingObserver
from tests.fakes.price_files import shipped_prices
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of


def make(published):
    return Rules(
        policies=compile_bundle(published),
        prices=shipped_prices(),
        home_accounts=frozenset(),
        seen=(seen_of(published.edition),),
    )


@pytest.fixture
def store():
    return MemoryBundleStore()


@pytest.fixture
def observer():
    return RememberingObserver()


@pytest.fixture
def rules(store, observer):
    return LiveRules(store, make, observer)


async def put(store, files=None):
    return (
        await store.publish(bundle(files), expected=await store.edition(), at_least=1000)
    ).edition


async def test_nothing_is_decided_before_the_first_rules_came(rules):
    with pytest.raises(GatewayError) as refused:
        rules.current()
    assert refused.value.reason is Reason.OVERLOADED


async def test_a_process_waits_for_the_first_rules_and_says_so(rules, store, observer):
    store.is_away = True
    waiting = asyncio.create_task(rules.wait_for_first())
    async with asyncio.timeout(5):
        while not observer.facts:  # noqa: ASYNC110 - facts set no event
            await asyncio.sleep(0)
        store.is_away = False
        while len(observer.facts) < 2:  # noqa: ASYNC110 - same
            await asyncio.sleep(0.01)
        edition = await put(store)
        await waiting
    assert rules.current().seen == (seen_of(edition),)
    assert rules.current().policies.version == str(edition)
    said = [fact.detail for fact in observer.facts if isinstance(fact, ComponentFailed)]
    assert said[0] == "the rules' store does not answer"
    assert said[1].startswith("no rules are in force: waiting for a publisher")
    assert isinstance(observer.facts[-2], ComponentRecovered)
    assert isinstance(observer.facts[-1], RulesInForce)


async def test_i12_newer_rules_take_the_place_of_older_ones_and_never_the_other_way(rules, store):
    first = await put(store)
    await rules.refresh()
    old = store.stored
    second = await put(store, folder_of("acme", "globex"))
    await rules.refresh()
    assert (rules.edition, set(rules.current().policies.orgs)) == (second, {"acme", "globex"})
    store.stored = old
    await rules.refresh()
    assert rules.edition == second > first


async def test_many_who_ask_at_once_fetch_once(rules, store):
    await put(store)
    asked = store.asked
    await asyncio.gather(*(rules.refresh() for _ in range(50)))
    assert store.asked == asked + 1
    assert rules.edition


async def test_a_store_that_is_away_leaves_the_last_rules_in_force(rules, store):
    await put(store)
    await rules.refresh()
    before = rules.current()
    store.is_away = True
    with pytest.raises(GatewayError):
        await rules.refresh()
    assert rules.current() is before


async def test_rules_that_this_release_cannot_use_are_said_and_not_taken(rules, store, observer):
    first = await put(store)
    await rules.refresh()
    second = await put(store, {"acme.yaml": "something: new\n"})
    await rules.refresh()
    assert rules.edition == first
    assert rules.trouble.startswith(f"edition {second} cannot be used by this release")
    assert [fact.component for fact in observer.facts if isinstance(fact, ComponentFailed)] == [
        "rules"
    ]
    await put(store)
    await rules.refresh()
    assert rules.trouble == ""


async def test_what_is_heard_of_is_fetched_at_once(rules, store):
    await put(store)
    await rules.refresh()
    running = asyncio.create_task(rules.run(every_s=3600))
    edition = await put(store, folder_of("globex"))
    rules.heard(edition)
    async with asyncio.timeout(5):
        while rules.edition != edition:  # noqa: ASYNC110 - a swap sets no event
            await asyncio.sleep(0.001)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_nobody_tells_is_found_by_looking(rules, store):
    running = asyncio.create_task(rules.run(every_s=0.01))
    edition = await put(store)
    async with asyncio.timeout(5):
        while rules.edition != edition:  # noqa: ASYNC110 - a swap sets no event
            await asyncio.sleep(0.001)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
