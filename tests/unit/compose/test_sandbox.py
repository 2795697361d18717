import os

import aiohttp
import pytest
import redis.asyncio

from gateway.compose.sandbox import embedded_valkey, sandbox
from gateway.settings import load_settings

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


async def test_a_sandbox_is_everything_and_knows_nothing_of_the_machines_account(
    tmp_path, monkeypatch
):
    emulators = os.environ.get("GATEWAY_EMULATORS")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    monkeypatch.setenv("GATEWAY_UPSTREAM_BEARER_TOKEN", "real")
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://production")
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "error")
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "of a client, no setting")
    monkeypatch.setenv("GATEWAY_MASTER_KEY", MASTER)
    async with sandbox(tmp_path, table_prefix="test_") as parts:
        environment = parts.environment
        assert {name for name in environment if name.startswith("AWS_")} == {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_EC2_METADATA_DISABLED",
        }
        assert "real" not in environment.values()
        assert environment["GATEWAY_LOG_LEVEL"] == "error"
        assert environment["GATEWAY_MASTER_KEY"] == MASTER
        assert environment["PATH"] == os.environ["PATH"]
        settings = load_settings(environment)
        assert settings.redis_url.get_secret_value() == parts.redis_url
        assert settings.dynamodb_endpoint == parts.dynamodb_endpoint
        assert settings.upstream_endpoint == settings.upstream_control_endpoint
        assert settings.state_dir.is_relative_to(tmp_path)
        assert (emulators is None) or str(settings.emulators) == emulators
        client = redis.asyncio.Redis.from_url(parts.redis_url)
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        await client.aclose()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{parts.bedrock_url}/_sim/bill") as answer,
        ):
            assert answer.status == 200
    client = redis.asyncio.Redis.from_url(parts.redis_url)
    with pytest.raises(redis.ConnectionError):
        await client.ping()
    await client.aclose()


async def test_an_embedded_valkey_keeps_the_ledger_in_the_state_folder(make_settings):
    settings = make_settings()
    for written in (None, b"1"):
        async with embedded_valkey(settings) as environment:
            client = redis.asyncio.Redis.from_url(environment["GATEWAY_REDIS_URL"])
            assert await client.get("kept") == written
            await client.set("kept", "1")
            assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
            await client.aclose()
    assert (settings.state_dir / "valkey").is_dir()
