from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.admin.rest.rules_in_force import RulesInForce
from gateway.domain.errors import GatewayError
from tests.fakes.rules import bundle, folder_of


async def test_rules_are_compiled_once_for_each_edition():
    current = bundle(edition=3)

    async def read():
        return current

    rules = RulesInForce(read)
    edition, first = await rules.policies()
    assert (edition, set(first.orgs)) == (3, {"acme"})
    assert (await rules.policies())[1] is first
    current = bundle(folder_of("acme", "globex"), edition=4)
    assert set((await rules.policies())[1].orgs) == {"acme", "globex"}
    assert await rules.bundle() is current


async def test_without_an_edition_there_are_no_rules():
    async def none():
        return None

    edition, policies = await RulesInForce(none).policies()
    assert (edition, dict(policies.orgs)) == (0, {})


async def test_an_edition_that_this_release_does_not_understand_is_an_error():
    async def odd():
        return replace(bundle(), files={"a.yaml": "version: 2\n"})

    with pytest.raises(GatewayError, match="cannot be used"):
        await RulesInForce(odd).policies()
