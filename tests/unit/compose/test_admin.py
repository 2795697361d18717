import ssl

import aiohttp
import pytest

from gateway.compose.admin import open_admin
from gateway.domain.errors import GatewayError
from tests.fakes.observers import RememberingObserver


async def get(runner, path, *, scheme="http", context=None, **headers):
    (address, *_) = runner.addresses
    url = f"{scheme}://{address[0]}:{address[1]}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=context or True) as answer,
    ):
        return answer.status, await answer.text()


async def test_administration_stands_on_its_own_address_and_asks_for_a_key(make_settings, stores):
    async with open_admin(make_settings(**stores), RememberingObserver()) as runner:
        assert (await get(runner, "/health/live"))[0] == 200
        assert (await get(runner, "/v1/usage/records/req-1"))[0] == 401
        status, _ = await get(runner, "/v1/usage/records/req-1", Authorization="Bearer bgk-x")
        assert status in (401, 403)


async def test_administration_speaks_tls_where_it_has_a_certificate(
    make_settings, stores, certificate
):
    cert, key = certificate
    settings = make_settings(**stores, admin_tls_cert=str(cert), admin_tls_key=str(key))
    trusted = ssl.create_default_context(cafile=cert)
    async with open_admin(settings, RememberingObserver()) as runner:
        status, _ = await get(runner, "/health/live", scheme="https", context=trusted)
        assert status == 200


async def test_without_a_ledger_there_is_no_administration(make_settings):
    settings = make_settings(redis_url="redis://127.0.0.1:9", redis_timeout_ms="50")
    with pytest.raises(GatewayError, match="ledger"):
        async with open_admin(settings, RememberingObserver()):
            pass
