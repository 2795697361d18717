"""Which limits apply to whom, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.call import Operation
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId
from gateway.domain.model import ReferenceKind
from gateway.domain.reason import Reason
from gateway.domain.reservation import Resource
from gateway.domain.scope import Scope
from gateway.policy.document import BudgetMode, UnknownModelRule, operation_name
from gateway.policy.effective import effective_policy
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules, parse_policies

HOME = frozenset({"111111111111"})
ALL = "version: 1\norg: acme\n"
ACME = """\
version: 1
org: acme
timezone: Europe/Berlin
budgets:
  - {name: month, scope: org, period: month, limit_usd: 5000}
  - {name: team week, scope: team, period: week, limit_usd: 500, mode: soft}
  - {name: per user day, scope: user, period: day, limit_usd: 25}
  - {name: per app hour, scope: application, period: hour, limit_usd: 1, mode: observe}
limits:
  - {scope: user, requests_per_second: 2, requests_per_minute: 60, tokens_per_request: 16_000}
  - {scope: org, requests_per_hour: 1000, tokens_per_minute: 200_000, tokens_per_request: 20_000}
  - {name: shadow, scope: team, mode: observe, requests_per_minute: 5}
"""
EVERYONE = """\
version: 1
org: "*"
budgets:
  - {name: everything, scope: platform, period: month, limit_usd: 100_000}
  - {name: each org, scope: org, period: day, limit_usd: 1000}
"""


def reason_of(refusal):
    return None if refusal is None else refusal.reason


def test_a_user_is_bound_by_every_scope_that_they_are_in(policy_of):
    policy = policy_of(ACME, EVERYONE)
    assert [(b.name, b.scope.path, str(b.zone)) for b in policy.budgets] == [
        ("everything", "platform", "UTC"),
        ("each org", "org/acme", "UTC"),
        ("month", "org/acme", "Europe/Berlin"),
        ("team week", "org/acme/team/web", "Europe/Berlin"),
        ("per user day", "org/acme/team/web/user/ada", "Europe/Berlin"),
    ]
    assert policy.budgets[3].mode is BudgetMode.SOFT
    assert policy.budgets[4].ceiling == 25_000_000_000


def test_an_application_is_bound_by_its_own_scope_and_not_by_a_users(policy_of):
    names = [b.name for b in policy_of(ACME, user=None, application="shop").budgets]
    assert names == ["month", "team week", "per app hour"]


def test_rates_have_a_name_a_capacity_and_a_period(policy_of):
    rates = policy_of(ACME).rates
    assert [(r.name, r.resource, r.capacity, r.period_ms, r.enforced) for r in rates] == [
        ("user requests per second", Resource.REQUESTS, 2, 1_000, True),
        ("user requests per minute", Resource.REQUESTS, 60, 60_000, True),
        ("org requests per hour", Resource.REQUESTS, 1000, 3_600_000, True),
        ("org tokens per minute", Resource.TOKENS, 200_000, 60_000, True),
        ("shadow requests per minute", Resource.REQUESTS, 5, 60_000, False),
    ]


def test_the_smallest_request_size_binds(policy_of):
    assert policy_of(ACME).max_tokens_per_request == 16_000
    assert policy_of(ACME, user=None).max_tokens_per_request == 20_000
    assert policy_of(ALL).max_tokens_per_request is None


def test_a_caller_for_whom_no_file_speaks_is_refused(policy_of, model):
    policy = policy_of(ACME, org="other")
    assert not policy.covered
    refusal = policy.refusal(model(), Operation.CONVERSE, HOME)
    assert reason_of(refusal) is Reason.OPERATION_NOT_ALLOWED
    assert "'other'" in refusal.detail


def test_everyones_file_speaks_for_an_org_without_its_own(policy_of, model):
    policy = policy_of(EVERYONE, org="other")
    assert [b.scope.path for b in policy.budgets] == ["platform", "org/other"]
    assert policy.refusal(model(), Operation.CONVERSE, HOME) is None


def test_no_files_refuse_everybody(policy_of, model):
    assert policy_of().refusal(model(), Operation.CONVERSE, HOME) is not None


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_must_be_listed_where_there_is_a_list(policy_of, model, operation):
    listed = policy_of(ALL + "operations: {allow: [converse, count_tokens]}\n")
    expected = (
        None
        if operation in (Operation.CONVERSE, Operation.COUNT_TOKENS)
        else Reason.OPERATION_NOT_ALLOWED
    )
    assert reason_of(listed.refusal(model(), operation, HOME)) is expected
    assert policy_of(ALL).refusal(model(), operation, HOME) is None


@pytest.mark.parametrize(
    ("rules", "base_id", "reason"),
    [
        ("{}", "anthropic.claude-3-haiku-20240307-v1:0", None),
        ('{allow: ["anthropic.claude-*"]}', "anthropic.claude-3-haiku-20240307-v1:0", None),
        ('{allow: ["anthropic.claude-*"]}', "amazon.nova-lite-v1:0", Reason.MODEL_NOT_ALLOWED),
        ("{allow: []}", "amazon.nova-lite-v1:0", Reason.MODEL_NOT_ALLOWED),
        ('{deny: ["*opus*"]}', "anthropic.claude-3-opus-20240229-v1:0", Reason.MODEL_NOT_ALLOWED),
        ('{deny: ["*opus*"]}', "anthropic.claude-3-haiku-20240307-v1:0", None),
        ('{allow: ["*"], deny: ["*"]}', "amazon.nova-lite-v1:0", Reason.MODEL_NOT_ALLOWED),
        ('{allow: ["amazon.nova-?ite-v1:0"]}', "amazon.nova-lite-v1:0", None),
    ],
)
@pytest.mark.parametrize("form", ["plain", "geo profile", "global profile", "profile ARN", "app"])
def test_a_pattern_covers_the_id_every_profile_and_every_arn_of_it(  # noqa: PLR0917 - pytest passes them by name
    policy_of, model, rules, base_id, reason, form
):
    prefix = {"geo profile": "us", "global profile": "global", "profile ARN": "eu"}.get(form)
    kind = {
        "plain": ReferenceKind.FOUNDATION_MODEL,
        "app": ReferenceKind.APPLICATION_PROFILE,
    }.get(form, ReferenceKind.SYSTEM_PROFILE)
    text = "arn:aws:bedrock:eu-west-1:111111111111:x/y" if form in ("profile ARN", "app") else None
    account = "111111111111" if text else None
    asked = model(base_id, prefix=prefix, kind=kind, text=text, account=account)
    policy = policy_of(ALL + f"models: {rules}\n")
    assert reason_of(policy.refusal(asked, Operation.CONVERSE, HOME)) is reason


def test_a_denied_model_cannot_be_reached_by_an_alias(policy_of, model):
    aliased = model("acme.model-v1:0", aliases=("acme.model-latest",))
    by_alias = policy_of(ALL + 'models: {deny: ["acme.model-latest"]}\n')
    by_id = policy_of(ALL + 'models: {deny: ["acme.model-v1:0"]}\n')
    for policy in (by_alias, by_id):
        refusal = policy.refusal(aliased, Operation.CONVERSE, HOME)
        assert reason_of(refusal) is Reason.MODEL_NOT_ALLOWED


def test_allow_lists_intersect_and_deny_lists_unite(policy_of, model):
    everyone = 'version: 1\norg: "*"\nmodels: {allow: ["anthropic.*"], deny: ["*opus*"]}\n'
    acme = ALL + 'models: {allow: ["*claude*", "amazon.*"], deny: ["*haiku*"]}\n'
    policy = policy_of(everyone, acme)
    allowed = [
        base_id
        for base_id in (
            "anthropic.claude-sonnet-4-v1:0",
            "anthropic.claude-3-opus-20240229-v1:0",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "amazon.nova-lite-v1:0",
            "anthropic.other-v1",
        )
        if policy.refusal(model(base_id), Operation.CONVERSE, HOME) is None
    ]
    assert allowed == ["anthropic.claude-sonnet-4-v1:0"]


def test_operations_of_two_files_intersect(policy_of):
    everyone = 'version: 1\norg: "*"\noperations: {allow: [converse, invoke_model]}\n'
    acme = ALL + "operations: {allow: [converse, converse_stream]}\n"
    assert policy_of(everyone, acme).operations == {Operation.CONVERSE}


@pytest.mark.parametrize(
    ("everyone", "org", "rule"),
    [
        (None, None, UnknownModelRule.REFUSE),
        (None, "ceiling", UnknownModelRule.CEILING),
        ("ceiling", None, UnknownModelRule.CEILING),
        ("ceiling", "refuse", UnknownModelRule.REFUSE),
        ("refuse", "ceiling", UnknownModelRule.REFUSE),
    ],
)
def test_an_unknown_model_is_refused_unless_somebody_allows_the_ceiling_and_nobody_objects(
    policy_of, model, everyone, org, rule
):
    def models(value):
        return f"models: {{unknown: {value}}}\n" if value else ""

    policy = policy_of('version: 1\norg: "*"\n' + models(everyone), ALL + models(org))
    assert policy.unknown_models is rule
    refusal = policy.refusal(model("acme.new-v1", known=False), Operation.CONVERSE, HOME)
    expected = Reason.MODEL_UNKNOWN if rule is UnknownModelRule.REFUSE else None
    assert reason_of(refusal) is expected


@pytest.mark.parametrize(
    ("account", "rules", "reason"),
    [
        ("111111111111", "{}", None),
        (None, "{}", None),
        ("", "{}", None),
        ("222222222222", "{}", Reason.RESOURCE_NOT_ALLOWED),
        ("222222222222", '{accounts: ["222222222222"]}', None),
        ("333333333333", '{accounts: ["222222222222"]}', Reason.RESOURCE_NOT_ALLOWED),
    ],
)
def test_resources_of_foreign_accounts_must_be_listed(policy_of, model, account, rules, reason):
    asked = model(
        kind=ReferenceKind.APPLICATION_PROFILE,
        text=f"arn:aws:bedrock:us-east-1:{account}:application-inference-profile/abc",
        account=account,
    )
    policy = policy_of(ALL + f"models: {rules}\n")
    assert reason_of(policy.refusal(asked, Operation.CONVERSE, HOME)) is reason


LISTED_ONE_BY_ONE = [
    ReferenceKind.PROVISIONED,
    ReferenceKind.CUSTOM,
    ReferenceKind.CUSTOM_DEPLOYMENT,
    ReferenceKind.IMPORTED,
    ReferenceKind.PROMPT,
    ReferenceKind.PROMPT_ROUTER,
    ReferenceKind.SAGEMAKER_ENDPOINT,
]


@pytest.mark.parametrize("kind", LISTED_ONE_BY_ONE)
def test_what_does_not_name_its_model_must_be_listed_itself(policy_of, model, kind):
    text = f"arn:aws:bedrock:us-east-1:111111111111:{kind.value}/abc"
    asked = model(None, kind=kind, text=text, account="111111111111", known=False)
    ceiling = policy_of(ALL + "models: {unknown: ceiling}\n")
    assert reason_of(ceiling.refusal(asked, Operation.CONVERSE, HOME)) is (
        Reason.RESOURCE_NOT_ALLOWED
    )
    rules = f'allow: ["anthropic.*"], unknown: ceiling, endpoints: ["*:{kind.value}/*"]'
    listed = policy_of(ALL + f"models: {{{rules}}}\n")
    assert listed.refusal(asked, Operation.CONVERSE, HOME) is None
    denied = policy_of(ALL + f'models: {{{rules}, deny: ["*abc"]}}\n')
    assert reason_of(denied.refusal(asked, Operation.CONVERSE, HOME)) is Reason.MODEL_NOT_ALLOWED


def test_every_kind_of_reference_is_decided_on():
    by_model = {
        ReferenceKind.FOUNDATION_MODEL,
        ReferenceKind.SYSTEM_PROFILE,
        ReferenceKind.APPLICATION_PROFILE,
    }
    assert by_model | set(LISTED_ONE_BY_ONE) == set(ReferenceKind)


def test_a_listed_endpoint_whose_price_is_unknown_still_obeys_the_unknown_rule(policy_of, model):
    asked = model(None, kind=ReferenceKind.IMPORTED, text="arn:x", known=False)
    policy = policy_of(ALL + 'models: {endpoints: ["arn:x"]}\n')
    assert reason_of(policy.refusal(asked, Operation.CONVERSE, HOME)) is Reason.MODEL_UNKNOWN


def test_every_refusal_says_what_to_change(policy_of, model):
    policy = policy_of(ALL + 'models: {allow: ["amazon.*"]}\noperations: {allow: [converse]}\n')
    assert "models.allow" in policy.refusal(model(), Operation.CONVERSE, HOME).detail
    assert "operations.allow" in policy.refusal(model(), Operation.INVOKE_MODEL, HOME).detail


def test_the_operation_is_judged_before_the_model(policy_of, model):
    policy = policy_of(ALL + "models: {allow: []}\noperations: {allow: [converse]}\n")
    assert policy.operation_refusal(Operation.CONVERSE) is None
    assert policy.model_refusal(model(), HOME) is not None
    refusal = policy.refusal(model(), Operation.INVOKE_MODEL, HOME)
    assert reason_of(refusal) is Reason.OPERATION_NOT_ALLOWED


NAMES = st.sampled_from(["converse", "converse_stream", "invoke_model", "count_tokens"])


@given(st.sets(NAMES, min_size=1), st.sets(NAMES, min_size=1))
def test_a_second_file_never_allows_more_than_the_first(everyone, org):
    def files(*names):
        return {
            f"{at}.yaml": f"version: 1\norg: {owner}\noperations: {{allow: [{listed}]}}\n"
            for at, (owner, listed) in enumerate(names)
        }

    from_both = _operations(files(('"*"', ", ".join(everyone)), ("acme", ", ".join(org))))
    assert from_both == _operations(files(('"*"', ", ".join(everyone)))) & {
        operation for operation in Operation if operation_name(operation) in org
    }


def _operations(files):
    ada = Caller(
        key_id=KeyId("k"), credential=CredentialKind.JWT, role=Role.CALLER, org="acme", user="ada"
    )
    return effective_policy(parse_policies(files), ada).operations


def test_the_answer_is_remembered_per_edition_and_scopes(caller):
    policies = parse_policies({"acme.yaml": ACME})
    ada = caller(user="ada")
    first = effective_policy(policies, ada)
    assert effective_policy(policies, caller(user="ada")) is first
    assert effective_policy(policies, caller(user="bob")) is not first
    whole = effective_policy(policies, ada, scopes=ada.scopes)
    assert effective_policy(policies, ada, scopes=tuple(caller(user="ada").scopes)) is whole
    assert whole == first
    summary = (*ada.scopes, Scope.parse("org/acme/feature/summary"))
    assert effective_policy(policies, ada, scopes=summary).scopes == summary
    assert effective_policy(parse_policies({"acme.yaml": ACME}), ada) is not first


def test_what_is_remembered_is_bounded(caller):
    policies = parse_policies({"acme.yaml": ACME})
    for number in range(9000):
        effective_policy(policies, caller(user=f"u{number}"))
    assert 0 < len(policies.resolved) <= 8192


def test_a_remembered_answer_ends_with_its_override(caller):
    until = datetime(2026, 11, 21, 12, tzinfo=UTC)
    override = {
        "id": "o1", "org": "acme", "scope": "org/acme", "limit": "per user day", "limit_usd": 99,
        "by": "eve", "why": "launch", "until": until,
    }  # fmt: skip
    managed = ManagedRules.model_validate({"overrides": [override]})
    policies, ada = compile_rules({"acme.yaml": ACME}, managed), caller(user="ada")

    def ceiling(at):
        found = effective_policy(policies, ada, at=at)
        return next(b.ceiling for b in found.budgets if b.name == "per user day") // 10**9

    moment = timedelta(microseconds=1)
    assert [ceiling(until - moment), ceiling(until), ceiling(until - moment)] == [99, 25, 99]
    assert ceiling(None) == 25


def test_the_failure_policy_of_the_org_is_part_of_it(policy_of):
    policy = policy_of(ALL + "on_outage: {budgets: local_allowance, allowance_usd: 5}\n")
    assert policy.on_outage.allowance == 5 * 10**9
