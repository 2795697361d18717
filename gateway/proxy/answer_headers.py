"""The gateway's own headers on an answer: the only thing an application notices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.bedrock.exchange import Headers
from gateway.domain.decision import Refuse
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.reservation import AdmissionPlan, BucketClaim, Claim, Resource, Utilisation
from gateway.proxy.stage_values import AdmittedCall

SERVER = ("server", "bedrock-gateway")
_TOLD = 4  # more would make a header that some clients refuse


def plain_headers(request_id: RequestId) -> Headers:
    """The headers of every answer. `server` names us, not the library and its version."""
    return (SERVER, ("x-gateway-request-id", str(request_id)))


def admitted_headers(admitted: AdmittedCall) -> Headers:
    """The headers of an admitted call: level, policy version, and what is left of its limits.

    What is left counts the hold of this very call as spent: it is a lower bound.
    """
    known = admitted.admitted
    claims = admitted.rung.claims if admitted.rung is not None else ()
    return (
        *plain_headers(known.context.request_id),
        *policy_headers(known.context.policy_version),
        *limit_headers(claims, known.utilisation),
    )


def refusal_headers(plan: AdmissionPlan, refusal: Refuse) -> Headers:
    """The headers of a call that its policy refused: by which edition, and the limit it met."""
    blocking = () if refusal.blocking is None else (refusal.blocking,)
    return (
        *policy_headers(plan.policy_version),
        *limit_headers(plan.rungs[0].claims, blocking),
    )


def policy_headers(version: PolicyVersion) -> Headers:
    """By which edition of the policy, and at which level, the call was decided."""
    return (("x-gateway-level", "0"), ("x-gateway-policy-version", str(version)))


def limit_headers(claims: Sequence[Claim], utilisation: Sequence[Utilisation]) -> Headers:
    """What is left of the tightest budget, and of the tightest rates.

    Units: USD; a rate's quota `q` per window of `w` seconds, `r` left, all back in `t` seconds.
    Source: draft-ietf-httpapi-ratelimit-headers.
    """
    headers: list[tuple[str, str]] = []
    left = [
        max(0, each.ceiling - each.used)
        for each in utilisation
        if each.account.resource is Resource.MONEY
    ]
    if left:
        headers.append(("x-gateway-budget-remaining-usd", format_usd(NanoUsd(min(left)))))
    used = {each.account.key: each.used for each in utilisation}
    rates = [
        (claim, min(used[claim.account.key], claim.capacity))
        for claim in claims
        if isinstance(claim, BucketClaim) and claim.enforced and claim.account.key in used
    ]
    tightest = sorted(rates, key=lambda rate: rate[1] / rate[0].capacity, reverse=True)[:_TOLD]
    if tightest:
        policies, states = zip(*(_rate(claim, taken) for claim, taken in tightest), strict=True)
        headers += [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]
    return tuple(headers)


def _rate(claim: BucketClaim, taken: int) -> tuple[str, str]:
    name, window_s = claim.account.name, claim.period_ms / 1000
    # A quota counts requests, unless its unit is stated.
    unit = ';qu="tokens"' if claim.account.resource is Resource.TOKENS else ""
    back_s = math.ceil(taken * window_s / claim.capacity)
    return (
        f'"{name}";q={claim.capacity}{unit};w={math.ceil(window_s)}',
        f'"{name}";r={claim.capacity - taken};t={back_s}',
    )
