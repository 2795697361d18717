from __future__ import annotations

from gateway.compose.rebuild import open_builders, read_epochs, until_built
from gateway.compose.stores import open_ledger, open_tables
from tests.fakes.observers import RememberingObserver


async def test_a_new_ledger_is_built_shard_by_shard_and_its_worker_notices(make_settings, stores):
    settings = make_settings(**stores)
    async with open_tables(settings) as tables, open_ledger(settings, "w") as ledger:
        await tables.create()
        assert not ledger.is_built
        async with open_builders(settings, tables, RememberingObserver()) as builders:
            assert [builder.shard for builder in builders] == ["s0"]
            assert [await builder.look() for builder in builders] == [True]
        await until_built(ledger)
        assert ledger.is_built
        ((shard, state),) = await read_epochs(settings)
        assert (shard, state.number, state.building) == ("s0", 1, None)
