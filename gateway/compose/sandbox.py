"""The parts a gateway can bring along: its own Valkey, and in the sandbox everything else too."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.tables import create_tables
from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.models import ACCOUNT
from gateway.sandbox.bedrock.process import start_simulated_bedrock_process
from gateway.sandbox.processes import start_dynamodb, start_valkey
from gateway.settings import Settings, variable

_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxParts:
    """What runs beside the gateway, and the environment that points the gateway at it."""

    environment: Mapping[str, str]
    redis_url: str
    dynamodb_endpoint: str
    bedrock_url: str


@asynccontextmanager
async def embedded_valkey(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """The gateway's own Valkey, durable in the state folder; everything else is real AWS."""
    directory = settings.state_dir / "valkey"
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    async with start_valkey(directory, append_only=True) as url:
        yield {"GATEWAY_REDIS_URL": url}


@asynccontextmanager
async def sandbox(
    directory: Path, *, table_prefix: str, emulators: Path | None = None
) -> AsyncIterator[SandboxParts]:
    """Valkey, a DynamoDB API and a simulated Bedrock; no account is needed, nothing is kept.

    `emulators`: the Python environment of the DynamoDB API, if it is not where `make` puts it.
    """
    credentials = AcceptedCredentials(secret=secrets.token_urlsafe(30))
    async with AsyncExitStack() as stack:
        redis_url = await stack.enter_async_context(
            start_valkey(await _folder(directory / "valkey"), append_only=True)
        )
        dynamodb = await stack.enter_async_context(
            start_dynamodb(await _folder(directory / "dynamodb"), emulators=emulators)
        )
        bedrock = await stack.enter_async_context(
            start_simulated_bedrock_process(
                await _folder(directory / "bedrock"), credentials=credentials
            )
        )
        async with open_dynamodb(dynamodb, _REGION) as client:
            await create_tables(client, table_prefix)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GATEWAY_"))},
            **_kept_settings(),
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            "GATEWAY_REGION": _REGION,
            "GATEWAY_HOME_ACCOUNTS": ACCOUNT,
            # A laptop at work is no server room: its pauses must not look like an outage.
            "GATEWAY_REDIS_TIMEOUT_MS": os.environ.get("GATEWAY_REDIS_TIMEOUT_MS", "2000"),
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_DYNAMODB_ENDPOINT": dynamodb,
            "GATEWAY_UPSTREAM_ENDPOINT": bedrock,
            "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": bedrock,
            "GATEWAY_TABLE_PREFIX": table_prefix,
            "GATEWAY_STATE_DIR": str(directory / "state"),
            "GATEWAY_MASTER_KEY": os.environ.get("GATEWAY_MASTER_KEY", secrets.token_urlsafe(48)),
        }
        yield SandboxParts(
            environment=environment,
            redis_url=redis_url,
            dynamodb_endpoint=dynamodb,
            bedrock_url=bedrock,
        )


def _kept_settings() -> dict[str, str]:
    """Own settings that make sense in a sandbox too; where stores and AWS are does not."""
    replaced = (
        "REDIS_URL",
        "DYNAMODB_",
        "UPSTREAM_",
        "REGION",
        "TABLE_PREFIX",
        "MASTER_KEY",
        "STATE_DIR",
    )
    known = {variable(key) for key in Settings.model_fields}
    return {
        name: value
        for name, value in os.environ.items()
        if name in known and not name.removeprefix("GATEWAY_").startswith(replaced)
    }


async def _folder(path: Path) -> Path:
    await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True)
    return path
