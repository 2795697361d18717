"""Attribute: what the call says about itself, as far as its key may say it.

Two ways lead here: headers (`x-gateway-feature`) and, where headers are hard to add, the same keys
in `requestMetadata` (with or without the prefix). A header wins. Source: docs/attribution.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.bedrock.headers import find
from gateway.domain.attribution import Attribution
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import is_scope_name
from gateway.proxy.stage_values import AuthenticatedCall

_PREFIX = "x-gateway-"
_END_USER = "end-user"
_FIELDS = {
    "application": "application",
    "feature": "feature",
    "agent": "agent",
    "agent-type": "agent_type",
    "task": "task",
    "operation": "operation",
    "category": "category",
    "environment": "environment",
    _END_USER: "end_user",
}


def attribute(authenticated: AuthenticatedCall, metadata: Mapping[str, str]) -> Attribution:
    """The attributes of a call. `metadata`: its `requestMetadata`.

    What the key may not set is left out and accounted as unattributed, as is a header that a
    signer did not sign: labels widen no right. Acting for somebody is a claim, so it is refused.
    Raises: GatewayError(MALFORMED_HEADER) for a value that cannot be a name,
    GatewayError(END_USER_NOT_ALLOWED) for an end user that the key may not act for.
    """
    caller = authenticated.caller
    said: dict[str, str] = {}
    for name, field in _FIELDS.items():
        if name != _END_USER and name not in caller.may_set:
            continue
        value = _said(authenticated, metadata, name)
        if value is not None:
            said[field] = value
    end_user = said.pop("end_user", None)
    if end_user is None or end_user == caller.user:
        return Attribution(**said)
    if not caller.may_act_for_others:
        raise GatewayError(
            Reason.END_USER_NOT_ALLOWED,
            f"the key {caller.key_id} may not act for others, but the call names an end user; "
            "leave x-gateway-end-user out or ask for a key that may",
        )
    return Attribution(**said, end_user=end_user)


def _said(authenticated: AuthenticatedCall, metadata: Mapping[str, str], name: str) -> str | None:
    header = _PREFIX + name
    signed = authenticated.signed_headers
    if signed is None or header in signed:
        value = find(authenticated.call.headers, header)
        if value is not None and value.strip():
            return _checked(header, value.strip())
    if (value := metadata.get(header)) is not None:
        return _checked(f"requestMetadata.{header}", value)
    # Without the prefix it may be a tag of the application's own, which need not be a name.
    value = metadata.get(name)
    return value if value is not None and name != _END_USER and is_scope_name(value) else None


def _checked(where: str, value: str) -> str:
    if not is_scope_name(value):
        raise GatewayError(
            Reason.MALFORMED_HEADER,
            f"{where} must be 1 to 64 letters, digits or '._@+-', beginning with a letter or digit",
        )
    return value
