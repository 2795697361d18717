from __future__ import annotations

import asyncio

from gateway.adapters.system import SystemClock
from gateway.compose.control import host_stops, open_control_watch, open_emergency
from gateway.domain.scope import Scope
from tests.fakes.ledgers import ACME, stop_of
from tests.fakes.observers import RememberingObserver


async def test_a_stop_is_known_to_a_watch_of_another_process_at_once(make_settings, valkey_url):
    settings = make_settings(redis_url=valkey_url)
    async with (
        open_control_watch(settings, RememberingObserver(), SystemClock()) as watch,
        open_emergency(settings) as emergency,
    ):
        assert watch.is_current()
        known = asyncio.Event()
        watch.subscribe(lambda _: known.set())
        assert (await emergency.stop(stop_of(ACME))).is_done
        async with asyncio.timeout(5):
            await known.wait()
        assert watch.stop_of((Scope.platform(), ACME)) is not None
        assert (await emergency.restore(ACME)).is_done
        assert host_stops(settings).read() == ()


async def test_without_a_ledger_the_host_is_watched(make_settings):
    settings = make_settings()
    host_stops(settings).write(stop_of(ACME))
    async with (
        open_control_watch(settings, RememberingObserver(), SystemClock()) as watch,
        open_emergency(settings) as emergency,
    ):
        assert watch.stop_of((ACME,)) is not None
        assert not watch.is_current()
        assert not (await emergency.restore(ACME)).is_done
        assert (await emergency.status()).host == ()
