"""How a refusal or failure looks on Bedrock's wire: the one place where reasons become answers.

What each shape makes a client do was measured with boto3, the JavaScript SDK, anthropic's client,
Claude Code and Vercel's; docs/reasons.md says it reason by reason.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum

from gateway.bedrock.event_frame import encode_frame
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_MAX_RETRY_AFTER_S = 60  # anthropic's client sleeps as long as it is told to, Claude Code gives up
_DEFAULT_RETRY_AFTER_S = 1.0


class AwsError(Enum):
    """The error types of AWS that this gateway answers with: name and usual status.

    Source: botocore bedrock-runtime model; AWS "Common error types" for those not modelled.
    """

    ACCESS_DENIED = ("AccessDeniedException", 403)
    EXPIRED_TOKEN = ("ExpiredTokenException", 403)
    INCOMPLETE_SIGNATURE = ("IncompleteSignatureException", 400)
    INTERNAL_SERVER = ("InternalServerException", 500)
    INVALID_SIGNATURE = ("InvalidSignatureException", 403)
    MISSING_TOKEN = ("MissingAuthenticationTokenException", 403)
    MODEL_ERROR = ("ModelErrorException", 424)
    MODEL_TIMEOUT = ("ModelTimeoutException", 408)
    QUOTA_EXCEEDED = ("ServiceQuotaExceededException", 400)
    REQUEST_TIMEOUT = ("RequestTimeoutException", 408)
    RESOURCE_NOT_FOUND = ("ResourceNotFoundException", 404)
    THROTTLING = ("ThrottlingException", 429)
    UNAVAILABLE = ("ServiceUnavailableException", 503)
    UNKNOWN_OPERATION = ("UnknownOperationException", 404)
    UNRECOGNIZED_CLIENT = ("UnrecognizedClientException", 403)
    VALIDATION = ("ValidationException", 400)

    @property
    def type_name(self) -> str:
        """The value of `x-amzn-errortype`."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The HTTP status it usually has."""
        return self.value[1]


# Every reason: the AWS error, the status where it is not the usual one, what is said if the
# error says nothing. The order is that of `Reason`.
_SHAPES: dict[Reason, tuple[AwsError, int | None, str]] = {
    Reason.MALFORMED_REQUEST: (AwsError.VALIDATION, None, "The request cannot be read."),
    Reason.MALFORMED_PATH: (AwsError.VALIDATION, None, "The request target cannot be read."),
    Reason.MALFORMED_HEADER: (AwsError.VALIDATION, None, "A header cannot be accepted."),
    Reason.MALFORMED_BODY: (AwsError.VALIDATION, None, "The request body cannot be read."),
    Reason.BODY_TOO_LARGE: (AwsError.VALIDATION, 413, "The request body is too large."),
    Reason.BODY_TOO_SLOW: (AwsError.REQUEST_TIMEOUT, None, "The request body came too slowly."),
    Reason.UNSUPPORTED_ENCODING: (AwsError.VALIDATION, 415, "Send the body unencoded."),
    Reason.UNSUPPORTED_OPERATION: (AwsError.UNKNOWN_OPERATION, None, "Unknown operation."),
    Reason.METHOD_NOT_ALLOWED: (AwsError.UNKNOWN_OPERATION, 405, "Wrong method."),
    Reason.UNSUPPORTED_HTTP_VERSION: (AwsError.VALIDATION, 505, "Speak HTTP/1.1."),
    Reason.UNKNOWN_HOST: (AwsError.VALIDATION, None, "This host name is not served here."),
    Reason.CREDENTIAL_MISSING: (AwsError.MISSING_TOKEN, None, "Missing Authentication Token"),
    Reason.CREDENTIAL_MALFORMED: (
        AwsError.INCOMPLETE_SIGNATURE,
        None,
        "The credential cannot be read.",
    ),
    Reason.CREDENTIAL_UNKNOWN: (AwsError.UNRECOGNIZED_CLIENT, None, "The key is not valid here."),
    Reason.CREDENTIAL_EXPIRED: (AwsError.EXPIRED_TOKEN, None, "The credential has expired."),
    Reason.SIGNATURE_INVALID: (AwsError.INVALID_SIGNATURE, None, "The signature does not match."),
    Reason.SIGNATURE_EXPIRED: (AwsError.INVALID_SIGNATURE, None, "Signature expired."),
    Reason.ROLE_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The role does not permit this."),
    Reason.END_USER_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The key acts for nobody else."),
    Reason.REGION_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The region is not served here."),
    Reason.MODEL_UNKNOWN: (AwsError.ACCESS_DENIED, None, "The model is not known here."),
    Reason.MODEL_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The model is not allowed."),
    Reason.OPERATION_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The operation is not allowed."),
    Reason.RESOURCE_NOT_ALLOWED: (AwsError.ACCESS_DENIED, None, "The resource is not allowed."),
    Reason.OUTPUT_LIMIT_UNKNOWN: (
        AwsError.VALIDATION,
        None,
        "State the largest number of output tokens in the request.",
    ),
    Reason.CLAIM_ABOVE_CAPACITY: (
        AwsError.VALIDATION,
        None,
        "The request is larger than its limit can ever allow.",
    ),
    Reason.BUDGET_EXHAUSTED: (AwsError.QUOTA_EXCEEDED, None, "The budget is exhausted."),
    Reason.RATE_LIMITED: (AwsError.THROTTLING, None, "Too many requests."),
    Reason.TOKENS_LIMITED: (AwsError.THROTTLING, None, "Too many tokens."),
    Reason.CONCURRENCY_LIMITED: (AwsError.THROTTLING, None, "Too many requests at once."),
    Reason.EMERGENCY_STOP: (AwsError.UNAVAILABLE, None, "Stopped by an operator."),
    Reason.LEDGER_UNAVAILABLE: (AwsError.UNAVAILABLE, None, "Budgets cannot be checked now."),
    Reason.KEYS_UNAVAILABLE: (AwsError.UNAVAILABLE, None, "Credentials cannot be checked now."),
    Reason.AUDIT_UNAVAILABLE: (AwsError.UNAVAILABLE, None, "This cannot be put on record now."),
    Reason.STALE_PLAN: (AwsError.UNAVAILABLE, None, "The limits changed meanwhile; try again."),
    Reason.OVERLOADED: (AwsError.UNAVAILABLE, None, "The gateway has too much to do."),
    Reason.DRAINING: (AwsError.UNAVAILABLE, None, "The gateway is shutting down."),
    Reason.UPSTREAM_UNREACHABLE: (AwsError.UNAVAILABLE, None, "Bedrock cannot be reached."),
    Reason.UPSTREAM_TIMEOUT: (AwsError.MODEL_TIMEOUT, None, "Bedrock did not answer in time."),
    Reason.UPSTREAM_INVALID: (AwsError.MODEL_ERROR, None, "Bedrock's answer cannot be used."),
    Reason.UPSTREAM_CREDENTIALS: (
        AwsError.UNAVAILABLE,
        None,
        "The gateway has no valid AWS credentials.",
    ),
    Reason.INTERNAL_ERROR: (AwsError.INTERNAL_SERVER, None, "Internal error of the gateway."),
}
# Claude Code retries a 403 for minutes, and on a 404 tells its user to choose another model.
_NOT_FOUND_FOR_CLAUDE_CODE = frozenset(
    {
        Reason.MODEL_UNKNOWN,
        Reason.MODEL_NOT_ALLOWED,
        Reason.OPERATION_NOT_ALLOWED,
        Reason.RESOURCE_NOT_ALLOWED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """An answer as it goes out. Framing headers and `Date` are the server's to add."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def error_shape(error: GatewayError, *, user_agent: str | None, request_id: str) -> ErrorShape:
    """The answer to a call that ended before its first byte."""
    aws_error, own_status, _ = _SHAPES[error.reason]
    if error.reason in _NOT_FOUND_FOR_CLAUDE_CODE and _is_claude_code(user_agent):
        aws_error = AwsError.RESOURCE_NOT_FOUND
    headers = (
        ("Content-Type", "application/json"),
        ("x-amzn-errortype", aws_error.type_name),
        ("x-amzn-requestid", request_id),
        ("x-gateway-request-id", request_id),
        ("x-gateway-reason", error.reason.value),
        *_retry_headers(error, aws_error),
        *error.headers,
    )
    return ErrorShape(
        status=own_status or aws_error.status, headers=headers, body=_body(_message(error))
    )


def exception_frame(operation: Operation, error: GatewayError) -> bytes:
    """The event that ends a stream which has begun, of the operation's own list of exceptions.

    A clean end would read as success, and an exception outside that list as nothing at all.
    Raises: ValueError if the operation answers no stream.
    """
    if not operation.streams:
        raise ValueError(f"{operation} answers no event stream")
    headers = (
        (":message-type", "exception"),
        (":exception-type", _exception_type(operation, error.reason)),
        (":content-type", "application/json"),
    )
    return encode_frame(headers, _body(_message(error)))


def _exception_type(operation: Operation, reason: Reason) -> str:
    match _SHAPES[reason][0]:
        case AwsError.INTERNAL_SERVER:
            return "internalServerException"
        case AwsError.THROTTLING:
            return "throttlingException"
        case AwsError.UNAVAILABLE:
            return "serviceUnavailableException"
        case AwsError.MODEL_TIMEOUT if operation is Operation.INVOKE_MODEL_STREAM:
            return "modelTimeoutException"
        case AwsError.MODEL_TIMEOUT | AwsError.MODEL_ERROR:
            return "modelStreamErrorException"
        case _:  # the caller's to mend, and no use to repeat
            return "validationException"


def _retry_headers(error: GatewayError, aws_error: AwsError) -> tuple[tuple[str, str], ...]:
    if error.reason is Reason.EMERGENCY_STOP:
        return (("x-should-retry", "false"), ("x-amz-retry-after", "5000"))
    if error.reason is Reason.UNSUPPORTED_HTTP_VERSION:
        return (("x-should-retry", "false"),)  # else anthropic's client repeats it, as every 5xx
    wait_s = error.retry_after_s
    if aws_error is AwsError.THROTTLING and wait_s is None:
        wait_s = _DEFAULT_RETRY_AFTER_S
    if wait_s is None or aws_error not in {AwsError.THROTTLING, AwsError.UNAVAILABLE}:
        return ()
    wait_s = min(max(wait_s, 0.0), _MAX_RETRY_AFTER_S)
    return (
        ("Retry-After", str(max(1, math.ceil(wait_s)))),
        ("x-amz-retry-after", str(max(1, math.ceil(wait_s * 1000)))),
    )


def _message(error: GatewayError) -> str:
    if error.reason is Reason.INTERNAL_ERROR:
        return _SHAPES[error.reason][2]  # our bug: nothing of its inside is the caller's business
    return error.detail or _SHAPES[error.reason][2]


def _body(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def _is_claude_code(user_agent: str | None) -> bool:
    return user_agent is not None and user_agent.lower().startswith("claude-cli")
