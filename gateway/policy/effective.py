"""Which limits apply to whom: the rules of all files that bind one call, put together.

All budgets and limits that match are enforced; allow lists intersect, deny lists unite, and what
no file allows is refused. Source: policies/README.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from gateway.domain.call import Operation
from gateway.domain.caller import Caller
from gateway.domain.decision import Refuse
from gateway.domain.ids import PolicyVersion
from gateway.domain.model import IdentifiedModel, ReferenceKind
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.policy.document import UnknownModelRule, operation_name
from gateway.policy.limits import (
    BudgetLimit,
    ConcurrencyLimit,
    Emergency,
    OperationList,
    PatternList,
    RateLimit,
    RequestSizeLimit,
)
from gateway.policy.on_outage import OnOutage, on_outage
from gateway.policy.parse import PolicySet
from gateway.policy.resolve import bound_budgets, bound_limits, overrides_of
from gateway.policy.rule_entries import RuleBook
from gateway.policy.sections import emergencies, foreign_accounts, pattern_lists, unknown_rule
from gateway.policy.upstream_rules import RetrySection, TargetRule

__all__ = [  # what binds a call is asked for here, together with its limits
    "BudgetLimit",
    "ConcurrencyLimit",
    "EffectivePolicy",
    "Emergency",
    "RateLimit",
    "RequestSizeLimit",
    "effective_policy",
]

_MOST_TOLD = 8
_KEPT_CALLS = 8192
"""How many different callers and scopes an edition remembers its answer for."""

_NAMED_BY_MODEL = frozenset(
    {
        ReferenceKind.FOUNDATION_MODEL,
        ReferenceKind.SYSTEM_PROFILE,
        ReferenceKind.APPLICATION_PROFILE,
    }
)
"""References whose price and owner follow from a model; the others must be listed one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """Everything that binds one call, and which edition of the policy says so.

    `model_allow` and `endpoint_allow` hold one list per section that has one; all must match.
    `covered` False: no file speaks for this caller, so nothing is allowed. `scopes`: the call's.
    `retries` and `targets` are of the most specific section that states them; nothing uses them
    yet.
    """

    version: PolicyVersion
    org: str
    covered: bool
    budgets: tuple[BudgetLimit, ...]
    rates: tuple[RateLimit, ...]
    unknown_models: UnknownModelRule
    operations: frozenset[Operation]
    model_allow: tuple[PatternList, ...]
    model_deny: tuple[PatternList, ...]
    endpoint_allow: tuple[PatternList, ...]
    accounts: frozenset[str]
    concurrency: tuple[ConcurrencyLimit, ...] = ()
    sizes: tuple[RequestSizeLimit, ...] = ()
    scopes: tuple[Scope, ...] = ()
    emergency: tuple[Emergency, ...] = ()
    on_outage: OnOutage = field(default_factory=OnOutage)
    retries: RetrySection | None = None
    targets: tuple[TargetRule, ...] = ()
    operation_lists: tuple[OperationList, ...] = ()
    """The lists that `operations` is the intersection of."""

    @property
    def size_limit(self) -> RequestSizeLimit | None:
        """The limit of how large the call may be: the smallest that binds it."""
        return min(self.sizes, key=lambda size: size.tokens, default=None)

    @property
    def max_tokens_per_request(self) -> int | None:
        """How large the call may be. Units: tokens."""
        smallest = self.size_limit
        return None if smallest is None else smallest.tokens

    def emergency_of(self, budget: BudgetLimit) -> Emergency | None:
        """What follows when the budget is exhausted; None: it is no emergency budget."""
        if budget.emergency is None:
            return None
        return next(one for one in self.emergency if one.scope == budget.scope)

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
            detail=f"the policy does not list {operation_name(operation)} in operations.allow; "
            f"use one that it lists ({_some(map(operation_name, sorted(self.operations)))}), "
            "or have the policy changed",
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
                detail=f"account {account} of {reference.text!r} is not in models.accounts; "
                "use a resource of an account that is, or have the policy changed",
            )
        if reference.kind not in _NAMED_BY_MODEL and not self._endpoint_is_listed(reference.text):
            return Refuse(
                reason=Reason.RESOURCE_NOT_ALLOWED,
                detail=f"a {reference.kind.value} such as {reference.text!r} must be listed in "
                "models.endpoints; use one that is, or have the policy changed",
            )
        return None

    def _pattern_refusal(self, model: IdentifiedModel) -> Refuse | None:
        names = model_names(model)
        for denied in self.model_deny:
            pattern = next((p for p in denied.patterns if matches_any((p,), names)), None)
            if pattern is not None:
                return Refuse(
                    reason=Reason.MODEL_NOT_ALLOWED,
                    detail=f"model {model.base_id!r} is denied by {pattern!r} of models.deny; "
                    "use another model, or have the policy changed",
                )
        listed_itself = model.model is None and self._endpoint_is_listed(model.reference.text)
        if listed_itself or all(matches_any(one.patterns, names) for one in self.model_allow):
            return None
        return Refuse(
            reason=Reason.MODEL_NOT_ALLOWED,
            detail=f"model {model.base_id!r} is not in models.allow; use one that every list has "
            f"({'; '.join(_some(one.patterns) for one in self.model_allow)}), "
            "or have the policy changed",
        )

    def _unknown_refusal(self, model: IdentifiedModel) -> Refuse | None:
        if model.model is not None or self.unknown_models is UnknownModelRule.CEILING:
            return None
        return Refuse(
            reason=Reason.MODEL_UNKNOWN,
            detail=f"model {model.base_id!r} is not in the catalogue: its price is unknown; "
            "use another model, or have it added to the catalogue and the prices",
        )

    def _endpoint_is_listed(self, text: str) -> bool:
        return bool(self.endpoint_allow) and all(
            matches_any(listed.patterns, (text,)) for listed in self.endpoint_allow
        )


def effective_policy(
    policies: PolicySet,
    caller: Caller,
    *,
    scopes: tuple[Scope, ...] | None = None,
    at: datetime | None = None,
) -> EffectivePolicy:
    """What binds the call: the file of everyone (`*`), the file of the org, and rules by API.

    `scopes`: all that the call is accounted in; the caller's own if not given. `at` decides which
    overrides are in force; without an instant none is. Remembered per edition and scopes.
    """
    key: tuple[str | None, ...]
    if scopes is None:
        key = (caller.org, caller.team, caller.user, caller.application)
    else:
        key = (caller.org, *[scope.path for scope in scopes])
    book = policies.book(caller.org)
    if book.overrides:
        key = (*key, str(book.ended_overrides(at)))
    found: EffectivePolicy | None = policies.resolved.get(key)
    if found is None:
        found = _resolve(policies, book, caller, scopes or caller.scopes, at)
        if len(policies.resolved) >= _KEPT_CALLS:
            policies.resolved.clear()
        policies.resolved[key] = found
    return found


def _resolve(
    policies: PolicySet,
    book: RuleBook,
    caller: Caller,
    scopes: tuple[Scope, ...],
    at: datetime | None,
) -> EffectivePolicy:
    by_kind = {scope.kind: scope for scope in scopes}
    about = overrides_of(book.overrides_at(at), by_kind)
    limits = bound_limits(book, by_kind, about)
    sections = [
        section
        for section in book.sections
        if section.selector is None or section.selector.match(by_kind) is not None
    ]
    listed = [s.operations.allow for s in sections if s.operations.allow is not None]
    return EffectivePolicy(
        version=policies.version,
        org=caller.org,
        covered=book.covered,
        budgets=bound_budgets(book, by_kind, about),
        rates=limits.rates,
        unknown_models=unknown_rule(sections),
        operations=frozenset(Operation).intersection(*listed) if book.covered else frozenset(),
        model_allow=pattern_lists(sections, "allow"),
        model_deny=pattern_lists(sections, "deny"),
        endpoint_allow=pattern_lists(sections, "endpoints"),
        accounts=foreign_accounts(sections),
        concurrency=limits.concurrency,
        sizes=limits.sizes,
        scopes=scopes,
        emergency=emergencies(book, by_kind),
        on_outage=on_outage(policies, caller.org),
        retries=next((s.retries for s in reversed(sections) if s.retries is not None), None),
        targets=next((s.targets for s in reversed(sections) if s.targets is not None), ()),
        operation_lists=tuple(
            OperationList(
                operations=frozenset(section.operations.allow),
                source=section.source("operations", "allow"),
            )
            for section in sections
            if section.operations.allow is not None
        ),
    )


def _some(names: Iterable[str]) -> str:
    """The first of the names, as many as a message has room for."""
    listed = list(names)
    more = ", …" if len(listed) > _MOST_TOLD else ""
    return (", ".join(listed[:_MOST_TOLD]) or "none") + more


def model_names(model: IdentifiedModel) -> tuple[str, ...]:
    """All names of the model behind the reference: its id, its aliases, and what was asked for."""
    if model.model is None:
        return (model.base_id,)
    asked = (model.reference.base_id,) if model.reference.base_id is not None else ()
    return (model.model.id, *model.model.aliases, *asked)


def matches_any(patterns: Collection[str], names: Collection[str]) -> bool:
    """Whether one of the names matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
