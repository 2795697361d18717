from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.judge import judge
from gateway.admission.plan import make_plan
from gateway.admission.reference_ledger import ReferenceLedger
from gateway.bedrock.model_id import parse_reference
from gateway.control.policy_replay import Replay, summary
from gateway.control.recorded_call import RecordedCall
from gateway.domain.attribution import NOTHING_SAID, call_scopes
from gateway.domain.call import Operation
from gateway.domain.decision import Refuse
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from gateway.domain.reservation import Posting, Rank
from gateway.policy.effective import effective_policy
from gateway.policy.parse import parse_policies
from tests.fakes.calls import ADA, HAIKU, catalogue, quote_of
from tests.fakes.clock import NOON

NOON_MS = round(NOON.timestamp() * 1000)
USERS = ("ada", "bob")
POLICY = """
version: 1
org: acme
budgets:
  - {name: day, scope: org, period: day, limit_usd: 0.02}
  - {name: each, scope: user, period: hour, limit_usd: 0.008}
limits:
  - {scope: user, requests_per_minute: 6, tokens_per_minute: 2000, concurrency: 3}
models: {deny: ["*opus*"]}
"""
OPEN = 'version: 1\norg: acme\nmodels: {allow: ["*"]}\n'


def policies(text=POLICY):
    return parse_policies({"acme.yaml": text})


def call(number, at_ms, **changes):
    stated = RecordedCall(
        request_id=RequestId(f"r{number:04}"),
        caller=ADA,
        attribution=NOTHING_SAID,
        operation=Operation.CONVERSE,
        model=catalogue().identify(parse_reference(HAIKU)),
        policy_version=policies().version,
        at_ms=at_ms,
        ended_ms=at_ms + 500,
        ended_by_ms=at_ms + 500,
        hold_nano_usd=NanoUsd(2_000_000),
        expected_nano_usd=NanoUsd(900_000),
        expected_tokens=60,
        output_tokens_bound=400,
        charge_nano_usd=NanoUsd(1_000_000),
        tokens=55,
        refused_for=None,
        is_decided=True,
    )
    return replace(stated, **changes)


async def decided_live(calls, text=POLICY):
    """The same calls as a gateway decides them one by one, with what it would record."""
    clock = {"ms": 0}
    ledger = ReferenceLedger(now_ms=lambda: clock["ms"])
    running, recorded = [], []

    async def end_until(at_ms):
        running.sort(key=lambda one: (one.ended_ms, one.request_id))
        while running and (at_ms is None or running[0].ended_ms <= at_ms):
            done = running.pop(0)
            clock["ms"] = done.ended_ms
            await ledger.post(
                Posting(
                    request_id=done.request_id,
                    charge=done.charge_nano_usd,
                    tokens=done.tokens,
                    rank=Rank.MEASURED,
                    record=b"{}",
                )
            )

    for one in calls:
        await end_until(one.at_ms)
        clock["ms"] = one.at_ms
        scopes = call_scopes(one.caller, one.attribution, one.model.base_id)
        policy = effective_policy(policies(text), one.caller, scopes=scopes, at=one.at)
        quote = replace(
            quote_of(one.hold_nano_usd),
            expected_tokens=one.expected_tokens,
            expected_nano_usd=one.expected_nano_usd,
            output_tokens_bound=one.output_tokens_bound,
        )
        plan = make_plan(
            request_id=one.request_id,
            policy=policy,
            quote=quote,
            now=one.at,
            draft=b"{}",
            ttl_ms=3_600_000,
        )
        decision = (
            plan if isinstance(plan, Refuse) else judge(plan, quote, await ledger.reserve(plan))
        )
        if isinstance(decision, Refuse):
            recorded.append(
                replace(
                    one,
                    refused_for=decision.reason,
                    charge_nano_usd=NanoUsd(0),
                    ended_ms=one.at_ms,
                )
            )
        else:
            running.append(one)
            recorded.append(one)
    return recorded


histories = st.lists(
    st.tuples(
        st.integers(1, 9_000),  # ms after the call before
        st.sampled_from(USERS),
        st.integers(100_000, 3_000_000),  # hold
        st.integers(1, 100),  # per cent of it that is charged
        st.integers(1, 2_500),  # tokens expected
        st.integers(1, 20_000),  # how long it ran
    ),
    min_size=1,
    max_size=40,
)


@given(histories)
async def test_replaying_the_policy_that_was_live_reproduces_every_decision(history):
    at_ms, calls = NOON_MS, []
    for number, (after, user, hold, share, tokens, took) in enumerate(history):
        at_ms += after
        calls.append(
            call(
                number,
                at_ms,
                caller=replace(ADA, user=user),
                hold_nano_usd=NanoUsd(hold),
                expected_nano_usd=None,
                charge_nano_usd=NanoUsd(hold * share // 100),
                expected_tokens=tokens,
                tokens=tokens,
                ended_ms=at_ms + took,
                ended_by_ms=at_ms + took,
            )
        )
    recorded = await decided_live(calls)
    result = Replay(policies()).run(reversed(recorded))
    assert result.is_same, result.changed
    assert result.judged == len(calls)
    assert result.admitted_now == sum(one.refused_for is None for one in recorded)


def test_a_stricter_candidate_says_who_would_have_been_refused_and_what_it_saves():
    calls = [
        call(number, NOON_MS + number * 60_000, caller=replace(ADA, user=USERS[number % 2]))
        for number in range(10)
    ]
    strict = POLICY.replace("limit_usd: 0.02", "limit_usd: 0.005")
    result = Replay(policies(strict)).run(calls)
    assert (result.judged, result.admitted_before, result.admitted_now) == (10, 10, 4)
    assert result.newly_refused == {("budget_exhausted", "day of org/acme"): 6}
    assert result.saved == 6_000_000
    assert result.by_scope == {
        "org/acme/team/web/user/ada": 3,
        "org/acme/team/web/user/bob": 3,
    }
    assert [one.request_id for one in result.changed] == [f"r{n:04}" for n in range(4, 10)]
    assert "Budget 'day' of org/acme" in result.changed[0].detail
    assert summary(result)["newly_refused"] == [
        {"reason": "budget_exhausted", "limit": "day of org/acme", "calls": 6}
    ]


def test_a_wider_candidate_says_who_would_have_been_admitted_and_what_that_would_cost():
    refused = [
        call(number, NOON_MS + number, refused_for=Reason.RATE_LIMITED, charge_nano_usd=NanoUsd(0))
        for number in range(3)
    ]
    result = Replay(policies(OPEN)).run(refused)
    assert result.newly_admitted == {"rate_limited": 3}
    assert result.added == 3 * 900_000
    assert not result.is_same


def test_a_model_that_the_candidate_denies_is_refused_by_its_pattern():
    denied = OPEN.replace('allow: ["*"]', 'deny: ["*haiku*"]')
    result = Replay(policies(denied)).run([call(1, NOON_MS)])
    assert result.newly_refused == {("model_not_allowed", ""): 1}
    assert "haiku" in result.changed[0].detail


def test_what_was_spent_before_the_time_asked_for_is_counted_and_not_judged():
    calls = [call(number, NOON_MS + number * 60_000) for number in range(8)]
    strict = POLICY.replace("limit_usd: 0.02", "limit_usd: 0.005")
    result = Replay(policies(strict)).run(calls, judge_from_ms=NOON_MS + 4 * 60_000)
    assert (result.counted, result.judged, result.admitted_now) == (4, 4, 0)


def test_calls_that_another_edition_decided_are_counted_and_not_judged():
    other = call(1, NOON_MS, policy_version="older")
    result = Replay(policies(), decided_by=policies().version).run([other, call(2, NOON_MS + 1)])
    assert (result.counted, result.judged) == (1, 1)


def test_a_call_that_was_decided_by_an_outage_is_counted_only():
    result = Replay(policies()).run([call(1, NOON_MS, is_decided=False)])
    assert (result.counted, result.judged) == (1, 0)


def test_a_refusal_for_another_reason_is_a_change_though_nobody_gains():
    refused = call(1, NOON_MS, refused_for=Reason.RATE_LIMITED)
    denied = OPEN.replace('allow: ["*"]', 'deny: ["*haiku*"]')
    result = Replay(policies(denied)).run([refused])
    assert (result.other_reason, result.is_same) == (1, False)


def test_windows_are_those_of_the_calls_own_time():
    calls = [
        call(number, NOON_MS + round(timedelta(days=number).total_seconds() * 1000))
        for number in range(5)
    ]
    strict = POLICY.replace("limit_usd: 0.02", "limit_usd: 0.002")
    assert Replay(policies(strict)).run(calls).admitted_now == 5


ONE_AT_A_TIME = "version: 1\norg: acme\nlimits:\n  - {scope: user, concurrency: 1}\n"
REFUSED = {"refused_for": Reason.CONCURRENCY_LIMITED, "charge_nano_usd": NanoUsd(0)}


def test_what_happened_in_one_millisecond_is_taken_in_the_order_that_bears_the_records_out():
    """A call ends, one is refused and one admitted at once: refused before, admitted after."""
    then = NOON_MS + 500
    calls = [
        call(1, NOON_MS),
        call(2, then, **REFUSED),
        call(3, then, ended_ms=then + 9, ended_by_ms=then + 9),
        call(4, then + 9, **REFUSED),
    ]
    assert Replay(policies(ONE_AT_A_TIME)).run(calls).is_same
    late = [*calls[:3], call(4, then + 10, **REFUSED)]
    assert Replay(policies(ONE_AT_A_TIME)).run(late).newly_admitted == {"concurrency_limited": 1}


def test_a_hold_whose_end_only_the_gateways_clock_knows_ends_as_late_as_the_records_ask():
    """It was settled at 500 ms, and the ledger heard of that a moment later."""
    vague = call(1, NOON_MS, ended_ms=NOON_MS + 500, ended_by_ms=NOON_MS + 2_500)
    calls = [vague, call(2, NOON_MS + 600, **REFUSED), call(3, NOON_MS + 700)]
    assert Replay(policies(ONE_AT_A_TIME)).run(calls).is_same
    # Once it has ended it does not run again.
    again = [*calls, call(4, NOON_MS + 1_200 + 1, **REFUSED)]
    assert not Replay(policies(ONE_AT_A_TIME)).run(again).is_same


def test_calls_of_another_edition_stand_in_the_accounts_in_which_they_were_counted():
    """The edition judged has a new budget, and keeps the rate that was half used up."""
    text = """
version: 1
org: acme
budgets:
  - {name: new, scope: org, period: day, limit_usd: 0.005}
limits:
  - {scope: user, requests_per_minute: 2, concurrency: 2}
"""
    user = "org/acme/team/web/user/ada"
    kept = frozenset({f"requests:{user}:2:60000", f"concurrency:{user}"})
    older = call(1, NOON_MS, policy_version="older", accounts=kept)
    calls = [
        older,
        call(2, NOON_MS + 1),
        call(3, NOON_MS + 2, refused_for=Reason.RATE_LIMITED, charge_nano_usd=NanoUsd(0)),
    ]
    result = Replay(policies(text), decided_by=policies().version).run(calls)
    assert result.is_same, result.changed
    assert (result.counted, result.judged) == (1, 2)
