"""`/v1/policies/explain|replay`: what rules decide of an imagined call, and of recorded ones."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from gateway.admin.asked import Asked
from gateway.admin.models.policy_trials import (
    PolicyExplainOrder,
    PolicyExplanation,
    PolicyReplay,
    PolicyReplayOrder,
    PolicyStep,
)
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.reading import invalid_body
from gateway.admin.rest.policy_problems import broken_files
from gateway.admin.rest.rules_in_force import RulesInForce, owner_of
from gateway.admin.route import HEAVY, About, Answer, Rate, Route
from gateway.admin.services import AdminServices
from gateway.control.candidate import candidate_rules
from gateway.control.policy_explain import Explanation, explain
from gateway.control.policy_trial import Trial, try_call, unbound_budgets
from gateway.control.replay_question import ReplayQuestion, TooManyCallsError, replay_document
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.caller import Role
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.money import format_usd
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.policy.parse import PolicySet, parse_policies

_WEEK = timedelta(days=7)
_LONGEST = timedelta(days=31)
_HISTORY = timedelta(days=31)
_MOST_CALLS = 50_000
_WAITING = 4
_REPLAYS = Rate(per_minute=60, burst=30)


class _Trials:
    """The handlers. One replay runs at a time: it is much work, and no call waits for it."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services
        self._rules = RulesInForce(services.current_bundle)
        self._one = asyncio.Lock()
        self._asking = 0

    async def explain(self, asked: Asked) -> Answer:
        """Why the imagined call would be allowed or refused."""
        order = asked.body(PolicyExplainOrder)
        caller = order.given.caller
        asked.expect_holder(caller.org, caller.team, caller.user, caller.application)
        policies = await self._policies(asked, order.files)
        trial = Trial(given=order.given, when=order.when)
        return Answer(document=await asyncio.to_thread(self._explained, trial, policies))

    async def replay(self, asked: Asked) -> Answer:
        """What would have been decided of recorded calls."""
        order = asked.body(PolicyReplayOrder)
        since, until = _span(order, asked.now)
        policies = await self._policies(asked, order.files)
        question = ReplayQuestion(
            policies=policies,
            since=since,
            until=until,
            history=since - _HISTORY,
            org=order.org or asked.reach.org,
            decided_by=policies.version if order.files is None else None,
            most_calls=_MOST_CALLS,
        )
        if self._asking >= _WAITING:
            raise GatewayError(
                Reason.OVERLOADED,
                "other replays are running; ask again when they are done",
                fault=Fault.GATEWAY,
                retry_after_s=10.0,
            )
        self._asking += 1
        try:
            async with self._one:
                answer = await self._house.replay(question)
        except TooManyCallsError as exc:
            expected = f"a shorter time: {exc}, or in the {_HISTORY.days} days before"
            raise invalid_body(FieldProblem(pointer="#/since", expected=expected)) from exc
        finally:
            self._asking -= 1
        return Answer(document=PolicyReplay.model_validate(replay_document(answer)))

    async def _policies(self, asked: Asked, files: dict[str, str] | None) -> PolicySet:
        """What is in force, with the files in the place of those of the same orgs."""
        _, policies = await self._rules.policies()
        if files is None:
            return policies
        bundle = await self._rules.bundle()
        texts = bundle.files if bundle is not None else {}
        try:
            orgs = (await asyncio.to_thread(parse_policies, files)).files
            for org in orgs:
                asked.expect_within(owner_of(org))
            return await asyncio.to_thread(candidate_rules, policies, texts, files, orgs)
        except DocumentError as exc:
            raise broken_files(exc) from exc

    def _explained(self, trial: Trial, policies: PolicySet) -> PolicyExplanation:
        outcome = try_call(trial, self._house.trial_rules(policies))
        if unknown := unbound_budgets(trial, outcome):
            raise invalid_body(FieldProblem(pointer="#/given/spent_usd", expected=unknown))
        return _shown(explain(outcome))


def trial_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Trials(services)
    return (
        Route(
            method="POST",
            path="/v1/policies/explain",
            role=Role.ANALYST,
            about=About.FOUND,
            summary="Say why an imagined call would be allowed or refused, and which line decides.",
            handler=handlers.explain,
            body=PolicyExplainOrder,
            answer=PolicyExplanation,
            rate=HEAVY,
        ),
        Route(
            method="POST",
            path="/v1/policies/replay",
            role=Role.ANALYST,
            about=About.NAMED,
            scope_of=_org_asked,
            summary="Decide recorded calls again: who would be refused, what would be saved.",
            handler=handlers.replay,
            body=PolicyReplayOrder,
            answer=PolicyReplay,
            rate=_REPLAYS,
        ),
    )


def _org_asked(asked: Asked) -> Scope:
    """Whose calls count together: budgets of an org are spent by all of it."""
    org = asked.body(PolicyReplayOrder).org or asked.reach.org
    return Scope.org(org) if org is not None else Scope.platform()


def _span(order: PolicyReplayOrder, now: datetime) -> tuple[datetime, datetime]:
    until = order.until or now
    try:
        since = order.since or until - _WEEK
        since - _HISTORY, until + _WEEK
    except OverflowError:
        raise _bad_span() from None
    if not since < until <= since + _LONGEST:
        raise _bad_span()
    return since, until


def _bad_span() -> ProblemError:
    expected = f"expected a time before until, at most {_LONGEST.days} days before"
    return invalid_body(FieldProblem(pointer="#/since", expected=expected))


def _shown(found: Explanation) -> PolicyExplanation:
    hold = found.hold_nano_usd
    return PolicyExplanation(
        allowed=found.reason is None,
        reason=found.reason.value if found.reason else None,
        detail=found.detail,
        model=found.model,
        hold_usd=None if hold is None else format_usd(hold),
        hold_nano_usd=hold,
        steps=tuple(
            PolicyStep(rule=step.rule, source=step.source, says=step.says, decides=step.decides)
            for step in found.steps
        ),
    )
