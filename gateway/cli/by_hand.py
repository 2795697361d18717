"""What to paste into a shell to try a sandbox by hand."""

from __future__ import annotations

from gateway.compose.demo import HandKeys
from gateway.compose.host import RunningHost
from gateway.settings import Settings


def hand_lines(settings: Settings, host: RunningHost, keys: HandKeys) -> list[str]:
    """The addresses and keys of a running sandbox, as lines for a shell."""
    url, admin_url = urls(settings, host)
    return [
        "Try it by hand with any AWS SDK:",
        f"  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}",
        f"  export AWS_DEFAULT_REGION={settings.region} AWS_REGION={settings.region}",
        f"  export AWS_ACCESS_KEY_ID={keys.caller.stored.key_id}",
        f"  export AWS_SECRET_ACCESS_KEY={keys.caller.secret}",
        "or with a bearer key (curl, Claude Code; boto3 wants https for it):",
        f"  {keys.caller.bearer}",
        "Administration (usage records, health):",
        f"  export GATEWAY_ADMIN_URL={admin_url}",
        f"  export GATEWAY_ADMIN_KEY={keys.administrator.bearer}",
        "  .venv/bin/bedrock-gateway usage show REQUEST_ID --json",
        "(the id is the header x-gateway-request-id of every answer)",
    ]


def urls(settings: Settings, host: RunningHost) -> tuple[str, str]:
    """Where the data plane and the administration are served."""
    scheme = "https" if settings.tls_cert else "http"
    admin = "https" if settings.admin_tls_cert else "http"
    return f"{scheme}://{host.listen}", f"{admin}://{host.admin_listen}"
