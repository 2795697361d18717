from __future__ import annotations

import redis

from gateway.admission.accounts import ShardKeys
from gateway.admission.shards import shard_keys
from gateway.compose.backlog import closing, measure_backlog, open_backlog, shortening
from gateway.journal.backlog import BacklogLevel
from gateway.settings import load_settings
from tests.fakes.records import usage_record


def test_records_are_shortened_from_80_percent_on():
    record = usage_record(end_user="u1")
    for level in BacklogLevel:
        short = shortening(lambda level=level: level)(record)
        assert (short.end_user is None) is (level >= BacklogLevel.SHEDDING)


def test_a_full_journal_closes_the_gateway_unless_the_settings_leave_it_open():
    closed = load_settings({"GATEWAY_BACKLOG_FULL": "closed"})
    left_open = load_settings({"GATEWAY_BACKLOG_FULL": "open"})
    assert closing(load_settings({}), lambda: BacklogLevel.FULL)()
    for level in BacklogLevel:
        assert closing(closed, lambda level=level: level)() is (level is BacklogLevel.FULL)
        assert not closing(left_open, lambda level=level: level)()


async def test_the_level_is_known_as_soon_as_the_watch_is_open(valkey_url):
    settings = load_settings(
        {"GATEWAY_REDIS_URL": valkey_url, "GATEWAY_JOURNAL_MAX_ENTRIES": "100"}
    )
    with redis.Redis.from_url(valkey_url) as client:
        for _ in range(95):
            client.xadd(ShardKeys().usage, {"record": b"{}"})
    async with open_backlog(settings) as watcher:
        assert watcher.level is BacklogLevel.FULL
    backlog, level = await measure_backlog(settings)
    assert (backlog.entries, level) == (95, BacklogLevel.FULL)


async def test_what_waits_is_the_sum_over_the_shards_and_the_level_that_of_the_fullest(
    valkey_url, monkeypatch
):
    settings = load_settings(
        {"GATEWAY_REDIS_URL": valkey_url, "GATEWAY_JOURNAL_MAX_ENTRIES": "100"}
    )
    shards = shard_keys(3)
    monkeypatch.setattr("gateway.compose.backlog.ledger_shards", lambda _settings: shards)
    with redis.Redis.from_url(valkey_url) as client:
        for keys, entries in zip(shards, (40, 55, 30), strict=True):
            for _ in range(entries):
                client.xadd(keys.usage, {"record": b"{}"})
        sizes = [client.memory_usage(keys.usage) for keys in shards]
    backlog, level = await measure_backlog(settings)
    assert (backlog.entries, backlog.size_bytes) == (125, sum(sizes))
    assert level is BacklogLevel.HIGH, "no shard is fuller than 55 %"
