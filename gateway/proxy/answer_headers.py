"""The gateway's own headers on an answer: the only thing an application notices."""

from __future__ import annotations

from gateway.bedrock.exchange import Headers
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.reservation import Resource
from gateway.proxy.stage_values import AdmittedCall

SERVER = ("server", "bedrock-gateway")


def plain_headers(request_id: RequestId) -> Headers:
    """The headers of every answer. `server` names us, not the library and its version."""
    return (SERVER, ("x-gateway-request-id", str(request_id)))


def admitted_headers(admitted: AdmittedCall) -> Headers:
    """The headers of an admitted call: level, policy version, what is left of the tightest budget.

    What is left counts the hold of this very call as spent: it is a lower bound.
    """
    context = admitted.admitted.context
    headers = [
        *plain_headers(context.request_id),
        ("x-gateway-level", "0"),
        ("x-gateway-policy-version", str(context.policy_version)),
    ]
    left = [
        max(0, each.ceiling - each.used)
        for each in admitted.admitted.utilisation
        if each.account.resource is Resource.MONEY
    ]
    if left:
        headers.append(("x-gateway-budget-remaining-usd", format_usd(NanoUsd(min(left)))))
    return tuple(headers)
