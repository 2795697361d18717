from __future__ import annotations

from http import HTTPStatus

import orjson
import pytest
from aiohttp import web

from gateway.admin.problem import ProblemError, problem, problem_of_error, problem_of_status
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason


def test_a_problem_has_the_members_of_the_standard():
    answer = problem(HTTPStatus.NOT_FOUND, "record_not_found", "no such record", instance="/v1/x")
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"
    assert orjson.loads(answer.body) == {
        "type": "urn:bedrock-gateway:problem:record_not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "no such record",
        "instance": "/v1/x",
    }


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CREDENTIAL_MISSING, 401),
        (Reason.CREDENTIAL_EXPIRED, 401),
        (Reason.ROLE_NOT_ALLOWED, 403),
        (Reason.LEDGER_UNAVAILABLE, 503),
        (Reason.KEYS_UNAVAILABLE, 503),
        (Reason.INTERNAL_ERROR, 500),
        (Reason.MALFORMED_REQUEST, 400),
    ],
)
def test_a_reason_has_its_status(reason, status):
    answer = problem_of_error(GatewayError(reason, "why"), "/x")
    assert answer.status == status
    assert orjson.loads(answer.body)["type"].endswith(f":{reason.value}")


def test_whoever_has_no_key_is_told_which_one_to_bring():
    answer = problem_of_error(GatewayError(Reason.CREDENTIAL_MISSING), "/x")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="bedrock-gateway"'


def test_when_to_come_again_is_in_whole_seconds():
    error = GatewayError(Reason.LEDGER_UNAVAILABLE, retry_after_s=0.2)
    assert problem_of_error(error, "/x").headers["Retry-After"] == "1"


@pytest.mark.parametrize("error", [web.HTTPNotFound(), web.HTTPBadRequest(text="a-canary")])
def test_what_the_server_refuses_is_told_without_its_own_text(error):
    answer = problem_of_status(error, "/x")
    assert answer.status == error.status
    assert b"a-canary" not in answer.body


def test_the_methods_that_are_allowed_are_passed_on():
    answer = problem_of_status(web.HTTPMethodNotAllowed("POST", ["GET", "HEAD"]), "/x")
    assert answer.headers["Allow"] == "GET,HEAD"


def test_a_problem_error_reads_as_kind_and_detail():
    assert str(ProblemError(HTTPStatus.NOT_FOUND, "kind", "detail")) == "kind: detail"
