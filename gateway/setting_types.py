"""The values that settings are made of, parsed once from text so that they cannot be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from gateway.adapters.redis.connection import check_url
from gateway.adapters.sealing import check_master_key

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_REGION = re.compile(r"[a-z]{2,3}(?:-[a-z]+)+-[0-9]")
_ACCOUNT = re.compile(r"[0-9]{12}")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in `HOST:PORT`. Raises: ValueError that says what was expected."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
        if not colon or not host or not port.isascii() or not port.isdigit():
            raise ValueError(f"expected HOST:PORT such as 127.0.0.1:8080, got {text!r}")
        if ":" in host:
            ip_address(host)
        if int(port) > _MAX_PORT:
            raise ValueError(f"expected a port from 0 to {_MAX_PORT}, got {port}")
        return cls(host, int(port))


def is_loopback_url(url: str) -> bool:
    """Whether the address of the URL is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _network(value: Any) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as exc:
        raise ValueError(f"expected an address or network such as 10.0.0.0/8: {exc}") from exc


def _address(value: Any) -> Address:
    return value if isinstance(value, Address) else Address.parse(str(value))


def _http_url(value: str) -> str:
    parts = _split(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        # The value is not repeated: it may hold a password.
        raise ValueError("expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]")
    return value.rstrip("/")


def _redis_url(value: SecretStr) -> SecretStr:
    check_url(value.get_secret_value())
    return value


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise ValueError("this is not a URL") from None
    return parts


def _key(value: SecretStr) -> SecretStr:
    check_master_key(value.get_secret_value())
    return value


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(f"expected {expected}, got {value!r}")
        return value

    return check


def split_list(value: Any) -> Any:
    """The items of a comma-separated text; lists pass as they are."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


ListenAddress = Annotated[Address, BeforeValidator(_address)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
MasterKey = Annotated[SecretStr, AfterValidator(_key)]
Region = Annotated[str, BeforeValidator(_matching(_REGION, "a region such as eu-central-1"))]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
HostName = Annotated[str, BeforeValidator(_matching(_HOST, "a host name without port"))]
Account = Annotated[str, BeforeValidator(_matching(_ACCOUNT, "an account id of 12 digits"))]
HomePath = Annotated[Path, AfterValidator(Path.expanduser)]
