"""What may pass while the ledger is away, by the files that bind one org."""

from __future__ import annotations

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.domain.money import NanoUsd
from gateway.policy.document import OutageRule
from gateway.policy.on_outage import OnOutage, on_outage
from gateway.policy.parse import parse_policies

USD = 10**9


def rules(acme=None, everyone=None):
    """The failure policy of acme, given the `on_outage` of its file and of everyone's."""
    files = {"acme.yaml": text("acme", acme)}
    if everyone is not None:
        files["all.yaml"] = text('"*"', everyone)
    return on_outage(parse_policies(files), "acme")


def text(org, section):
    stated = f"on_outage: {section}\n" if section else ""
    return f"version: 1\norg: {org}\n{stated}"


def test_unless_a_file_says_so_budgets_are_refused_and_limits_have_their_share():
    default = OnOutage(budgets=OutageRule.REFUSE, limits=OutageRule.LOCAL_ALLOWANCE, allowance=0)
    assert rules() == rules("{cache: bypass}") == default
    assert on_outage(parse_policies({}), "acme") == default


def test_an_org_may_opt_in_to_an_allowance():
    found = rules("{budgets: local_allowance, allowance_usd: 5}")
    assert (found.budgets, found.allowance) == (OutageRule.LOCAL_ALLOWANCE, NanoUsd(5 * USD))
    assert found.limits is OutageRule.LOCAL_ALLOWANCE


@pytest.mark.parametrize(
    ("acme", "everyone", "found"),
    [
        ("admit_uncounted", "refuse", OutageRule.REFUSE),
        ("refuse", "admit_uncounted", OutageRule.REFUSE),
        ("admit_uncounted", "admit_uncounted", OutageRule.ADMIT_UNCOUNTED),
    ],
)
def test_of_two_files_the_stricter_counts(acme, everyone, found):
    together = rules(
        f"{{budgets: {acme}, limits: {acme}}}", f"{{budgets: {everyone}, limits: {everyone}}}"
    )
    assert together.budgets is together.limits is found


def test_a_file_that_says_nothing_does_not_narrow():
    assert rules("{limits: refuse}", "{cache: bypass}").limits is OutageRule.REFUSE
    assert rules(None, "{limits: admit_uncounted}").limits is OutageRule.ADMIT_UNCOUNTED


def test_of_two_allowances_the_smaller_counts():
    five, two = (f"{{budgets: local_allowance, allowance_usd: {n}}}" for n in (5, 2))
    assert rules(five, two).allowance == rules(two, five).allowance == 2 * USD


def test_an_allowance_beside_a_file_that_lets_all_pass_is_still_a_bound():
    found = rules("{budgets: admit_uncounted}", "{budgets: local_allowance, allowance_usd: 1}")
    assert (found.budgets, found.allowance) == (OutageRule.LOCAL_ALLOWANCE, USD)


@pytest.mark.parametrize(
    "section",
    [
        "{budgets: local_allowance}",
        "{allowance_usd: 5}",
        "{budgets: refuse, allowance_usd: 5}",
        "{budgets: open}",
        "{cache: serve}",
        "{limit: refuse}",
        "{budgets: local_allowance, allowance_usd: -1}",
    ],
)
def test_a_section_that_cannot_be_meant_is_an_error_that_names_its_line(section):
    with pytest.raises(DocumentError) as raised:
        rules(section)
    assert "acme.yaml" in str(raised.value)
    assert {problem.mark.line for problem in raised.value.problems} == {3}
