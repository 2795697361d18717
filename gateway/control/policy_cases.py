"""Does a policy decide what its cases expect? By the very functions that decide live.

The ledger is its plain-Python model, so no server is asked and no money is spent.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from gateway.admission.accounts import balance_key, budget_account
from gateway.admission.choose import Balance
from gateway.admission.judge import judge
from gateway.admission.plan import make_plan
from gateway.admission.reference_ledger import ReferenceLedger
from gateway.bedrock.model_id import parse_reference
from gateway.domain.attribution import call_scopes
from gateway.domain.call import CallFacts
from gateway.domain.decision import Admit, Decision, Refuse
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.model import IdentifiedModel
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.period import windows_at
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, Posting, Rank
from gateway.policy.cases import Case, CaseFile, Given, Then, When
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.policy.parse import PolicySet
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.price_book import PriceBook
from gateway.pricing.quote import quote

_TTL_MS = 60_000
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRules:
    """What decides the cases."""

    policies: PolicySet
    catalogue: ModelCatalogue
    prices: PriceBook
    home_accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What became of a case. `mismatches` empty: it is as expected."""

    name: str
    source: str
    mismatches: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the policy decides what was expected."""
        return not self.mismatches


def run_cases(file: CaseFile, rules: CaseRules) -> Iterator[CaseResult]:
    """What the policy decides of each case of the file, against what is expected."""
    for number, case in enumerate(file.document.cases):
        yield CaseResult(
            name=case.name,
            source=file.source(number),
            mismatches=tuple(_mismatches(case, rules)),
        )


def _mismatches(case: Case, rules: CaseRules) -> Iterator[str]:
    try:
        model = rules.catalogue.identify(parse_reference(case.when.model))
    except GatewayError as error:
        yield f"no such model: {error.detail}"
        return
    policy = _policy(case, model, rules)
    names = {budget.name for budget in policy.budgets}
    stated = {*case.given.spent_usd, *case.then.remaining_usd}
    for name in sorted(stated - names):
        yield f"no budget {name!r} binds this call; there are: {', '.join(sorted(names)) or 'none'}"
    if not stated - names:
        decision = _decide(case, model, policy, rules)
        yield from _compare(case.then, decision, policy)


def _policy(case: Case, model: IdentifiedModel, rules: CaseRules) -> EffectivePolicy:
    caller = case.given.caller
    scopes = call_scopes(caller, case.given.attribution, model.base_id)
    return effective_policy(rules.policies, caller, scopes=scopes, at=case.when.at)


def _decide(
    case: Case, model: IdentifiedModel, policy: EffectivePolicy, rules: CaseRules
) -> Decision:
    refusal = policy.refusal(model, case.when.operation, rules.home_accounts)
    if refusal is not None:
        return refusal
    price = _quote(case.when, model, rules)
    if isinstance(price, Refuse):
        return price
    ledger = _ledger(case.given, policy, case.when.at)
    for number in range(case.given.calls + case.given.running):
        earlier = _plan(f"earlier-{number}", policy, price, case.when.at)
        if isinstance(earlier, AdmissionPlan):
            _now(ledger.reserve(earlier))
            if number < case.given.calls:
                _now(ledger.post(_ending(earlier.request_id, price)))
    plan = _plan("case", policy, price, case.when.at)
    if isinstance(plan, Refuse):
        return plan
    return judge(plan, price, _now(ledger.reserve(plan)))


def _quote(when: When, model: IdentifiedModel, rules: CaseRules) -> Quote | Refuse:
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


def _ledger(given: Given, policy: EffectivePolicy, at: datetime) -> ReferenceLedger:
    """A ledger in which what was spent is spent."""
    at_ms = round(at.timestamp() * 1000)
    ledger = ReferenceLedger(now_ms=lambda: at_ms)
    for budget in policy.budgets:
        spent = int(given.spent_usd.get(budget.name, 0))
        current, _ = windows_at(budget.period, budget.zone, at)
        key = balance_key(budget_account(budget), current)
        before = ledger.balances.get(key, Balance())
        ledger.balances[key] = replace(before, posted=max(before.posted, spent))
    return ledger


def _now(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What the model of the ledger answers: it never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: _Answer = done.value
        return answer
    work.close()
    raise AssertionError("the ledger in memory does not wait")


def _compare(then: Then, decision: Decision, policy: EffectivePolicy) -> Iterator[str]:
    match decision:
        case Refuse():
            yield from _compare_refusal(then, decision)
        case Admit():
            if not then.allowed:
                yield f"expected a refusal ({then.reason}), the call is allowed"
            for name, expected in then.remaining_usd.items():
                left = _remaining(name, decision, policy)
                if left != expected:
                    yield (
                        f"expected {format_usd(expected)} USD left of {name!r}, "
                        f"there are {format_usd(NanoUsd(left))}"
                    )


def _compare_refusal(then: Then, refusal: Refuse) -> Iterator[str]:
    says = f"{refusal.reason.value}: {refusal.detail}"
    if then.allowed:
        yield f"expected to be allowed, the call is refused: {says}"
    elif then.reason is not refusal.reason:
        yield f"expected the reason {then.reason}, got {says}"
    elif then.limit is not None:
        blocking = refusal.blocking
        found = blocking.account.name if blocking is not None else None
        if found != then.limit and not (found is None and f"{then.limit!r}" in refusal.detail):
            yield f"expected the limit {then.limit!r}, got {says}"


def _remaining(name: str, admit: Admit, policy: EffectivePolicy) -> int:
    """What is left of a budget, the call's own hold taken off. Units: nano-USD."""
    account = next(budget_account(b) for b in policy.budgets if b.name == name)
    state = next(
        u
        for u in admit.receipt.utilisation
        if u.account.key == account.key and u.account.name == name
    )
    return max(0, state.ceiling - state.used)
