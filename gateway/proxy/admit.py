"""Admit: may this call run? Resolve the policy, quote the worst case, hold it in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.admission.accounts import touched_keys
from gateway.admission.judge import judge
from gateway.admission.plan import make_plan
from gateway.admission.ports import Ledger
from gateway.admission.settlement import Admitted, CallContext, draft_record
from gateway.domain.clock import Clock
from gateway.domain.decision import Refuse
from gateway.domain.errors import Fault, GatewayError, LedgerNotAskedError
from gateway.domain.ids import RequestId
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, NotDecided, Obstacle, Receipt
from gateway.journal.codec import encode_record
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.policy.parse import PolicySet
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.price_book import PriceBook
from gateway.pricing.quote import quote
from gateway.proxy.stage_values import AdmittedCall, IdentifiedCall

_JOURNAL_RETRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One consistent snapshot of what decides: policies and prices. Swapped whole."""

    policies: PolicySet
    prices: PriceBook
    home_accounts: frozenset[str]


class Admit:
    """The only maker of `AdmittedCall`: pure decisions around one round trip to the ledger."""

    def __init__(
        self,
        rules: Callable[[], Rules],
        ledger: Ledger,
        clock: Clock,
        *,
        release: Callable[[RequestId], None],
        hold_ttl_ms: int,
        is_journal_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._rules = rules
        self._ledger = ledger
        self._clock = clock
        self._release = release
        self._hold_ttl_ms = hold_ttl_ms
        self._is_journal_full = is_journal_full

    async def __call__(self, identified: IdentifiedCall) -> AdmittedCall:
        """The call with its hold. Raises: GatewayError with the reason of the refusal."""
        if self._is_journal_full():
            raise GatewayError(
                Reason.OVERLOADED,
                "too many usage records wait for their table; none may be lost",
                fault=Fault.GATEWAY,
                retry_after_s=_JOURNAL_RETRY_S,
            )
        rules = self._rules()
        policy = resolve(rules, identified)
        price = _price(rules, identified, self._clock.now())
        context = CallContext(
            request_id=identified.call.request_id,
            caller=identified.authenticated.caller,
            operation=identified.call.operation,
            model=identified.model,
            region=identified.authenticated.region,
            facts=identified.facts,
            quote=price,
            policy_version=policy.version,
        )
        plan, receipt = await self._reserve(context, policy)
        decision = judge(plan, price, receipt)
        if isinstance(decision, Refuse):
            raise refused(decision)
        return AdmittedCall(
            identified=identified,
            admitted=Admitted(
                context=context,
                hold_nano_usd=decision.rung.hold_nano_usd,
                at_ms=decision.receipt.at_ms,
                accounts=touched_keys(decision.rung, decision.receipt),
                utilisation=decision.receipt.utilisation,
            ),
            admitted_at=_instant(decision.receipt.at_ms),
        )

    async def _reserve(
        self, context: CallContext, policy: EffectivePolicy
    ) -> tuple[AdmissionPlan, Receipt]:
        """Asks the ledger; once more with the windows of its own clock if ours disagrees."""
        plan = self._plan(context, policy, self._clock.now())
        receipt = await self._ask(plan)
        if isinstance(receipt, NotDecided) and receipt.obstacle is Obstacle.STALE_WINDOW:
            plan = self._plan(context, policy, _instant(receipt.at_ms))
            receipt = await self._ask(plan)
        return plan, receipt

    def _plan(self, context: CallContext, policy: EffectivePolicy, now: datetime) -> AdmissionPlan:
        draft = draft_record(context, hold_nano_usd=context.quote.hold_nano_usd, at=now)
        plan = make_plan(
            request_id=context.request_id,
            policy=policy,
            quote=context.quote,
            now=now,
            draft=encode_record(draft),
            ttl_ms=self._hold_ttl_ms,
        )
        if isinstance(plan, Refuse):
            raise refused(plan)
        return plan

    async def _ask(self, plan: AdmissionPlan) -> Receipt:
        try:
            return await self._ledger.reserve(plan)
        except LedgerNotAskedError:
            raise
        except BaseException:
            # The hold may stand: the answer was lost, or we were told to stop meanwhile.
            self._release(plan.request_id)
            raise


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def resolve(rules: Rules, identified: IdentifiedCall) -> EffectivePolicy:
    """What applies to this call. Raises: GatewayError if model or operation are not allowed."""
    policy = effective_policy(rules.policies, identified.authenticated.caller)
    refusal = policy.refusal(identified.model, identified.call.operation, rules.home_accounts)
    if refusal is not None:
        raise refused(refusal)
    return policy


def _price(rules: Rules, identified: IdentifiedCall, at: datetime) -> Quote:
    """The upper bound of the call, by the model's prices, else by the stated ceiling.

    Raises: GatewayError if there is no bound.
    """
    prices, model = rules.prices, identified.model
    sheet = prices.sheet(model, identified.authenticated.region, at) or prices.ceiling_sheet()
    bound = quote(identified.facts, model, sheet, identified.call.operation, prices.ceiling)
    if isinstance(bound, OutputLimitUnknown):
        raise GatewayError(Reason.OUTPUT_LIMIT_UNKNOWN, bound.detail)
    return bound


def refused(refusal: Refuse) -> GatewayError:
    """A refusal as the error that carries it to the edge."""
    fault = (
        Fault.GATEWAY
        if refusal.reason in (Reason.STALE_PLAN, Reason.LEDGER_UNAVAILABLE)
        else Fault.CALLER
    )
    return GatewayError(
        refusal.reason, refusal.detail, fault=fault, retry_after_s=refusal.retry_after_s
    )
