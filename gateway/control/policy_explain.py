"""Why a call would be allowed or refused: every rule that binds it, and the one that decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.admission.accounts import budget_account, concurrency_account, rate_account
from gateway.control.policy_trial import Outcome
from gateway.domain.decision import Admit, Refuse
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.period import Period
from gateway.domain.reason import Reason
from gateway.domain.reservation import Resource, Utilisation
from gateway.policy.effective import matches_any, model_names
from gateway.policy.limits import PatternList


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule that binds the call. `source`: `file:line` or `api:ID`. `decides`: it refuses."""

    rule: str
    source: str
    says: str
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The decision, and how it came about. `reason` None: the call may run."""

    reason: Reason | None
    detail: str
    model: str
    hold_nano_usd: NanoUsd | None
    steps: tuple[Step, ...]

    @property
    def decided_by(self) -> Step | None:
        """The rule that refuses the call."""
        return next((step for step in self.steps if step.decides), None)


def explain(outcome: Outcome) -> Explanation:
    """The explanation of a decision."""
    decision = outcome.decision
    refusal = decision if isinstance(decision, Refuse) else None
    return Explanation(
        reason=refusal.reason if refusal else None,
        detail=refusal.detail if refusal else "No rule refuses the call.",
        model=outcome.model.base_id,
        hold_nano_usd=outcome.price.hold_nano_usd if outcome.price else None,
        steps=tuple(_steps(outcome, refusal)),
    )


def _steps(outcome: Outcome, refusal: Refuse | None) -> Iterator[Step]:
    yield from _permissions(outcome, refusal.reason if refusal else None)
    if outcome.price is not None:
        yield from _limits(outcome, refusal)


def _permissions(outcome: Outcome, reason: Reason | None) -> Iterator[Step]:
    policy, names = outcome.policy, model_names(outcome.model)
    if not policy.covered:
        says = f"no file speaks for org {policy.org!r}: nothing is allowed"
        yield Step(rule="policy files", source="", says=says, decides=True)
    for operations in policy.operation_lists:
        listed_here = outcome.operation in operations.operations
        yield Step(
            rule="operations.allow",
            source=operations.source,
            says="lists the operation" if listed_here else "does not list the operation",
            decides=not listed_here,
        )
    denied = False
    for listed in policy.model_deny:
        pattern = _first(listed, names)
        decides = pattern is not None and reason is Reason.MODEL_NOT_ALLOWED and not denied
        denied = denied or pattern is not None
        says = "does not name the model" if pattern is None else f"{pattern!r} names the model"
        yield Step(rule="models.deny", source=listed.source, says=says, decides=decides)
    for listed in policy.model_allow:
        pattern = _first(listed, names)
        decides = pattern is None and reason is Reason.MODEL_NOT_ALLOWED and not denied
        says = "does not name the model" if pattern is None else f"{pattern!r} names the model"
        yield Step(rule="models.allow", source=listed.source, says=says, decides=decides)
    if reason in {Reason.MODEL_UNKNOWN, Reason.RESOURCE_NOT_ALLOWED, Reason.OUTPUT_LIMIT_UNKNOWN}:
        says = "the model is not one that these rules can bound or allow"
        yield Step(rule="models", source="", says=says, decides=True)


def _limits(outcome: Outcome, refusal: Refuse | None) -> Iterator[Step]:
    policy = outcome.policy
    states = _states(outcome)
    blocking = refusal.blocking if refusal is not None else None
    too_large = refusal is not None and refusal.reason is Reason.CLAIM_ABOVE_CAPACITY
    for size in policy.sizes:
        decides = too_large and refusal is not None and f"{size.name!r}" in refusal.detail
        says = f"a request may use {size.tokens} tokens"
        yield Step(rule=f"limit {size.name!r}", source=size.source, says=says, decides=decides)
    for budget in policy.budgets:
        key = (budget_account(budget).key, budget.name)
        says = (
            f"{budget.mode.value}, {format_usd(budget.ceiling)} USD {_each(budget.period)} for "
            f"{budget.scope.path}{_used(states.get(key), Resource.MONEY)}"
        )
        yield _limit_step(f"budget {budget.name!r}", budget.source, says, blocking, key)
    for rate in policy.rates:
        key = (rate_account(rate).key, rate.name)
        says = (
            f"{'' if rate.enforced else 'observed only, '}{rate.capacity} {rate.resource.value} in "
            f"{rate.period_ms / 1000:g} s for {rate.scope.path}"
            f"{_used(states.get(key), rate.resource)}"
        )
        step = _limit_step(f"limit {rate.name!r}", rate.source, says, blocking, key)
        yield _hopeless(step, rate.name, refusal if too_large else None)
    for place in policy.concurrency:
        key = (concurrency_account(place).key, place.name)
        says = f"{place.limit} calls at the same time for {place.scope.path}"
        yield _limit_step(f"limit {place.name!r}", place.source, says, blocking, key)


def _hopeless(step: Step, name: str, refusal: Refuse | None) -> Step:
    """A rate that can never let the call pass refuses it before the ledger is asked."""
    if refusal is None or f"{name!r}" not in refusal.detail:
        return step
    return Step(rule=step.rule, source=step.source, says=step.says, decides=True)


def _limit_step(
    rule: str, source: str, says: str, blocking: Utilisation | None, key: tuple[str, str]
) -> Step:
    decides = blocking is not None and (blocking.account.key, blocking.account.name) == key
    if decides and blocking is not None:
        says += _used(blocking, blocking.account.resource)
    return Step(rule=rule, source=source, says=says, decides=decides)


def _states(outcome: Outcome) -> dict[tuple[str, str], Utilisation]:
    if not isinstance(outcome.decision, Admit):
        return {}
    told = outcome.decision.receipt.utilisation
    return {(each.account.key, each.account.name): each for each in told}


def _each(period: Period) -> str:
    return "an hour" if period is Period.HOUR else f"a {period.value}"


def _used(state: Utilisation | None, resource: Resource) -> str:
    if state is None:
        return ""
    if resource is Resource.MONEY:
        used, ceiling = format_usd(NanoUsd(state.used)), format_usd(NanoUsd(state.ceiling))
        return f"; {used} of {ceiling} USD are spent or held"
    return f"; {state.used} of {state.ceiling} are used"


def _first(listed: PatternList, names: tuple[str, ...]) -> str | None:
    return next((pattern for pattern in listed.patterns if matches_any((pattern,), names)), None)
