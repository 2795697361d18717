"""The rare cases of the Redis ledger, each by a check of its own (the mutants run them as well)."""

from __future__ import annotations

import pytest

from gateway.adapters.redis.connection import connect
from tests.fakes import control_probes, ledger_probes
from tests.mutants.ledger_mutants import MUTANTS, mutated

PROBES = (*ledger_probes.PROBES, *control_probes.PROBES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
async def test_the_redis_ledger_passes(probe, valkey_url):
    client = connect(valkey_url, timeout_s=5)
    await probe(client)
    await client.aclose()


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_a_seeded_defect_still_has_its_place_in_the_code(number):
    assert mutated(number).code.startswith("#!lua name=")
