"""What a policy would have decided of calls that were recorded: by the functions that decide live.

The calls go through `effective_policy`, `make_plan`, the plain-Python ledger and `judge` again, in
the order in which they came, and each that passes is charged what it cost, when it ended.
Source: docs/policy-tools.md.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gateway.admission.judge import judge
from gateway.control.recorded_call import RecordedCall, plan_of, quote_of
from gateway.control.trial_ledger import TrialLedger
from gateway.domain.attribution import call_scopes
from gateway.domain.decision import Decision, Refuse
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from gateway.domain.reservation import Posting, Rank
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.policy.parse import PolicySet

_MOST_NAMED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A call that the candidate decides otherwise. `now` None: it would be admitted."""

    request_id: RequestId
    at_ms: int
    scope: str
    model: str
    before: Reason | None
    now: Reason | None
    detail: str
    cost_nano_usd: NanoUsd


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What became of a replay. Units: nano-USD.

    `judged`: calls that the recorded policy had decided; the others only count as spent.
    `saved`: what the calls cost that would now be refused. Calls that would now be admitted are
    taken to cost what was expected of them: `added`. `changed` names the first thousand.
    """

    judged: int = 0
    counted: int = 0
    admitted_before: int = 0
    admitted_now: int = 0
    spent: int = 0
    saved: int = 0
    added: int = 0
    newly_refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    newly_admitted: Counter[str] = field(default_factory=Counter)
    other_reason: int = 0
    by_scope: Counter[str] = field(default_factory=Counter)
    changed: list[Changed] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether every decision is the recorded one, with its reason."""
        return not self.newly_refused and not self.newly_admitted and not self.other_reason


class Replay:
    """One pass over recorded calls under one policy.

    `decided_by`: judge only calls that this edition decided, and count the others in the accounts
    in which they were counted; None: judge all. `home_accounts`: the gateway's own AWS accounts.

    What happened at the same millisecond, and when exactly a hold ended of which only the gateway's
    clock is known, has no recorded order: there the order is taken that bears the records out.
    """

    def __init__(
        self,
        policies: PolicySet,
        home_accounts: frozenset[str] = frozenset(),
        decided_by: PolicyVersion | None = None,
    ) -> None:
        self._policies = policies
        self._home_accounts = home_accounts
        self._decided_by = decided_by
        self._ledger = TrialLedger()
        self._running: list[tuple[int, int, RecordedCall]] = []
        self._ending: list[RecordedCall] = []
        self._number = 0
        self.result = Replayed()

    def run(self, calls: Iterable[RecordedCall], judge_from_ms: int = 0) -> Replayed:
        """Decides all calls again. Those before `judge_from_ms` only count as what was spent."""
        for at_ms, group in groupby(sorted(calls, key=_order), key=lambda call: call.at_ms):
            self._end_until(at_ms)
            self._ledger.now_ms = at_ms
            waiting: list[RecordedCall] = []
            for call in group:
                if at_ms >= judge_from_ms and self._is_judged(call):
                    waiting.append(call)
                else:
                    self._count(call)
            self._judge_all(waiting)
        return self.result

    def _policy(self, call: RecordedCall) -> EffectivePolicy:
        scopes = call_scopes(call.caller, call.attribution, call.model.base_id)
        return effective_policy(self._policies, call.caller, scopes=scopes, at=call.at)

    def _is_judged(self, call: RecordedCall) -> bool:
        same = self._decided_by is None or call.policy_version == self._decided_by
        return call.is_decided and same

    def _judge_all(self, waiting: list[RecordedCall]) -> None:
        """Decides the calls of one millisecond, as they were decided if that can have been so.

        What may have ended before them ends as late as their decisions allow.
        """
        while waiting:
            left = [call for call in waiting if not self._judge(call, must_agree=True)]
            if len(left) == len(waiting):
                if not self._ending:
                    break
                self._end(self._ending.pop(0))
            waiting = left
        for call in waiting:
            self._judge(call, must_agree=False)

    def _judge(self, call: RecordedCall, *, must_agree: bool) -> bool:
        """Decides a call again; False: the decision would be another, and nothing was done."""
        decision = self._decide(call, must_agree=must_agree)
        if decision is None:
            return False
        now = decision.reason if isinstance(decision, Refuse) else None
        result = self.result
        result.judged += 1
        result.admitted_before += call.refused_for is None
        result.admitted_now += now is None
        result.spent += call.charge_nano_usd
        if now is None:
            self._runs(call)
        if now is not call.refused_for:
            self._note(call, decision)
        return True

    def _decide(self, call: RecordedCall, *, must_agree: bool) -> Decision | None:
        policy = self._policy(call)
        refusal = policy.refusal(call.model, call.operation, self._home_accounts)
        if refusal is not None:
            return refusal
        plan = plan_of(call, policy)
        if isinstance(plan, Refuse):
            return plan
        if must_agree and self._ledger.fits(plan) is not (call.refused_for is None):
            return None
        if must_agree and call.refused_for is not None:
            # It is refused, which changes nothing: so it may be asked for what.
            decision = judge(plan, quote_of(call), self._ledger.reserve(plan))
            is_same = isinstance(decision, Refuse) and decision.reason is call.refused_for
            return decision if is_same else None
        return judge(plan, quote_of(call), self._ledger.reserve(plan))

    def _count(self, call: RecordedCall) -> None:
        """Adds to the accounts what the call took, without asking whether it may."""
        self.result.counted += 1
        if call.refused_for is not None:
            return
        policy = self._policy(call)
        plan = plan_of(call, policy)
        if self._decided_by is None or isinstance(plan, Refuse) or not call.is_decided:
            only = None if self._decided_by is None else call.accounts
            self._ledger.spend(policy.budgets, call.at, call.charge_nano_usd, only)
            return
        self._ledger.hold(plan, call.accounts)
        self._runs(call)

    def _runs(self, call: RecordedCall) -> None:
        heapq.heappush(self._running, (_end_of(call), self._number, call))
        self._number += 1

    def _end_until(self, at_ms: int) -> None:
        """Ends the calls that ended before, and gathers those that may have."""
        while self._running and self._running[0][0] <= at_ms:
            self._ending.append(heapq.heappop(self._running)[2])
        ended = [call for call in self._ending if _latest_end_of(call) < at_ms]
        self._ending = [call for call in self._ending if _latest_end_of(call) >= at_ms]
        for call in ended:
            self._end(call)

    def _end(self, call: RecordedCall) -> None:
        """Turns a hold into its charge, never before what was decided already."""
        self._ledger.now_ms = max(self._ledger.now_ms, _end_of(call))
        is_new = call.refused_for is not None
        posting = Posting(
            request_id=call.request_id,
            charge=NanoUsd(_assumed_cost(call) if is_new else call.charge_nano_usd),
            tokens=call.expected_tokens if is_new else call.tokens,
            rank=Rank.MEASURED,
            record=b"{}",
        )
        self._ledger.post(posting)

    def _note(self, call: RecordedCall, decision: Decision) -> None:
        result, scope = self.result, _owner(call)
        now = decision.reason if isinstance(decision, Refuse) else None
        if now is None and call.refused_for is not None:
            result.newly_admitted[call.refused_for.value] += 1
            result.added += _assumed_cost(call)
        elif now is not None and call.refused_for is None:
            result.newly_refused[now.value, _limit_of(decision)] += 1
            result.saved += call.charge_nano_usd
            result.by_scope[scope] += 1
        else:
            result.other_reason += 1
        if len(result.changed) < _MOST_NAMED:
            result.changed.append(
                Changed(
                    request_id=call.request_id,
                    at_ms=call.at_ms,
                    scope=scope,
                    model=call.model.base_id,
                    before=call.refused_for,
                    now=now,
                    detail=decision.detail if isinstance(decision, Refuse) else "",
                    cost_nano_usd=call.charge_nano_usd,
                )
            )


def summary(result: Replayed) -> Mapping[str, object]:
    """The result as programs get it."""
    return {
        "judged": result.judged,
        "counted_only": result.counted,
        "admitted_before": result.admitted_before,
        "admitted_now": result.admitted_now,
        "spent_nano_usd": result.spent,
        "saved_nano_usd": result.saved,
        "added_nano_usd": result.added,
        "newly_refused": [
            {"reason": reason, "limit": limit, "calls": count}
            for (reason, limit), count in result.newly_refused.most_common()
        ],
        "newly_admitted": dict(result.newly_admitted.most_common()),
        "refused_for_another_reason": result.other_reason,
        "refused_by_scope": dict(result.by_scope.most_common(50)),
        "is_same": result.is_same,
    }


def _order(call: RecordedCall) -> tuple[int, bool, str]:
    """In time; in one instant what was admitted comes before what was refused."""
    return (call.at_ms, call.refused_for is not None, call.request_id)


def _end_of(call: RecordedCall) -> int:
    return call.ended_ms if call.refused_for is None else call.at_ms


def _latest_end_of(call: RecordedCall) -> int:
    return call.ended_by_ms if call.refused_for is None else call.at_ms


def _assumed_cost(call: RecordedCall) -> int:
    return call.hold_nano_usd if call.expected_nano_usd is None else call.expected_nano_usd


def _owner(call: RecordedCall) -> str:
    scopes: Sequence[str] = [
        scope.path
        for scope in call_scopes(call.caller, call.attribution, None)
        if scope.kind.value in {"org", "team", "user", "application"}
    ]
    return scopes[-1]


def _limit_of(decision: Decision) -> str:
    if isinstance(decision, Refuse) and decision.blocking is not None:
        account = decision.blocking.account
        return f"{account.name} of {account.scope.path}"
    return ""
