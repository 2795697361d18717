from __future__ import annotations

import pytest

from gateway.adapters.system import SystemClock
from gateway.authn.key_format import key_id_of_bearer
from gateway.compose.stores import (
    make_key_material,
    make_record_finder,
    make_sealer,
    open_journal,
    open_key_directory,
    open_ledger,
    open_tables,
)
from gateway.control.keys import KeyRequest, create_key
from gateway.domain.errors import GatewayError
from gateway.settings import load_settings
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import document_of

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


@pytest.fixture
def settings(dynamodb_endpoint, valkey_url, table_prefix):
    return load_settings(
        {
            "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
            "GATEWAY_REDIS_URL": valkey_url,
            "GATEWAY_TABLE_PREFIX": table_prefix,
            "GATEWAY_MASTER_KEY": MASTER,
        }
    )


async def test_a_key_that_is_made_is_found_by_the_directory(settings):
    clock = FakeClock(SystemClock().now())
    material = make_key_material()
    async with open_tables(settings) as tables:
        await tables.create()
        await create_key(
            tables.keys,
            make_sealer(settings),
            KeyRequest(org="acme", user="ada", created_by="test"),
            material,
            clock.now(),
        )
        async with open_key_directory(settings, clock, RememberingObserver()) as directory:
            found = await directory.find(material.key_id)
            assert found.secret == material.secret
            await tables.keys.revoke(material.key_id, clock.now())
            clock.advance(1.0)
            assert (await directory.find(material.key_id)).revoked_at is not None


async def test_tables_answer_a_ping_once_they_are_there(settings):
    async with open_tables(settings) as tables:
        with pytest.raises(GatewayError, match="journal init"):
            await tables.ping()
        await tables.create()
        await tables.ping()


async def test_a_record_is_found_across_journal_and_table(settings):
    async with open_tables(settings) as tables, open_journal(settings, "reader") as journal:
        await tables.create()
        await tables.usage.write([document_of()])
        assert await make_record_finder(journal, tables).find("req-1") == document_of()


async def test_the_ledger_is_opened_ready_for_use(settings):
    async with open_ledger(settings) as ledger:
        assert await ledger.expire_due(10) == 0


def test_without_a_master_key_nothing_is_sealed():
    with pytest.raises(GatewayError, match="GATEWAY_MASTER_KEY is not set"):
        make_sealer(load_settings({}))


async def test_without_a_ledgers_address_the_setting_is_named():
    with pytest.raises(GatewayError, match="GATEWAY_REDIS_URL"):
        async with open_ledger(load_settings({})):
            pytest.fail("there is no ledger to open")


def test_key_material_is_new_each_time_and_names_its_own_id():
    made = [make_key_material() for _ in range(20)]
    assert len({material.key_id for material in made}) == 20
    assert len({material.secret for material in made}) == 20
    assert all(key_id_of_bearer(material.bearer) == material.key_id for material in made)
    assert made[0].secret not in repr(made[0])
