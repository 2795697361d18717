"""Which headers pass the gateway: allow-lists in both directions.

Nothing is forwarded for having been sent: what is not listed stays here, hop-by-hop headers,
credentials, cookies and forged identity among it. Framing (`content-length`,
`transfer-encoding`) is never copied: whoever writes a message frames it.
Source: RFC 9110 section 7.6.1; botocore bedrock-runtime model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

Headers = Sequence[tuple[str, str]]

REQUEST_METADATA = "x-amzn-bedrock-request-metadata"
"""The caller's own tags: never copied, the gateway writes this header itself."""

_is_bedrock_header = re.compile(r"x-amzn-bedrock-[a-z0-9-]+").fullmatch
_TRACE = frozenset({"traceparent", "tracestate", "x-amzn-trace-id"})
_INVOKE = frozenset({"accept", "anthropic-beta", "anthropic-version", "content-type"})
_OTHER = frozenset({"accept", "content-type"})
# Of these a list is one value: RFC 9110 section 5.3 lets it come in several lines.
_LISTS = frozenset({"accept", "anthropic-beta", "tracestate"})

_ANSWER = frozenset(
    {
        "cache-control",
        "content-encoding",
        "content-type",
        "date",
        "retry-after",
        "x-amz-retry-after",
        "x-amzn-errortype",
        "x-amzn-requestid",
        "x-amzn-trace-id",
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search


def find_all(headers: Headers, name: str) -> list[str]:
    """The values of every header line of that name, in the order received."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


def find(headers: Headers, name: str) -> str | None:
    """The value of a header that may come once; None if it did not come.

    Raises: GatewayError(MALFORMED_HEADER) if it came more than once.
    """
    values = find_all(headers, name)
    if len(values) > 1:
        raise _malformed(f"{name.lower()} may be given only once")
    return values[0] if values else None


def request_headers_for_upstream(headers: Headers, operation: Operation) -> list[tuple[str, str]]:
    """The caller's headers that Bedrock is to see, lower-case, each name once.

    Raises: GatewayError(MALFORMED_HEADER) if one of them repeats, holds a control character, or is
    named in `Connection` (which would remove it behind the back of whoever checked it).
    """
    passing: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if not _passes_to_upstream(lowered, operation):
            continue
        if _CONTROL(value):
            raise _malformed(f"{lowered} holds a control character")
        if lowered not in passing:
            passing[lowered] = value
        elif lowered in _LISTS:
            passing[lowered] = f"{passing[lowered]}, {value}"
        else:
            raise _malformed(f"{lowered} may be given only once")
    removed = passing.keys() & _named_in_connection(headers)
    if removed:
        raise _malformed(f"Connection must not name {', '.join(sorted(removed))}")
    return list(passing.items())


def response_headers_for_caller(headers: Headers) -> list[tuple[str, str]]:
    """Bedrock's headers that the caller is to see, in order, names as they came.

    No cookies, no server banner, nothing that `Connection` names.
    """
    connection_named = _named_in_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if _passes_to_caller(lowered := name.lower())
        and lowered not in connection_named
        and not _CONTROL(value)
    ]


def _passes_to_upstream(name: str, operation: Operation) -> bool:
    if name in _TRACE:
        return True
    match operation:
        case Operation.INVOKE_MODEL | Operation.INVOKE_MODEL_STREAM:
            if _is_bedrock_header(name):
                return name != REQUEST_METADATA
            return name in _INVOKE
        case _:  # their parameters are in the body, so a parameter header would be unpriced
            return name in _OTHER


def _passes_to_caller(name: str) -> bool:
    return name in _ANSWER or _is_bedrock_header(name) is not None


def _named_in_connection(headers: Headers) -> frozenset[str]:
    return frozenset(
        option.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for option in value.split(",")
    )


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.MALFORMED_HEADER, f"The headers cannot be accepted: {what}.")
