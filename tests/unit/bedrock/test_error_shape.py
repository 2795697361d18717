from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.loaders import Loader

from gateway.bedrock.error_shape import error_shape, exception_frame
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "reasons.md"
STREAMS = [operation for operation in Operation if operation.streams]
BOTO = "Boto3/1.44.5 md/Botocore#1.44.5"
CLAUDE = "claude-cli/2.1.197 (external, cli)"


def shape_of(reason, user_agent=BOTO, **error):
    return error_shape(
        GatewayError(reason, error.pop("detail", "what and why"), **error),
        user_agent=user_agent,
        request_id="req-1",
    )


def header_of(shape, name):
    return next((value for key, value in shape.headers if key == name), None)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_complete_shape(reason):
    shape = shape_of(reason)
    assert 400 <= shape.status <= 599
    assert re.fullmatch(r"[A-Z][A-Za-z]+Exception", header_of(shape, "x-amzn-errortype"))
    assert header_of(shape, "Content-Type") == "application/json"
    assert header_of(shape, "x-gateway-reason") == reason.value
    assert header_of(shape, "x-amzn-requestid") == "req-1"
    assert header_of(shape, "x-gateway-request-id") == "req-1"
    assert list(json.loads(shape.body)) == ["message"]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_something_even_if_the_error_does_not(reason):
    assert json.loads(shape_of(reason, detail="").body)["message"].strip()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_documented_as_it_is_answered(reason):
    row = re.search(
        rf"^\| `{reason.value}` \| (\d+) `(\w+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    assert row is not None, f"docs/reasons.md has no row for {reason.value}"
    shape = shape_of(reason)
    assert row.groups() == (str(shape.status), header_of(shape, "x-amzn-errortype"))


def test_no_reason_is_documented_that_does_not_exist():
    documented = re.findall(r"^\| `(\w+)` \| \d", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(Reason)


@pytest.mark.parametrize(
    ("reason", "status", "aws_type"),
    [
        (Reason.RATE_LIMITED, 429, "ThrottlingException"),
        (Reason.TOKENS_LIMITED, 429, "ThrottlingException"),
        (Reason.CONCURRENCY_LIMITED, 429, "ThrottlingException"),
        (Reason.BUDGET_EXHAUSTED, 400, "ServiceQuotaExceededException"),
        (Reason.MODEL_NOT_ALLOWED, 403, "AccessDeniedException"),
        (Reason.OPERATION_NOT_ALLOWED, 403, "AccessDeniedException"),
        (Reason.SIGNATURE_INVALID, 403, "InvalidSignatureException"),
        (Reason.SIGNATURE_EXPIRED, 403, "InvalidSignatureException"),
        (Reason.CREDENTIAL_EXPIRED, 403, "ExpiredTokenException"),
        (Reason.CREDENTIAL_UNKNOWN, 403, "UnrecognizedClientException"),
        (Reason.CREDENTIAL_MISSING, 403, "MissingAuthenticationTokenException"),
        (Reason.CREDENTIAL_MALFORMED, 400, "IncompleteSignatureException"),
        (Reason.EMERGENCY_STOP, 503, "ServiceUnavailableException"),
        (Reason.BODY_TOO_LARGE, 413, "ValidationException"),
        (Reason.MALFORMED_BODY, 400, "ValidationException"),
        (Reason.LEDGER_UNAVAILABLE, 503, "ServiceUnavailableException"),
        (Reason.DRAINING, 503, "ServiceUnavailableException"),
        (Reason.UNSUPPORTED_OPERATION, 404, "UnknownOperationException"),
        (Reason.METHOD_NOT_ALLOWED, 405, "UnknownOperationException"),
        (Reason.INTERNAL_ERROR, 500, "InternalServerException"),
    ],
)
def test_the_conventions_hold(reason, status, aws_type):
    shape = shape_of(reason)
    assert (shape.status, header_of(shape, "x-amzn-errortype")) == (status, aws_type)


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"),
    [
        (None, "1", "1000"),
        (0.0, "1", "1"),
        (0.25, "1", "250"),
        (2.001, "3", "2001"),
        (3600, "60", "60000"),
        (-5, "1", "1"),
    ],
)
def test_a_throttled_caller_is_told_when_to_come_back(wait_s, seconds, milliseconds):
    shape = shape_of(Reason.RATE_LIMITED, retry_after_s=wait_s)
    assert header_of(shape, "Retry-After") == seconds
    assert header_of(shape, "x-amz-retry-after") == milliseconds


def test_an_exhausted_budget_invites_no_retry():
    shape = shape_of(Reason.BUDGET_EXHAUSTED, retry_after_s=30)
    assert header_of(shape, "Retry-After") is None
    assert header_of(shape, "x-amz-retry-after") is None


def test_an_emergency_stop_tells_clients_not_to_insist():
    shape = shape_of(Reason.EMERGENCY_STOP)
    assert header_of(shape, "x-should-retry") == "false"
    assert header_of(shape, "x-amz-retry-after") == "5000"
    assert header_of(shape, "Retry-After") is None


def test_a_server_error_that_no_repeat_can_mend_says_so():
    shape = shape_of(Reason.UNSUPPORTED_HTTP_VERSION, retry_after_s=1)
    assert header_of(shape, "x-should-retry") == "false"
    assert header_of(shape, "Retry-After") is None


def test_an_outage_says_when_to_come_back_only_if_somebody_knows():
    assert header_of(shape_of(Reason.LEDGER_UNAVAILABLE), "Retry-After") is None
    assert header_of(shape_of(Reason.DRAINING, retry_after_s=2), "Retry-After") == "2"


@pytest.mark.parametrize(
    "reason",
    [
        Reason.MODEL_UNKNOWN,
        Reason.MODEL_NOT_ALLOWED,
        Reason.OPERATION_NOT_ALLOWED,
        Reason.RESOURCE_NOT_ALLOWED,
    ],
)
def test_claude_code_is_told_not_found_since_it_retries_a_403(reason):
    shape = shape_of(reason, CLAUDE)
    assert shape.status == 404
    assert header_of(shape, "x-amzn-errortype") == "ResourceNotFoundException"
    assert header_of(shape, "x-gateway-reason") == reason.value
    for other in (BOTO, None, "", "my-claude-cli/1"):
        assert shape_of(reason, other).status == 403


def test_claude_code_is_told_the_same_as_all_about_credentials():
    assert shape_of(Reason.CREDENTIAL_UNKNOWN, CLAUDE).status == 403


def test_the_detail_is_what_the_caller_reads():
    assert json.loads(shape_of(Reason.MALFORMED_BODY, detail="line 1: é").body) == {
        "message": "line 1: é"
    }


def test_our_own_bugs_are_not_explained_to_callers():
    body = shape_of(Reason.INTERNAL_ERROR, detail="KeyError: 'secret'").body
    assert b"secret" not in body


def decoded(frame):
    buffer = EventStreamBuffer()
    buffer.add_data(frame)
    (message,) = list(buffer)
    return message


@pytest.mark.parametrize("operation", STREAMS)
@pytest.mark.parametrize("reason", Reason)
def test_a_stream_ends_with_an_exception_that_its_operation_has(operation, reason):
    message = decoded(exception_frame(operation, GatewayError(reason, "why")))
    model = Loader().load_service_model("bedrock-runtime", "service-2")
    output = model["shapes"][model["operations"][operation]["output"]["shape"]]
    stream = model["shapes"][
        next(
            member["shape"]
            for member in output["members"].values()
            if model["shapes"][member["shape"]].get("eventstream")
        )
    ]
    exceptions = {
        name
        for name, member in stream["members"].items()
        if model["shapes"][member["shape"]].get("exception")
    }
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":content-type"] == "application/json"
    assert message.headers[":exception-type"] in exceptions
    assert json.loads(message.payload)["message"]


@pytest.mark.parametrize(
    ("reason", "converse", "invoke"),
    [
        (Reason.EMERGENCY_STOP, "serviceUnavailableException", "serviceUnavailableException"),
        (Reason.DRAINING, "serviceUnavailableException", "serviceUnavailableException"),
        (Reason.RATE_LIMITED, "throttlingException", "throttlingException"),
        (Reason.BUDGET_EXHAUSTED, "validationException", "validationException"),
        (Reason.UPSTREAM_TIMEOUT, "modelStreamErrorException", "modelTimeoutException"),
        (Reason.UPSTREAM_INVALID, "modelStreamErrorException", "modelStreamErrorException"),
        (Reason.INTERNAL_ERROR, "internalServerException", "internalServerException"),
    ],
)
def test_the_exception_in_a_stream_says_what_happened(reason, converse, invoke):
    error = GatewayError(reason, "why")
    for operation, expected in (
        (Operation.CONVERSE_STREAM, converse),
        (Operation.INVOKE_MODEL_STREAM, invoke),
    ):
        frame = decoded(exception_frame(operation, error))
        assert frame.headers[":exception-type"] == expected


@pytest.mark.parametrize("operation", [o for o in Operation if not o.streams])
def test_an_operation_without_a_stream_has_no_exception_event(operation):
    with pytest.raises(ValueError, match="no event stream"):
        exception_frame(operation, GatewayError(Reason.INTERNAL_ERROR))
