"""Admit: may this call run? Resolve the policy, quote the worst case, hold it in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.admission.accounts import touched_keys
from gateway.admission.judge import judge
from gateway.admission.key_editions import key_editions
from gateway.admission.plan import make_plan
from gateway.admission.ports import Ledger
from gateway.admission.settlement import Admitted, CallContext, draft_record
from gateway.bedrock.exchange import Headers
from gateway.domain.attribution import call_scopes
from gateway.domain.clock import Clock
from gateway.domain.decision import Refuse
from gateway.domain.errors import Fault, GatewayError, LedgerNotAskedError
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.record import UsageRecord
from gateway.domain.reservation import (
    AdmissionPlan,
    Granted,
    NotDecided,
    Obstacle,
    Receipt,
    Seen,
)
from gateway.journal.codec import encode_record
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.policy.on_outage import on_outage
from gateway.policy.parse import PolicySet
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.price_book import PriceBook
from gateway.pricing.quote import quote
from gateway.proxy.admit_locally import LocalAdmission, PassedLocally
from gateway.proxy.answer_headers import policy_headers, refusal_headers
from gateway.proxy.stage_values import AdmittedCall, IdentifiedCall

_JOURNAL_RETRY_S = 5.0
_REPLANS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One consistent snapshot of what decides: policies and prices. Swapped whole.

    `seen`: the editions of what it was made from; the ledger refuses older ones than it knows.
    """

    policies: PolicySet
    prices: PriceBook
    home_accounts: frozenset[str]
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the ledger was asked, and what it was made from. `at`: of whose windows it speaks."""

    rules: Rules
    context: CallContext
    plan: AdmissionPlan
    at: datetime


class Admit:
    """The only maker of `AdmittedCall`: pure decisions around one round trip to the ledger.

    `local` decides while the ledger is away; None: then every call is refused. `refresh` fetches
    newer rules where the ledger knows of some; None: they come by themselves. `heard` is told what
    the ledger says of each call.
    """

    def __init__(
        self,
        rules: Callable[[], Rules],
        ledger: Ledger,
        clock: Clock,
        *,
        release: Callable[[RequestId], None],
        hold_ttl_ms: int,
        is_journal_full: Callable[[], bool] = lambda: False,
        shorten: Callable[[UsageRecord], UsageRecord] = lambda record: record,
        local: LocalAdmission | None = None,
        refresh: Callable[[], Awaitable[None]] | None = None,
        heard: Callable[[EffectivePolicy, Receipt], None] | None = None,
    ) -> None:
        self._rules = rules
        self._refresh = refresh
        self._ledger = ledger
        self._clock = clock
        self._release = release
        self._hold_ttl_ms = hold_ttl_ms
        self._is_journal_full = is_journal_full
        self._shorten = shorten
        self._local = local
        self._heard = heard

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
        asked, receipt = await self._reserve(identified, rules)
        for _ in range(_REPLANS):
            if not _is(receipt, Obstacle.STALE_VERSION):
                break
            if self._rules() is rules and self._refresh is not None:
                await self._refresh()
            newer = self._rules()
            if newer is rules:
                break
            rules = newer
            asked, receipt = await self._reserve(identified, rules)
        if isinstance(receipt, PassedLocally):
            return _admitted_locally(identified, asked, receipt)
        decision = judge(asked.plan, asked.context.quote, receipt)
        if self._local is not None and not isinstance(receipt, NotDecided):
            self._local.answered(asked.plan, receipt if isinstance(receipt, Granted) else None)
        if isinstance(decision, Refuse):
            version = asked.context.policy_version
            raise refused(decision, version, refusal_headers(asked.plan, decision))
        return AdmittedCall(
            identified=identified,
            admitted=Admitted(
                context=asked.context,
                hold_nano_usd=NanoUsd(decision.rung.held_nano_usd(decision.receipt.n)),
                at_ms=decision.receipt.at_ms,
                accounts=touched_keys(decision.rung, decision.receipt),
                utilisation=decision.receipt.utilisation,
            ),
            admitted_at=_instant(decision.receipt.at_ms),
            rung=decision.rung,
            scopes=asked.plan.scopes,
        )

    async def _reserve(
        self, identified: IdentifiedCall, rules: Rules
    ) -> tuple[_Asked, Receipt | PassedLocally]:
        """Asks the ledger; once more with the windows of its own clock if ours disagrees."""
        now = self._clock.now()
        policy = resolve(rules, identified, now)
        context = CallContext(
            request_id=identified.call.request_id,
            caller=identified.authenticated.caller,
            operation=identified.call.operation,
            model=identified.model,
            region=identified.authenticated.region,
            facts=identified.facts,
            quote=_price(rules, identified, now),
            policy_version=policy.version,
            attribution=identified.attribution,
        )
        asked = self._question(rules, context, policy, now)
        receipt = await self._ask(asked)
        if isinstance(receipt, NotDecided) and receipt.obstacle is Obstacle.STALE_WINDOW:
            asked = self._question(rules, context, policy, _instant(receipt.at_ms))
            receipt = await self._ask(asked)
        if self._heard is not None and not isinstance(receipt, PassedLocally):
            self._heard(policy, receipt)
        return asked, receipt

    def _question(
        self, rules: Rules, context: CallContext, policy: EffectivePolicy, at: datetime
    ) -> _Asked:
        draft = draft_record(context, hold_nano_usd=context.quote.hold_nano_usd, at=at)
        plan = make_plan(
            request_id=context.request_id,
            policy=policy,
            quote=context.quote,
            now=at,
            draft=encode_record(self._shorten(draft)),
            ttl_ms=self._hold_ttl_ms,
            seen=(*rules.seen, *key_editions(context.caller)),
        )
        if isinstance(plan, Refuse):
            raise refused(plan, policy.version, policy_headers(policy.version))
        return _Asked(rules=rules, context=context, plan=plan, at=at)

    async def _ask(self, asked: _Asked) -> Receipt | PassedLocally:
        request_id = asked.plan.request_id
        try:
            return await self._ledger.reserve(asked.plan)
        except LedgerNotAskedError as error:
            return self._without_ledger(asked, error)
        except GatewayError as error:
            try:
                # If this passes and the hold stands after all, the call's own end is its end.
                return self._without_ledger(asked, error)
            except GatewayError:
                self._release(request_id)
                raise
        except BaseException:
            # The hold may stand: we were told to stop meanwhile.
            self._release(request_id)
            raise

    def _without_ledger(self, asked: _Asked, error: GatewayError) -> PassedLocally:
        """What may pass though the ledger gave no answer. Raises: GatewayError if nothing may."""
        if self._local is None or error.reason is not Reason.LEDGER_UNAVAILABLE:
            raise error
        answer = self._local.decide(asked.plan, on_outage(asked.rules.policies, asked.plan.org))
        if isinstance(answer, Refuse):
            raise refused(answer, asked.context.policy_version) from error
        return answer


def _admitted_locally(
    identified: IdentifiedCall, asked: _Asked, passed: PassedLocally
) -> AdmittedCall:
    """A call that its worker let pass: it counts in the windows of the instant it was planned."""
    at_ms = round(asked.at.timestamp() * 1000)
    granted = Granted(
        request_id=asked.plan.request_id, rung=0, at_ms=at_ms, utilisation=(), n=passed.n
    )
    return AdmittedCall(
        identified=identified,
        admitted=Admitted(
            context=asked.context,
            hold_nano_usd=NanoUsd(passed.rung.held_nano_usd(passed.n)),
            at_ms=at_ms,
            accounts=touched_keys(passed.rung, granted),
            is_local=True,
        ),
        admitted_at=asked.at,
        rung=passed.rung,
        scopes=asked.plan.scopes,
    )


def _is(receipt: Receipt | PassedLocally, obstacle: Obstacle) -> bool:
    return isinstance(receipt, NotDecided) and receipt.obstacle is obstacle


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def resolve(rules: Rules, identified: IdentifiedCall, at: datetime) -> EffectivePolicy:
    """What applies to this call. Raises: GatewayError if model or operation are not allowed."""
    caller = identified.authenticated.caller
    scopes = call_scopes(caller, identified.attribution, identified.model.base_id)
    policy = effective_policy(rules.policies, caller, scopes=scopes, at=at)
    refusal = policy.refusal(identified.model, identified.call.operation, rules.home_accounts)
    if refusal is not None:
        raise refused(refusal, policy.version, policy_headers(policy.version))
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


def refused(refusal: Refuse, version: PolicyVersion, headers: Headers = ()) -> GatewayError:
    """A refusal by an edition of the policy, as the error that carries it to the edge."""
    fault = (
        Fault.GATEWAY
        if refusal.reason in (Reason.STALE_PLAN, Reason.LEDGER_UNAVAILABLE)
        else Fault.CALLER
    )
    return GatewayError(
        refusal.reason,
        refusal.detail,
        fault=fault,
        retry_after_s=refusal.retry_after_s,
        headers=tuple(headers),
        decided_at_ms=refusal.at_ms,
        decided_by=version,
    )
