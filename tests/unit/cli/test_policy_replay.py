from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from gateway.admission.refusal import refused_record
from gateway.admission.settlement import Ending, conclude
from gateway.cli.main import app
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from gateway.domain.tokens import Exact, TokenCounts, Usage
from gateway.journal.codec import encode_record
from tests.fakes.calls import admitted, call_context
from tests.fakes.clock import NOON

OPEN = "version: 1\norg: acme\n"
STRICT = OPEN + 'models: {deny: ["*haiku*"]}\n'


def answered():
    ending = Ending(
        status=CallStatus.OK,
        measurement=Exact(usage=Usage(tokens=TokenCounts(input=100, output=40))),
    )
    return conclude(admitted(), ending, settled_at=NOON).record


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.jsonl"
    refused = replace(
        refused_record(call_context(), Reason.RATE_LIMITED, "Limit 'x'", at=NOON),
        request_id="req-2",
    )
    path.write_bytes(encode_record(answered()) + b"\n\n" + encode_record(refused) + b"\n")
    return path


@pytest.fixture
def run(tmp_path, records):
    def replay(text, *more):
        candidate = tmp_path / "candidate.yaml"
        candidate.write_text(text)
        fixed = ["--since", "2026-11-21", "--until", "2026-11-22", "--records", str(records)]
        return CliRunner().invoke(app, ["policy", "replay", str(candidate), *fixed, *more])

    return replay


def test_a_stricter_candidate_says_whom_it_refuses_and_what_that_saves(run):
    outcome = run(STRICT, "--json")
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert (document["judged"], document["admitted_before"], document["admitted_now"]) == (2, 1, 0)
    assert document["saved_nano_usd"] == answered().cost_nano_usd
    assert document["newly_refused"] == [{"reason": "model_not_allowed", "limit": "", "calls": 1}]
    assert document["refused_by_scope"] == {"org/acme/team/web/user/ada": 1}
    assert document["refused_for_another_reason"] == 1
    shown = run(STRICT).stdout
    assert "would be saved" in shown
    assert "model_not_allowed" in shown


def test_a_wider_candidate_says_what_it_lets_pass(run):
    document = json.loads(run(OPEN, "--json").stdout)
    assert document["newly_admitted"] == {"rate_limited": 1}
    assert [one["now"] for one in document["changed"]] == [None]


def test_calls_of_other_orgs_and_other_times_are_left_out(run):
    assert json.loads(run(OPEN, "--json", "--org", "beta").stdout)["judged"] == 0
    assert json.loads(run(OPEN, "--json", "--until", "2026-11-21").stdout)["judged"] == 0


def test_a_record_that_says_too_little_is_named_and_the_rest_is_decided(run, records):
    records.write_bytes(records.read_bytes() + b'{"request_id": "old", "org": "acme"}\n')
    document = json.loads(run(OPEN, "--json").stdout)
    assert document["judged"] == 2
    assert document["unreadable"][0].startswith("record old:")


def test_a_line_that_is_no_record_is_an_error_with_its_number(run, records):
    records.write_bytes(records.read_bytes() + b"garbage\n")
    outcome = run(OPEN)
    assert outcome.exit_code == 1
    assert "line 4" in outcome.stderr


def test_wrong_times_and_policies_are_said(run):
    assert run(OPEN, "--history", "soon").exit_code == 2
    outcome = run("version: 1\norg: acme\nnonsense: 1\n")
    assert outcome.exit_code == 1
    assert "candidate.yaml:3:1" in outcome.stderr
