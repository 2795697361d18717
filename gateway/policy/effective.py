"""Which limits apply to whom: the rules of all files that bind one caller, put together.

All budgets and limits that match are enforced; allow lists intersect, deny lists unite, and what
no file allows is refused. Source: policies/README.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from gateway.domain.call import Operation
from gateway.domain.caller import Caller
from gateway.domain.decision import Refuse
from gateway.domain.ids import PolicyVersion
from gateway.domain.model import IdentifiedModel, ReferenceKind
from gateway.domain.money import NanoUsd
from gateway.domain.period import Period
from gateway.domain.reason import Reason
from gateway.domain.reservation import Resource
from gateway.domain.scope import Scope
from gateway.policy.document import (
    BudgetMode,
    LimitMode,
    LimitRule,
    PolicyDocument,
    UnknownModelRule,
    operation_name,
)
from gateway.policy.parse import PolicySet

_NAMED_BY_MODEL = frozenset(
    {
        ReferenceKind.FOUNDATION_MODEL,
        ReferenceKind.SYSTEM_PROFILE,
        ReferenceKind.APPLICATION_PROFILE,
    }
)
"""References whose price and owner follow from a model; the others must be listed one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimit:
    """A budget of one scope that binds the call. Units: nano-USD per window of the period.

    `rolling`: how many whole windows before the current one count as well.
    """

    name: str
    scope: Scope
    period: Period
    zone: ZoneInfo
    ceiling: NanoUsd
    mode: BudgetMode
    rolling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A rate of one scope that binds the call. Units: `capacity` requests or tokens a period."""

    name: str
    scope: Scope
    resource: Resource
    capacity: int
    period_ms: int
    enforced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """How many calls of one scope may run at the same time."""

    name: str
    scope: Scope
    limit: int
    enforced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """Everything that binds one caller, and which edition of the policy says so.

    `model_allow` and `endpoint_allow` hold one list per file that has one; all must match.
    `covered` False: no file speaks for this caller, so nothing is allowed. `scopes`: the caller's.
    """

    version: PolicyVersion
    org: str
    covered: bool
    budgets: tuple[BudgetLimit, ...]
    rates: tuple[RateLimit, ...]
    max_tokens_per_request: int | None
    unknown_models: UnknownModelRule
    operations: frozenset[Operation]
    model_allow: tuple[tuple[str, ...], ...]
    model_deny: tuple[str, ...]
    endpoint_allow: tuple[tuple[str, ...], ...]
    accounts: frozenset[str]
    concurrency: tuple[ConcurrencyLimit, ...] = ()
    scopes: tuple[Scope, ...] = ()

    def refusal(
        self, model: IdentifiedModel, operation: Operation, home_accounts: Collection[str]
    ) -> Refuse | None:
        """Why this caller may not call this model by this operation; None if the policy allows it.

        `home_accounts`: the gateway's own AWS accounts, whose resources need no listing.
        """
        return self.operation_refusal(operation) or self.model_refusal(model, home_accounts)

    def operation_refusal(self, operation: Operation) -> Refuse | None:
        """Why this caller may not use the operation, whatever the model."""
        if not self.covered:
            return Refuse(
                reason=Reason.OPERATION_NOT_ALLOWED,
                detail=f"no policy speaks for org {self.org!r}: add a policy file for it",
            )
        if operation in self.operations:
            return None
        return Refuse(
            reason=Reason.OPERATION_NOT_ALLOWED,
            detail=f"the policy does not list {operation_name(operation)} in operations.allow",
        )

    def model_refusal(
        self, model: IdentifiedModel, home_accounts: Collection[str]
    ) -> Refuse | None:
        """Why this caller may not use the model, whatever the operation."""
        return (
            self._resource_refusal(model, home_accounts)
            or self._pattern_refusal(model)
            or self._unknown_refusal(model)
        )

    def _resource_refusal(
        self, model: IdentifiedModel, home_accounts: Collection[str]
    ) -> Refuse | None:
        reference = model.reference
        account = reference.account
        if account and account not in home_accounts and account not in self.accounts:
            return Refuse(
                reason=Reason.RESOURCE_NOT_ALLOWED,
                detail=f"account {account} of {reference.text!r} is not in models.accounts",
            )
        if reference.kind not in _NAMED_BY_MODEL and not self._endpoint_is_listed(reference.text):
            return Refuse(
                reason=Reason.RESOURCE_NOT_ALLOWED,
                detail=f"a {reference.kind.value} such as {reference.text!r} must be listed in "
                "models.endpoints",
            )
        return None

    def _pattern_refusal(self, model: IdentifiedModel) -> Refuse | None:
        names = _names(model)
        denied_by = next((p for p in self.model_deny if _matches_any((p,), names)), None)
        if denied_by is not None:
            return Refuse(
                reason=Reason.MODEL_NOT_ALLOWED,
                detail=f"model {model.base_id!r} is denied by {denied_by!r} of models.deny",
            )
        listed_itself = model.model is None and self._endpoint_is_listed(model.reference.text)
        if listed_itself or all(_matches_any(allow, names) for allow in self.model_allow):
            return None
        return Refuse(
            reason=Reason.MODEL_NOT_ALLOWED,
            detail=f"model {model.base_id!r} is not in models.allow",
        )

    def _unknown_refusal(self, model: IdentifiedModel) -> Refuse | None:
        if model.model is not None or self.unknown_models is UnknownModelRule.CEILING:
            return None
        return Refuse(
            reason=Reason.MODEL_UNKNOWN,
            detail=f"model {model.base_id!r} is not in the catalogue: its price is unknown",
        )

    def _endpoint_is_listed(self, text: str) -> bool:
        return bool(self.endpoint_allow) and all(
            _matches_any(allow, (text,)) for allow in self.endpoint_allow
        )


def effective_policy(policies: PolicySet, caller: Caller) -> EffectivePolicy:
    """What binds the caller: the file of everyone (`*`) and the file of the caller's org."""
    candidates = (policies.everyone, policies.orgs.get(caller.org))
    documents = [document for document in candidates if document is not None]
    scopes = {scope.kind.value: scope for scope in caller.scopes}
    listed = [d.operations.allow for d in documents if d.operations.allow is not None]
    return EffectivePolicy(
        version=policies.version,
        org=caller.org,
        covered=bool(documents),
        budgets=tuple(
            BudgetLimit(
                name=rule.name,
                scope=scopes[rule.scope.value],
                period=rule.period,
                zone=document.timezone,
                ceiling=rule.limit_usd,
                mode=rule.mode,
                rolling=rule.rolling or 0,
            )
            for document in documents
            for rule in document.budgets
            if rule.scope.value in scopes
        ),
        rates=tuple(
            rate
            for document in documents
            for rule in document.limits
            if rule.scope.value in scopes
            for rate in _rates(rule, scopes[rule.scope.value])
        ),
        max_tokens_per_request=_smallest_request_limit(documents, scopes),
        unknown_models=_unknown_rule(documents),
        operations=frozenset(Operation).intersection(*listed) if documents else frozenset(),
        model_allow=tuple(d.models.allow for d in documents if d.models.allow is not None),
        model_deny=tuple(pattern for d in documents for pattern in d.models.deny),
        endpoint_allow=tuple(
            d.models.endpoints for d in documents if d.models.endpoints is not None
        ),
        accounts=_accounts(documents),
        concurrency=tuple(
            ConcurrencyLimit(
                name=f"{rule.label} concurrency",
                scope=scopes[rule.scope.value],
                limit=rule.concurrency,
                enforced=rule.mode is LimitMode.HARD,
            )
            for document in documents
            for rule in document.limits
            if rule.scope.value in scopes and rule.concurrency is not None
        ),
        scopes=caller.scopes,
    )


def _rates(rule: LimitRule, scope: Scope) -> list[RateLimit]:
    stated = (
        ("requests per second", Resource.REQUESTS, rule.requests_per_second, 1_000),
        ("requests per minute", Resource.REQUESTS, rule.requests_per_minute, 60_000),
        ("requests per hour", Resource.REQUESTS, rule.requests_per_hour, 3_600_000),
        ("tokens per minute", Resource.TOKENS, rule.tokens_per_minute, 60_000),
    )
    return [
        RateLimit(
            name=f"{rule.label} {what}",
            scope=scope,
            resource=resource,
            capacity=capacity,
            period_ms=period_ms,
            enforced=rule.mode is LimitMode.HARD,
        )
        for what, resource, capacity, period_ms in stated
        if capacity is not None
    ]


def _smallest_request_limit(
    documents: Sequence[PolicyDocument], scopes: Collection[str]
) -> int | None:
    stated = [
        rule.tokens_per_request
        for document in documents
        for rule in document.limits
        if rule.scope.value in scopes
        and rule.mode is LimitMode.HARD
        and rule.tokens_per_request is not None
    ]
    return min(stated, default=None)


def _unknown_rule(documents: Sequence[PolicyDocument]) -> UnknownModelRule:
    stated = {document.models.unknown for document in documents} - {None}
    return (
        UnknownModelRule.CEILING
        if stated == {UnknownModelRule.CEILING}
        else UnknownModelRule.REFUSE
    )


def _accounts(documents: Sequence[PolicyDocument]) -> frozenset[str]:
    stated = [frozenset(d.models.accounts) for d in documents if d.models.accounts is not None]
    return frozenset.intersection(*stated) if stated else frozenset()


def _names(model: IdentifiedModel) -> tuple[str, ...]:
    """All names of the model behind the reference: its id, its aliases, and what was asked for."""
    if model.model is None:
        return (model.base_id,)
    asked = (model.reference.base_id,) if model.reference.base_id is not None else ()
    return (model.model.id, *model.model.aliases, *asked)


def _matches_any(patterns: Collection[str], names: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
