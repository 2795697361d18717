"""All that the admin API needs from the floors below and the world, as ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.admin.access import Gate
from gateway.admin.cursor import Cursors
from gateway.admin.models.audit import AuditVerification
from gateway.control.audit_trail import AuditStore, AuditTrail
from gateway.control.bundle import PolicyBundle, PublisherReport
from gateway.control.emergency import Emergencies
from gateway.control.keys import KeyMaterial
from gateway.control.policy_trial import TrialRules
from gateway.control.ports import (
    AnswerStore,
    Balances,
    KeyRevocations,
    KeyStore,
    RecordFinder,
    RecordSearch,
    Sealer,
)
from gateway.control.publish import Publisher
from gateway.control.replay_question import ReplayAnswer, ReplayQuestion
from gateway.domain.clock import Clock
from gateway.domain.observer import Observer
from gateway.policy.findings import Finding
from gateway.policy.parse import PolicySet

Probe = Callable[[], Awaitable[None]]
"""Asks one dependency for a sign of life. Raises if there is none."""

CurrentBundle = Callable[[], Awaitable[PolicyBundle | None]]
"""Gives the edition in force; None if there is none yet. Raises: GatewayError."""

Lint = Callable[[PolicySet], Sequence[Finding]]
"""What looks like a mistake in rules that are in order."""

MakeTrialRules = Callable[[PolicySet], TrialRules]
"""Rules with the prices and the models of this installation."""

DecideAgain = Callable[[ReplayQuestion], Coroutine[Any, Any, ReplayAnswer]]
"""Decides recorded calls again. Raises: GatewayError, TooManyCallsError."""

LivePublishers = Callable[[], Awaitable[Sequence[PublisherReport]]]
"""What the publishers that live now say of themselves. Raises: GatewayError."""

VerifyAudit = Callable[[], Coroutine[Any, Any, AuditVerification]]
"""Goes through the whole audit chain. Raises: GatewayError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminServices:
    """`probes`: what it depends on, by name. `key_material`, `event_id`: fresh from randomness."""

    gate: Gate
    clock: Clock
    observer: Observer
    probes: Mapping[str, Probe]
    cursors: Cursors
    answers: AnswerStore
    trail: AuditTrail
    event_id: Callable[[], str]
    records: RecordFinder
    search: RecordSearch
    keys: KeyStore
    sealer: Sealer
    key_material: Callable[[], KeyMaterial]
    revocations: KeyRevocations
    current_bundle: CurrentBundle
    publisher: Publisher
    balances: Balances
    publishers: LivePublishers
    lint: Lint
    trial_rules: MakeTrialRules
    replay: DecideAgain
    emergencies: Emergencies
    chain: AuditStore
    verify_audit: VerifyAudit
