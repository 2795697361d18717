"""Policy files together: one edition, or every problem with its place."""

from __future__ import annotations

import re

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules, parse_policies
from tests.fakes.broken_edits import broken_edits

ACME = """\
version: 1
org: acme
timezone: Europe/Berlin
budgets:
  - {name: month, scope: org, period: month, limit_usd: 5000, mode: hard}
  - {name: per user day, scope: user, period: day, limit_usd: 25}
limits:
  - {scope: user, requests_per_minute: 60, tokens_per_minute: 200_000, tokens_per_request: 16_000}
models: {allow: ["anthropic.claude-*", "amazon.nova-*"], deny: ["*opus*"]}
operations: {allow: [converse, converse_stream, invoke_model, invoke_model_with_response_stream]}
"""
EVERYONE = """\
version: 1
org: "*"
budgets:
  - {name: everything, scope: platform, period: month, limit_usd: 100_000}
"""


def problems_of(files) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse_policies(files)
    return str(caught.value).splitlines()


def test_files_of_orgs_and_of_everyone_make_one_set():
    policies = parse_policies({"acme.yaml": ACME, "platform.yaml": EVERYONE})
    assert set(policies.orgs) == {"acme"}
    assert policies.everyone is not None
    assert policies.everyone.budgets[0].name == "everything"


def test_no_files_are_a_set_that_speaks_for_nobody():
    policies = parse_policies({})
    assert (policies.everyone, dict(policies.orgs)) == (None, {})


def test_the_version_is_of_the_content_not_of_the_folder():
    here = parse_policies({"here/acme.yaml": ACME, "here/p.yaml": EVERYONE}).version
    there = parse_policies({"there/acme.yaml": ACME, "there/p.yaml": EVERYONE}).version
    changed = parse_policies({"here/acme.yaml": ACME + "#", "here/p.yaml": EVERYONE}).version
    assert here == there != changed
    assert len(here) == 12


def test_problems_of_all_files_are_told_at_once():
    assert problems_of(
        {"a.yaml": ACME.replace("Europe/Berlin", "Mars/One"), "b.yaml": "version: 1\n"}
    ) == [
        "a.yaml:3:11: timezone: expected a time zone such as Europe/Berlin, got 'Mars/One'",
        "b.yaml:1:1: the key 'org' is missing",
    ]


def test_a_limit_far_above_the_ledgers_range_names_line_and_column():
    assert problems_of({"a.yaml": ACME.replace("5000", "1e99")}) == [
        "a.yaml:5:57: limit_usd: expected an amount in USD such as 5000 or 0.25, got '1e99'"
    ]
    assert problems_of({"a.yaml": ACME.replace("5000", "10_000_000")}) == [
        "a.yaml:5:57: limit_usd: expected an amount from 0 to 9007199.254740991 USD, got 10000000"
    ]


def test_an_org_has_one_file():
    assert problems_of({"a.yaml": ACME, "b.yaml": ACME}) == [
        "b.yaml:2:6: org 'acme' has a file already: a.yaml"
    ]


def test_an_org_does_not_set_limits_for_the_platform():
    text = ACME.replace("scope: org", "scope: platform")
    assert problems_of({"a.yaml": text}) == [
        "a.yaml:5:26: the scope 'platform' is set in the file of org '*' only"
    ]


def test_rules_of_one_name_count_the_same_kind_of_place():
    text = ACME.replace("per user day", "month")
    assert problems_of({"a.yaml": text}) == [
        (
            "a.yaml:6:12: the budget name 'month' is used already: a.yaml line 5 (it counts the "
            "scope org, this one the scope user: only rules that count the same kind replace "
            "each other)"
        )
    ]


def test_of_rules_of_one_name_each_has_a_scope_of_its_own():
    text = ACME.replace(
        "limits:", "  - {name: month, scope: org, period: day, limit_usd: 1}\nlimits:"
    )
    assert problems_of({"a.yaml": text}) == [
        "a.yaml:7:12: the budget name 'month' is used already: a.yaml line 5"
    ]
    twice = ACME.replace("models:", "  - {scope: user, requests_per_hour: 1}\nmodels:")
    assert problems_of({"a.yaml": twice}) == [
        "a.yaml:9:5: the limit name 'user' is used already: a.yaml line 8"
    ]


def test_a_limit_without_a_name_replaces_nothing():
    everyone = EVERYONE + "limits: [{scope: user, requests_per_hour: 1}]\n"
    assert problems_of({"acme.yaml": ACME, "platform.yaml": everyone}) == [
        (
            "acme.yaml:8:5: the limit name 'user' is used already: platform.yaml line 5 "
            "(both bind; give it a name of its own)"
        )
    ]


@pytest.mark.parametrize("cut", range(0, len(ACME), 7))
def test_a_truncated_file_is_a_smaller_policy_or_a_problem_but_never_a_crash(cut):
    try:
        orgs = set(parse_policies({"a.yaml": ACME[:cut]}).orgs)
        problems = ()
    except DocumentError as exc:
        orgs = set()
        problems = exc.problems
    assert problems or orgs <= {"acme"[:length] for length in range(1, 5)}


def test_what_is_not_there_yet_is_refused_and_says_so():
    ladder = "ladder: {budget: month}\ncache: {ttl: 1h}\nbudget: []\n"
    assert problems_of({"a.yaml": ACME + ladder}) == [
        (
            "a.yaml:11:1: 'ladder' is not there yet: this gateway has no degradation levels, so "
            "take the section out"
        ),
        (
            "a.yaml:12:1: 'cache' is not there yet: this gateway has no answer cache, so "
            "take the section out"
        ),
        "a.yaml:13:1: unknown key 'budget': did you mean 'budgets'?",
    ]


def test_a_key_without_a_value_opens_nothing():
    text = ACME.replace('{allow: ["anthropic.claude-*", "amazon.nova-*"], deny', "{allow: , deny")
    assert problems_of({"a.yaml": text}) == ["a.yaml:9:10: allow: expected a value, there is none"]
    assert problems_of({"a.yaml": ACME + "retries:\n"}) == [
        "a.yaml:11:1: retries: expected a value, there is none"
    ]


def test_what_was_made_by_api_is_part_of_the_version():
    managed = ManagedRules.model_validate(
        {
            "budgets": [
                {
                    "id": "b", "org": "acme", "name": "b", "scope": "org", "period": "day",
                    "limit_usd": 1,
                }
            ]
        }
    )  # fmt: skip
    files = {"a.yaml": ACME}
    plain = parse_policies(files).version
    assert compile_rules(files, ManagedRules()).version == plain
    assert compile_rules(files, managed).version != plain


def test_a_thousand_broken_edits_are_valid_or_say_where_in_the_file():
    wrong = 0
    for name, text in broken_edits(1000, seed=20261122):
        try:
            parse_policies({name: text})
        except DocumentError as exc:
            wrong += 1
            lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
            for problem in exc.problems:
                assert problem.file == name
                assert 1 <= problem.mark.line <= len(lines), problem
                assert 1 <= problem.mark.column <= len(lines[problem.mark.line - 1]) + 2, problem
                assert len(problem.what) < 600, problem
    assert wrong > 500
