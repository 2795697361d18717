"""Imagined and recorded calls as the admin API takes them, and what policies decide of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from gateway.admin.models.document import Given, Instant, Name, Shown
from gateway.admin.models.policies import PolicyFiles
from gateway.policy import cases
from gateway.policy.value_types import WrittenAmount


class TrialGiven(cases.Given):
    """Who calls, and what was spent and called so far: as in the cases beside policies."""

    spent_usd: Annotated[dict[str, WrittenAmount], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """What is spent of each budget, by its name, in the window of the call."""


class PolicyExplainOrder(Given):
    """An imagined call. `files`: they take the place of what is in force of the same orgs."""

    given: TrialGiven
    when: cases.When
    files: PolicyFiles | None = None


class PolicyStep(Shown):
    """One rule that binds the call. `source`: file and line, or `api:ID`. `decides`: it refuses."""

    rule: str
    source: str
    says: str
    decides: bool


class PolicyExplanation(Shown):
    """What is decided, and how it comes about. `hold_usd`: what it would hold at most."""

    allowed: bool
    reason: str | None
    detail: str
    model: str
    hold_usd: str | None
    hold_nano_usd: int | None
    steps: tuple[PolicyStep, ...]


class PolicyReplayOrder(Given):
    """Which recorded calls to decide again.

    `files`: the candidate; they take the place of what is in force of the same orgs. Without them
    what is in force decides the calls that it decided. `org`: only its calls; your own if left out.
    `since`: a week ago if left out; `until`: now.
    """

    files: PolicyFiles | None = None
    since: Instant | None = None
    until: Instant | None = None
    org: Name | None = None


class NewlyRefused(Shown):
    """Calls that one limit would refuse."""

    reason: str
    limit: str
    calls: int


class ChangedCall(Shown):
    """A call that is decided otherwise. `before`, `now` null: admitted."""

    request_id: str
    at: datetime
    scope: str
    model: str
    before: str | None
    now: str | None
    detail: str
    cost_nano_usd: int


class PolicyReplay(Shown):
    """What would have been decided. `changed` names the first thousand; nano-USD."""

    judged: int
    counted_only: int
    admitted_before: int
    admitted_now: int
    spent_nano_usd: int
    saved_nano_usd: int
    added_nano_usd: int
    newly_refused: tuple[NewlyRefused, ...]
    newly_admitted: dict[str, int]
    refused_for_another_reason: int
    refused_by_scope: dict[str, int]
    is_same: bool
    changed: tuple[ChangedCall, ...]
    unreadable: tuple[str, ...]
