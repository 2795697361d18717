"""What a replay is asked and answers, whoever asks: a command on the host or the admin API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.control.policy_replay import Changed, Replayed, summary
from gateway.domain.ids import PolicyVersion
from gateway.policy.parse import PolicySet


class TooManyCallsError(ValueError):
    """More calls were recorded in the time than may be decided again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayQuestion:
    """Which calls to decide again, and by what. `org` None: of all orgs.

    Calls from `history` to `since` only count as what was spent. `decided_by`: judge only calls
    that this edition decided. `most_calls`: more than these are not read; None: all are.
    """

    policies: PolicySet
    since: datetime
    until: datetime
    history: datetime
    org: str | None = None
    decided_by: PolicyVersion | None = None
    most_calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAnswer:
    """What became of it. `unreadable`: records that say too little to be decided again."""

    result: Replayed
    unreadable: tuple[str, ...]


def replay_document(answer: ReplayAnswer) -> dict[str, Any]:
    """The answer as programs get it."""
    return {
        **summary(answer.result),
        "changed": [_changed(one) for one in answer.result.changed],
        "unreadable": list(answer.unreadable),
    }


def shown_instant(at_ms: int) -> str:
    """An instant of a recorded call, to the millisecond, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _changed(one: Changed) -> dict[str, Any]:
    return {
        "request_id": one.request_id,
        "at": shown_instant(one.at_ms),
        "scope": one.scope,
        "model": one.model,
        "before": one.before.value if one.before else None,
        "now": one.now.value if one.now else None,
        "detail": one.detail,
        "cost_nano_usd": one.cost_nano_usd,
    }
