"""Does a policy decide what its cases expect?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.admission.accounts import budget_account
from gateway.control.policy_trial import Trial, TrialRules, try_call
from gateway.domain.decision import Admit, Decision, Refuse
from gateway.domain.errors import GatewayError
from gateway.domain.money import NanoUsd, format_usd
from gateway.policy.cases import Case, CaseFile, Then
from gateway.policy.effective import EffectivePolicy


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


def run_cases(file: CaseFile, rules: TrialRules) -> Iterator[CaseResult]:
    """What the policy decides of each case of the file, against what is expected."""
    for number, case in enumerate(file.document.cases):
        yield CaseResult(
            name=case.name,
            source=file.source(number),
            mismatches=tuple(_mismatches(case, rules)),
        )


def _mismatches(case: Case, rules: TrialRules) -> Iterator[str]:
    try:
        outcome = try_call(Trial(given=case.given, when=case.when), rules)
    except GatewayError as error:
        yield f"no such model: {error.detail}"
        return
    names = {budget.name for budget in outcome.policy.budgets}
    stated = {*case.given.spent_usd, *case.then.remaining_usd}
    for name in sorted(stated - names):
        yield f"no budget {name!r} binds this call; there are: {', '.join(sorted(names)) or 'none'}"
    if not stated - names:
        yield from _compare(case.then, outcome.decision, outcome.policy)


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
