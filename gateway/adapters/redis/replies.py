"""What the ledger's functions answer, as values; a reply that does not fit is no reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.adapters.redis.connection import unavailable
from gateway.admission.accounts import amount_of, ceiling_of
from gateway.domain.reservation import (
    AdmissionPlan,
    Claim,
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Receipt,
    Utilisation,
)
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, UnreadableStop, decode_stop, unreadable_stop

Part = str | int


def parts(reply: object) -> list[Part]:
    """The texts and integers of a reply. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
    if not isinstance(reply, list) or not all(isinstance(part, bytes | int) for part in reply):
        raise unavailable("the ledger's reply has an unknown form")
    return [part.decode() if isinstance(part, bytes) else part for part in reply]


def receipt_of(plan: AdmissionPlan, reply: Sequence[Part]) -> Receipt:
    """What became of the plan. Raises: GatewayError(LEDGER_UNAVAILABLE) if it does not fit."""
    try:
        match reply[1]:
            case "GRANTED":
                return _granted(plan, reply)
            case "DENIED":
                return _denied(plan, reply)
            case "STOPPED":
                return _stopped(plan, reply)
            case obstacle:
                return NotDecided(
                    request_id=plan.request_id,
                    obstacle=Obstacle(str(obstacle).lower()),
                    at_ms=int(reply[2]),
                    about=str(reply[3]),
                )
    except (ValueError, IndexError, StopIteration) as exc:
        raise unavailable("the ledger's reply does not fit the plan") from exc


def _stopped(plan: AdmissionPlan, reply: Sequence[Part]) -> NotDecided:
    scope = next(scope for scope in plan.scopes if scope.path == reply[3])
    return NotDecided(
        request_id=plan.request_id,
        obstacle=Obstacle.STOPPED,
        at_ms=int(reply[2]),
        about=scope.path,
        stop=stop_noted(scope, str(reply[4])),
    )


def stop_noted(scope: Scope, note: str) -> Stop:
    """The stop that a shard has noted for a scope; one for ever, where it cannot be read."""
    try:
        return replace(decode_stop(note), scope=scope)
    except UnreadableStop as exc:
        return unreadable_stop(scope, f"the ledger's note of it cannot be read: {exc}")


def _granted(plan: AdmissionPlan, reply: Sequence[Part]) -> Granted:
    at_ms, rung, repeated, n = (int(part) for part in reply[2:6])
    pairs = zip(reply[6::2], reply[7::2], strict=True)
    return Granted(
        request_id=plan.request_id,
        rung=rung,
        at_ms=at_ms,
        utilisation=tuple(
            _utilisation(claim, used, resets)
            for claim, (used, resets) in zip(plan.rungs[rung].claims, pairs, strict=True)
        ),
        repeated=repeated == 1,
        n=n,
    )


def _denied(plan: AdmissionPlan, reply: Sequence[Part]) -> Denied:
    at_ms, rung_number, number, used, resets, wait, wanted = reply[2:9]
    rung = plan.rungs[int(rung_number)]
    claim = rung.claims[int(number)]
    if int(wanted) != amount_of(claim, rung.division.least if rung.division else 0):
        raise ValueError("another claim than the plan's")
    return Denied(
        request_id=plan.request_id,
        blocking=_utilisation(claim, used, resets),
        wanted=int(wanted),
        wait_ms=None if wait == "" else int(wait),
        at_ms=int(at_ms),
    )


def _utilisation(claim: Claim, used: Part, resets_at_ms: Part) -> Utilisation:
    return Utilisation(
        account=claim.account,
        used=int(used),
        ceiling=ceiling_of(claim),
        resets_at_ms=None if resets_at_ms == "" else int(resets_at_ms),
    )
