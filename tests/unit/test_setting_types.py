"""The values of settings: parsed once, refused with what was expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.setting_types import (
    Account,
    Address,
    HostName,
    HttpUrl,
    MasterKey,
    RedisUrl,
    Region,
    is_loopback_url,
    split_list,
)


def accepts(kind, value) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@given(st.sampled_from(["127.0.0.1", "localhost", "::1", "gateway.example"]), st.integers(0, 65535))
def test_an_address_survives_its_text(host, port):
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host:", "host:x", "host:65536", "host:-1", "[::g]:1", "h:\u0661"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|appear"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost", True),
        ("http://localhost.example", False),
        ("https://10.0.0.1", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_loopback_is_recognised_by_address_not_by_look(url, is_loopback):
    assert is_loopback_url(url) is is_loopback


def test_upstream_urls_are_plain_http_urls():
    for url in (
        "http://127.0.0.1:9",
        "https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
    ):
        assert TypeAdapter(HttpUrl).validate_python(url + "/") == url
    for url in ("ftp://x", "x", "http://", "http://a b:c", "http://h:99999", "http://h/?a=1",
                "http://user:secret@h", "http://h/#f", "http://[::1"):  # fmt: skip
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(HttpUrl).validate_python(url)
        assert "secret" not in str(caught.value.errors()[0]["msg"])


def test_ledger_urls_have_one_of_the_known_schemes():
    for url in ("redis://h:1/0", "rediss://:pw@h", "unix:///run/r.sock", "redis+cluster://a:1,b:1",
                "rediss+cluster://u:pw@a:1,b:1?ssl_ca_certs=/ca.pem", "redis+sentinel://a:1/m",
                "redis+sentinel://a:1,b:2,[::1]:3/m/0", "rediss+sentinel://a:1,b:2/m"):  # fmt: skip
        assert accepts(RedisUrl, url)
    for url in ("http://h", "redis", "redis:", "", "memcached://h", "redis://h:x", "redis+cluster://a,b:1",
                "redis+sentinel://a:1", "redis+cluster://", "unix+cluster://a:1",
                "redis+cluster://a:1?ssl_ca_certs=/ca.pem"):  # fmt: skip
        assert not accepts(RedisUrl, url)


def test_a_master_key_holds_32_random_bytes():
    assert accepts(MasterKey, "q2Vn0r8mXb7dKfLw5sTyUzHgE4cJ1aPiNo9vR3tBxQY=")
    for weak in ("", "changeme", "x" * 64, "abababababababababababababababababab", "0f1e2d3c" * 4):
        assert not accepts(MasterKey, weak)


def test_regions_hosts_and_accounts_are_checked():
    for region in ("us-east-1", "eu-central-1", "us-gov-west-1", "ap-southeast-3"):
        assert accepts(Region, region)
    for region in ("", "useast1", "US-EAST-1", "us-east-1.evil.example", "../x"):
        assert not accepts(Region, region)
    for host in ("gateway.example", "localhost", "10.0.0.1"):
        assert accepts(HostName, host)
    for host in ("", "a:80", "a b", "a/b", "a#b", "a@b", "-a", "x" * 300):
        assert not accepts(HostName, host)
    assert accepts(Account, "123456789012")
    assert not accepts(Account, 123456789012)


def test_a_list_may_be_written_with_commas():
    assert split_list("a, b,,c ") == ("a", "b", "c")
    assert split_list(["a"]) == ["a"]
