"""What policies decide of one imagined call: by the very functions that decide live.

The ledger is its plain-Python model, so no server is asked and no money is spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.admission.judge import judge
from gateway.admission.plan import make_plan
from gateway.bedrock.model_id import parse_reference
from gateway.control.trial_ledger import TrialLedger
from gateway.domain.attribution import call_scopes
from gateway.domain.call import CallFacts, Operation
from gateway.domain.decision import Decision, Refuse
from gateway.domain.ids import RequestId
from gateway.domain.model import IdentifiedModel
from gateway.domain.money import NanoUsd
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, Posting, Rank
from gateway.policy.cases import Given, When
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.policy.parse import PolicySet
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.price_book import PriceBook
from gateway.pricing.quote import quote

_TTL_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRules:
    """What decides."""

    policies: PolicySet
    catalogue: ModelCatalogue
    prices: PriceBook
    home_accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One imagined call: who makes it, what went before, what is asked."""

    given: Given
    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What binds an imagined call, what it would hold at most, and what is decided of it.

    `price` None: it is refused before it has one.
    """

    operation: Operation
    model: IdentifiedModel
    policy: EffectivePolicy
    price: Quote | None
    decision: Decision


def try_call(trial: Trial, rules: TrialRules) -> Outcome:
    """What the policies decide. Raises: GatewayError(MALFORMED_PATH) for what is no model."""
    model = rules.catalogue.identify(parse_reference(trial.when.model))
    policy = _policy(trial, model, rules)
    price = _quote(trial.when, model, rules)
    return Outcome(
        operation=trial.when.operation,
        model=model,
        policy=policy,
        price=None if isinstance(price, Refuse) else price,
        decision=_decide(trial, model, policy, rules),
    )


def unbound_budgets(trial: Trial, outcome: Outcome) -> str:
    """What is wrong if something is said to be spent of a budget that does not bind the call."""
    known = sorted(budget.name for budget in outcome.policy.budgets)
    unknown = sorted(set(trial.given.spent_usd) - set(known))
    if not unknown:
        return ""
    return f"no budget {unknown[0]!r} binds this call; there are: {', '.join(known) or 'none'}"


def _policy(trial: Trial, model: IdentifiedModel, rules: TrialRules) -> EffectivePolicy:
    given, when = trial.given, trial.when
    caller = given.caller
    scopes = call_scopes(caller, given.attribution, model.base_id)
    return effective_policy(rules.policies, caller, scopes=scopes, at=when.at)


def _decide(
    trial: Trial, model: IdentifiedModel, policy: EffectivePolicy, rules: TrialRules
) -> Decision:
    given, when = trial.given, trial.when
    refusal = policy.refusal(model, when.operation, rules.home_accounts)
    if refusal is not None:
        return refusal
    price = _quote(when, model, rules)
    if isinstance(price, Refuse):
        return price
    ledger = _ledger(given, policy, when.at)
    for number in range(given.calls + given.running):
        earlier = _plan(f"earlier-{number}", policy, price, when.at)
        if isinstance(earlier, AdmissionPlan):
            ledger.reserve(earlier)
            if number < given.calls:
                ledger.post(_ending(earlier.request_id, price))
    plan = _plan("case", policy, price, when.at)
    if isinstance(plan, Refuse):
        return plan
    return judge(plan, price, ledger.reserve(plan))


def _quote(when: When, model: IdentifiedModel, rules: TrialRules) -> Quote | Refuse:
    facts = CallFacts(
        text_bytes=0, exact_input_tokens=when.input_tokens, max_output_tokens=when.max_tokens
    )
    prices = rules.prices
    sheet = prices.sheet(model, when.region, when.at) or prices.ceiling_sheet()
    price = quote(facts, model, sheet, when.operation, prices.ceiling)
    if isinstance(price, OutputLimitUnknown):
        return Refuse(reason=Reason.OUTPUT_LIMIT_UNKNOWN, detail=price.detail)
    return price


def _plan(name: str, policy: EffectivePolicy, price: Quote, at: datetime) -> AdmissionPlan | Refuse:
    return make_plan(
        request_id=RequestId(name), policy=policy, quote=price, now=at, draft=b"{}", ttl_ms=_TTL_MS
    )


def _ending(request_id: RequestId, price: Quote) -> Posting:
    """An earlier call's end: it used the tokens that were expected. What it cost is in `spent`."""
    return Posting(
        request_id=request_id,
        charge=NanoUsd(0),
        tokens=price.expected_tokens,
        rank=Rank.MEASURED,
        record=b"{}",
    )


def _ledger(given: Given, policy: EffectivePolicy, at: datetime) -> TrialLedger:
    """A ledger in which what was spent is spent."""
    ledger = TrialLedger(round(at.timestamp() * 1000))
    for budget in policy.budgets:
        spent = int(given.spent_usd.get(budget.name, 0))
        # Two budgets may count in one account; what was spent is spent once.
        ledger.spend([budget], at, max(0, spent - ledger.spent(budget, at)))
    return ledger
