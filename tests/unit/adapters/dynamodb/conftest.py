from __future__ import annotations

import pytest

from gateway.adapters.dynamodb.connection import open_dynamodb


@pytest.fixture
async def client(dynamodb_endpoint):
    async with open_dynamodb(dynamodb_endpoint, "us-east-1") as opened:
        yield opened
