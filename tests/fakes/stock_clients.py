"""Stock AWS clients, as a user makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config


@contextmanager
def boto3_client(
    url: str,
    access_key: str,
    secret: str,
    *,
    service: str = "bedrock-runtime",
    attempts: int = 1,
    verify: str | bool | None = None,
    read_timeout_s: float = 30,
) -> Iterator[Any]:
    """A boto3 client of `bedrock-runtime` (or `bedrock`) that talks to this address."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _service_models())
    client = boto3.Session(botocore_session=session).client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        verify=verify,
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            read_timeout=read_timeout_s,
            connect_timeout=5,
        ),
    )
    try:
        yield client
    finally:
        client.close()


@cache
def _service_models() -> botocore.loaders.Loader:
    """Botocore's service models, read once: that is most of what making a client costs."""
    return botocore.loaders.create_loader()


def user_says(text: str) -> list[dict[str, Any]]:
    """The messages of a Converse call with one text."""
    return [{"role": "user", "content": [{"text": text}]}]
