from __future__ import annotations

import pytest

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.domain.errors import GatewayError


@pytest.fixture
def no_account(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION", "REGION"):
        monkeypatch.delenv(f"AWS_{name}")


async def table_names(client, prefix):
    answer = await client.describe_table(TableName=f"{prefix}one")
    return answer["Table"]["TableName"]


async def make_table(client, prefix):
    await client.create_table(
        TableName=f"{prefix}one",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.mark.usefixtures("no_account")
async def test_a_server_on_loopback_needs_neither_credentials_nor_region(
    dynamodb_endpoint, table_prefix
):
    async with open_dynamodb(dynamodb_endpoint, None) as client:
        await make_table(client, table_prefix)
        assert await table_names(client, table_prefix) == f"{table_prefix}one"


async def test_a_given_credential_is_used(dynamodb_endpoint, table_prefix):
    async with open_dynamodb(
        dynamodb_endpoint, "us-east-1", access_key="AKIAOWN", secret="own"
    ) as client:
        await make_table(client, table_prefix)
        assert client._request_signer._credentials.access_key == "AKIAOWN"


async def test_proxies_of_the_environment_are_not_asked_for_a_stated_endpoint(
    dynamodb_endpoint, table_prefix, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with open_dynamodb(dynamodb_endpoint, "us-east-1") as client:
        await make_table(client, table_prefix)


@pytest.mark.usefixtures("no_account")
async def test_aws_without_a_region_says_what_to_set():
    with pytest.raises(GatewayError, match="GATEWAY_REGION"):
        async with open_dynamodb(None, None):
            pytest.fail("there is no region to connect to")
