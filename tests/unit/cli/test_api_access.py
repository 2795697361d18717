from __future__ import annotations

import pytest
import typer

from gateway.cli.api_access import client_or_exit
from gateway.cli.api_client import AdminClient


def test_a_client_needs_a_key_and_an_address():
    assert isinstance(client_or_exit("http://127.0.0.1:1", "key", None), AdminClient)
    with pytest.raises(typer.BadParameter, match="GATEWAY_ADMIN_KEY"):
        client_or_exit("http://127.0.0.1:1", None, None)
    with pytest.raises(typer.BadParameter, match="address"):
        client_or_exit("nowhere", "key", None)


def test_the_address_is_that_of_the_settings_where_none_is_named(monkeypatch):
    monkeypatch.setenv("GATEWAY_ADMIN_LISTEN", "0.0.0.0:9999")
    client = client_or_exit(None, "key", None)
    assert client._address.netloc == "127.0.0.1:9999"
