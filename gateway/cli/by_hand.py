"""What to paste into a shell to try a sandbox by hand."""

from __future__ import annotations

import shlex
from pathlib import Path

from gateway.compose.demo import HandKeys
from gateway.compose.host import RunningHost
from gateway.settings import Settings, variable

_OF_AN_OPERATOR = (
    "region",
    "redis_url",
    "redis_timeout_ms",
    "dynamodb_endpoint",
    "table_prefix",
    "state_dir",
    "policies",
    "master_key",
)


def write_hand_file(folder: Path, settings: Settings, host: RunningHost, keys: HandKeys) -> Path:
    """Writes a file that a shell can source: all that callers, administrators and operators need.

    It holds secrets, so only its owner may read it.
    """
    path = folder / "env"
    text = {**_of_a_caller(settings, host, keys), **_of_an_administrator(settings, host, keys)}
    for key in _OF_AN_OPERATOR:
        if (value := getattr(settings, key)) is not None:
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            text[variable(key)] = str(plain.absolute() if isinstance(plain, Path) else plain)
    path.touch(mode=0o600)
    path.write_text("".join(f"{_export(name, value)}\n" for name, value in text.items()))
    return path


def hand_lines(settings: Settings, host: RunningHost, keys: HandKeys, file: Path) -> list[str]:
    """The addresses and keys of a running sandbox, as lines for a shell."""
    caller = _of_a_caller(settings, host, keys)
    return [
        "Try it by hand. Everything in one line, for AWS SDKs and for all commands:",
        f"  . {shlex.quote(str(file))}",
        "or only what an AWS SDK needs:",
        *(f"  {_export(name, value)}" for name, value in caller.items()),
        "or a bearer key (curl, Claude Code; boto3 wants https for it):",
        f"  {keys.caller.bearer}",
        "The admin API (/v1/…, /health/deep), for curl and for usage and key commands:",
        *(
            f"  {_export(name, value)}"
            for name, value in _of_an_administrator(settings, host, keys).items()
        ),
        "  .venv/bin/bedrock-gateway usage show REQUEST_ID",
        "(the id is the header x-gateway-request-id of every answer)",
    ]


def urls(settings: Settings, host: RunningHost) -> tuple[str, str]:
    """Where the data plane and the administration are served."""
    scheme = "https" if settings.tls_cert else "http"
    admin = "https" if settings.admin_tls_cert else "http"
    return f"{scheme}://{host.listen}", f"{admin}://{host.admin_listen}"


def _of_a_caller(settings: Settings, host: RunningHost, keys: HandKeys) -> dict[str, str]:
    region = settings.region or ""
    return {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": urls(settings, host)[0],
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": keys.caller.stored.key_id,
        "AWS_SECRET_ACCESS_KEY": keys.caller.secret,
    }


def _of_an_administrator(settings: Settings, host: RunningHost, keys: HandKeys) -> dict[str, str]:
    return {
        "GATEWAY_ADMIN_URL": urls(settings, host)[1],
        "GATEWAY_ADMIN_KEY": keys.administrator.bearer,
    }


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"
