from __future__ import annotations

from gateway.admin.rest.health import DegradedError
from gateway.admin.rest.metrics import CONTENT_TYPE, metrics_route
from gateway.admin.server import make_admin_app
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.admin import services
from tests.fakes.clock import FakeClock


async def fine():
    return None


async def refused():
    raise GatewayError(Reason.LEDGER_UNAVAILABLE, "a-canary")


async def broken_folder():
    raise DegradedError("acme.yaml:3: a-canary")


async def nothing():
    return None


async def scraped(aiohttp_client, **probes):
    api = await aiohttp_client(make_admin_app(services(**probes)))
    answer = await api.get("/metrics")
    assert answer.status == 200
    return answer, await answer.text()


async def test_each_dependency_has_its_gauges_and_a_broken_policy_folder_shows(aiohttp_client):
    answer, text = await scraped(aiohttp_client, ledger=refused, tables=fine, policy=broken_folder)
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    lines = text.splitlines()
    assert 'bedrock_gateway_component_up{component="ledger"} 0' in lines
    assert 'bedrock_gateway_component_up{component="tables"} 1' in lines
    assert 'bedrock_gateway_component_up{component="policy"} 1' in lines
    assert 'bedrock_gateway_component_degraded{component="policy"} 1' in lines
    assert 'bedrock_gateway_component_degraded{component="tables"} 0' in lines
    assert "# TYPE bedrock_gateway_component_up gauge" in lines
    assert "a-canary" not in text


async def test_the_edition_in_force_is_a_number_and_absent_where_it_is_not_known():
    for current in (nothing, refused):
        answer = await metrics_route({"tables": fine}, current, FakeClock()).handler(None)
        assert b"rules_edition" not in answer.body
