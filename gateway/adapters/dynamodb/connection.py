"""A client of DynamoDB: AWS's own, or anything that speaks its API at an endpoint."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]  # ships no type marker
from aiobotocore.session import (  # type: ignore[import-untyped]  # ships no type marker
    AioSession,
    get_session,
)
from botocore.exceptions import (  # type: ignore[import-untyped]  # ships no type marker
    BotoCoreError,
)

from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

_LOCAL_REGION = "us-east-1"
_LOCAL_CREDENTIAL = "local"
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0
_CONNECTIONS = 16
_ATTEMPTS = 2


class DynamoDb(Protocol):
    """The calls of DynamoDB that the gateway makes, with the arguments of the AWS API."""

    async def transact_write_items(self, **arguments: Any) -> dict[str, Any]:
        """TransactWriteItems."""
        ...

    async def get_item(self, **arguments: Any) -> dict[str, Any]:
        """GetItem."""
        ...

    async def batch_get_item(self, **arguments: Any) -> dict[str, Any]:
        """BatchGetItem."""
        ...

    async def put_item(self, **arguments: Any) -> dict[str, Any]:
        """PutItem."""
        ...

    async def update_item(self, **arguments: Any) -> dict[str, Any]:
        """UpdateItem."""
        ...

    async def delete_item(self, **arguments: Any) -> dict[str, Any]:
        """DeleteItem."""
        ...

    async def query(self, **arguments: Any) -> dict[str, Any]:
        """Query."""
        ...

    async def scan(self, **arguments: Any) -> dict[str, Any]:
        """Scan."""
        ...

    async def create_table(self, **arguments: Any) -> dict[str, Any]:
        """CreateTable."""
        ...

    async def describe_table(self, **arguments: Any) -> dict[str, Any]:
        """DescribeTable."""
        ...

    async def describe_time_to_live(self, **arguments: Any) -> dict[str, Any]:
        """DescribeTimeToLive."""
        ...

    async def update_time_to_live(self, **arguments: Any) -> dict[str, Any]:
        """UpdateTimeToLive."""
        ...

    async def describe_continuous_backups(self, **arguments: Any) -> dict[str, Any]:
        """DescribeContinuousBackups."""
        ...

    async def update_continuous_backups(self, **arguments: Any) -> dict[str, Any]:
        """UpdateContinuousBackups."""
        ...


@asynccontextmanager
async def open_dynamodb(
    endpoint: str | None,
    region: str | None,
    *,
    access_key: str | None = None,
    secret: str | None = None,
) -> AsyncIterator[DynamoDb]:
    """A client for as long as the context lives.

    Without an endpoint it is AWS, with the credentials and region of botocore's chain. At a
    loopback endpoint a credential is made up where the chain has none: there is no one to check
    it. Explicit keys win over the chain. Raises: GatewayError if nobody says which region.
    """
    session = get_session()
    if endpoint is not None and _is_loopback(endpoint):
        # The instance metadata service is for AWS; asking it here would only cost its timeout.
        session.get_component("credential_provider").remove("iam-role")
        if access_key is None and await session.get_credentials() is None:
            access_key, secret = _LOCAL_CREDENTIAL, _LOCAL_CREDENTIAL
        region = region or _region_of(session) or _LOCAL_REGION
    config = AioConfig(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # A proxy of the environment is for the internet; a link-local or loopback store is not.
        proxies={} if endpoint is not None else None,
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(
                session.create_client(
                    "dynamodb",
                    region_name=region,
                    endpoint_url=endpoint,
                    aws_access_key_id=access_key,
                    aws_secret_access_key=secret,
                    config=config,
                )
            )
        except BotoCoreError as exc:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                f"DynamoDB cannot be reached as configured: {type(exc).__name__}; "
                "set GATEWAY_REGION and AWS credentials",
                fault=Fault.GATEWAY,
            ) from exc
        yield cast("DynamoDb", client)


def _region_of(session: AioSession) -> str | None:
    return cast("str | None", session.get_config_variable("region"))


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
