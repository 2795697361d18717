from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

from gateway.adapters.key_directory import CachingKeyDirectory, Freshness
from gateway.adapters.sealing import AesGcmSealer
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed
from gateway.domain.reason import Reason
from gateway.domain.reservation import SeenKind
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.stored_keys import sealed_key
from tests.fakes.stores import MemoryKeyStore

SEALER = AesGcmSealer(base64.b64encode(bytes(range(32))).decode())
KEY = "AKIAAAAAAAAAAAAAAAAA"


class House:
    """A directory with all that it stands on."""

    def __init__(self, **freshness):
        self.store = MemoryKeyStore()
        self.clock = FakeClock()
        self.observer = RememberingObserver()
        self.store.keys[KEY] = sealed_key(SEALER)
        self.directory = CachingKeyDirectory(
            self.store, SEALER, self.clock, self.observer, Freshness(**freshness)
        )

    async def find(self, key_id=KEY):
        return await self.directory.find(key_id)

    async def settle(self):
        """Lets lookups in the background end."""
        await asyncio.gather(*self.directory._lookups.values(), return_exceptions=True)


@pytest.fixture
async def house():
    made = House()
    yield made
    await made.directory.close()


async def test_a_known_key_is_answered_from_memory(house):
    first = await house.find()
    house.clock.advance(0.5)
    assert await house.find() is first
    assert house.store.asked == [KEY]


async def test_a_revocation_binds_within_the_bound(house):
    assert (await house.find()).revoked_at is None
    await house.store.revoke(KEY, house.clock.now())
    house.clock.advance(1.0)
    assert (await house.find()).revoked_at == house.store.keys[KEY].revoked_at


async def test_a_key_in_use_is_read_again_while_its_callers_do_not_wait(house):
    await house.find()
    house.store.gate = asyncio.Event()
    house.clock.advance(0.7)
    assert (await house.find()).key_id == KEY
    assert (await house.find()).key_id == KEY
    await asyncio.sleep(0)
    assert house.store.asked == [KEY, KEY]
    house.store.gate.set()
    await house.settle()
    house.clock.advance(0.5)
    assert (await house.find()).key_id == KEY
    assert house.store.asked == [KEY, KEY]


async def test_a_key_that_is_gone_is_unknown_within_the_bound(house):
    await house.find()
    del house.store.keys[KEY]
    house.clock.advance(1.0)
    assert await house.find() is None


async def test_an_unknown_key_is_remembered_for_a_moment_only(house):
    assert await house.find("AKIANEW") is None
    assert await house.find("AKIANEW") is None
    assert house.store.asked == ["AKIANEW"]
    house.store.keys["AKIANEW"] = sealed_key(SEALER, "AKIANEW")
    house.clock.advance(1.0)
    assert (await house.find("AKIANEW")).key_id == "AKIANEW"


async def test_many_who_ask_at_once_cost_one_lookup(house):
    found = await asyncio.gather(*(house.find() for _ in range(50)))
    assert len({id(key) for key in found}) == 1
    assert house.store.asked == [KEY]


async def test_one_who_goes_away_does_not_end_the_lookup_of_the_others(house):
    house.store.gate = asyncio.Event()
    leaver = asyncio.create_task(house.find())
    stayer = asyncio.create_task(house.find())
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    house.store.gate.set()
    assert (await stayer).key_id == KEY


async def test_a_silent_store_leaves_known_keys_usable_for_a_while(house):
    known = await house.find()
    house.store.is_available = False
    house.clock.advance(60)
    assert await house.find() is known
    house.clock.advance(300)
    with pytest.raises(GatewayError) as caught:
        await house.find()
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE


async def test_a_revocation_that_is_known_outlives_a_silent_store(house):
    await house.store.revoke(KEY, house.clock.now())
    await house.find()
    house.store.is_available = False
    house.clock.advance(60)
    assert (await house.find()).revoked_at is not None


async def test_an_unknown_key_is_refused_while_the_store_is_silent(house):
    house.store.is_available = False
    with pytest.raises(GatewayError) as caught:
        await house.find("AKIAUNKNOWN")
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE


async def test_a_silent_store_is_not_asked_for_every_call(house):
    await house.find()
    house.store.is_available = False
    house.clock.advance(10)
    for _ in range(20):
        await house.find()
    assert len(house.store.asked) == 2
    assert [fact.component for fact in house.observer.facts] == ["key_directory"]
    assert isinstance(house.observer.facts[0], ComponentFailed)


async def test_a_store_that_comes_back_is_heard_again(house):
    await house.find()
    house.store.is_available = False
    house.clock.advance(10)
    await house.find()
    await house.store.revoke(KEY, house.clock.now())
    house.store.is_available = True
    house.clock.advance(1.0)
    assert (await house.find()).revoked_at is not None


async def test_a_slow_store_is_not_waited_for_longer_than_patience():
    house = House(patience_s=0.01)
    known = await house.find()
    house.store.gate = asyncio.Event()
    house.clock.advance(5)
    assert await house.find() is known
    assert await house.find() is known
    house.store.gate.set()
    await house.directory.close()


async def test_a_store_that_never_answers_is_an_error_in_time():
    house = House(lookup_timeout_s=0.01)
    house.store.gate = asyncio.Event()
    with pytest.raises(GatewayError, match="does not answer in time"):
        await house.find()
    await house.directory.close()


async def test_a_key_that_was_altered_in_the_store_stops_working(house):
    await house.find()
    house.store.keys[KEY] = replace(house.store.keys[KEY], role="admin")
    house.clock.advance(1.0)
    with pytest.raises(GatewayError, match="does not open"):
        await house.find()
    house.clock.advance(0.1)
    with pytest.raises(GatewayError, match="does not open"):
        await house.find()


async def test_an_altered_key_is_dropped_in_the_background_too(house):
    await house.find()
    house.store.keys[KEY] = replace(house.store.keys[KEY], org="evil")
    house.clock.advance(0.7)
    await house.find()
    await house.settle()
    with pytest.raises(GatewayError, match="does not open"):
        await house.find()


async def test_a_key_under_another_keys_name_is_refused(house):
    house.store.keys["AKIAOTHER"] = house.store.keys[KEY]
    with pytest.raises(GatewayError, match="another key"):
        await house.find("AKIAOTHER")


async def test_an_unchanged_key_is_not_opened_again(house):
    first = await house.find()
    house.clock.advance(1.5)
    assert await house.find() is first
    assert len(house.store.asked) == 2


async def test_memory_is_bounded_for_known_and_for_unknown_keys():
    house = House(known_keys=3, unknown_keys=4)
    for number in range(10):
        name = f"AKIA{number}"
        house.store.keys[name] = sealed_key(SEALER, name)
        await house.find(name)
        await house.find(f"AKIANONE{number}")
    assert len(house.directory._known) == 3
    assert len(house.directory._unknown) == 4
    await house.directory.close()


async def test_lookups_are_bounded_and_the_rest_is_refused_at_once():
    house = House(lookups_waiting=5)
    house.store.gate = asyncio.Event()
    waiting = [asyncio.create_task(house.find(f"AKIA{number}")) for number in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayError, match="too many keys"):
        await house.find("AKIAONEMORE")
    house.store.gate.set()
    assert await asyncio.gather(*waiting) == [None] * 5
    await house.directory.close()


async def test_a_full_house_does_not_disturb_who_is_known():
    house = House(lookups_waiting=1)
    known = await house.find()
    house.store.gate = asyncio.Event()
    other = asyncio.create_task(house.find("AKIAOTHER"))
    await asyncio.sleep(0)
    house.clock.advance(0.7)
    assert await house.find() is known
    house.store.gate.set()
    await other
    await house.directory.close()


async def test_closing_ends_what_is_under_way(house):
    house.store.gate = asyncio.Event()
    asking = asyncio.create_task(house.find())
    await asyncio.sleep(0)
    await house.directory.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_key_that_the_ledger_says_has_ended_is_read_again_at_once(house):
    await house.find()
    await house.store.revoke(KEY, house.clock.now())
    assert (await house.find()).revoked_at is None  # read moments ago
    editions = {(SeenKind.KEY, KEY): 7, (SeenKind.POLICY, "rules"): 9}
    house.directory.heed(editions)
    assert (await house.find()).revoked_at is not None
    assert house.store.asked == [KEY, KEY]
    house.directory.heed(editions)
    await house.find()
    assert house.store.asked == [KEY, KEY]  # what is known already changes nothing
