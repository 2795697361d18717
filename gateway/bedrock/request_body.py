"""What does this call ask for, as far as its price depends on it? Body and Bedrock's own headers.

The body decides whatever its Content-Type says: stock clients send JSON under any or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.bedrock.converse_request import read_converse
from gateway.bedrock.invoke_request import read_invoke
from gateway.bedrock.request_fields import optional_object
from gateway.bedrock.request_tally import Tally
from gateway.bedrock.strict_json import malformed, parse_object
from gateway.domain.call import CallFacts, Operation
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family
from gateway.domain.reason import Reason

_PREFIX = "x-amzn-bedrock-"


def read_facts(
    operation: Operation, family: Family, headers: Sequence[tuple[str, str]], body: bytes
) -> CallFacts:
    """The facts of a call. Raises: GatewayError(MALFORMED_BODY | MALFORMED_HEADER).

    InvokeModel without a body is a real client's request (the body is optional in the service
    model): nothing is asked for, and it is upstream's to refuse.
    """
    if operation.is_control_plane:
        return CallFacts(text_bytes=0)
    may_be_empty = operation in (Operation.INVOKE_MODEL, Operation.INVOKE_MODEL_STREAM)
    parsed = parse_object(body) if body or not may_be_empty else {}
    tally = Tally()
    if operation.is_converse:
        read_converse(parsed, tally)
    elif operation is Operation.COUNT_TOKENS:
        _read_count_tokens(parsed, tally)
    else:
        read_invoke(family, parsed, tally)
    _read_headers(headers, tally)
    return tally.freeze()


def _read_count_tokens(body: dict[str, Any], tally: Tally) -> None:
    """Counting is free: only that the body is one of the two forms matters, and its size."""
    form = optional_object(body, "input", "")
    if form is None:
        raise malformed("/input", "an object with 'converse' or 'invokeModel'")
    inner = optional_object(form, "converse", "/input")
    if inner is None:
        inner = optional_object(form, "invokeModel", "/input")
    if inner is None or len(form) != 1:
        raise malformed("/input", "exactly one of 'converse' and 'invokeModel'")
    tally.document(inner)


def _read_headers(headers: Sequence[tuple[str, str]], tally: Tally) -> None:
    seen: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "anthropic-beta":
            tally.betas(value, "header anthropic-beta")
        elif lower.startswith(_PREFIX):
            if lower in seen:
                raise GatewayError(Reason.MALFORMED_HEADER, f"{lower}: expected once, got twice")
            seen[lower] = value
    if not seen:
        return
    try:
        _read_seen(seen, tally)
    except GatewayError as exc:
        raise GatewayError(Reason.MALFORMED_HEADER, exc.detail) from exc


def _read_seen(seen: dict[str, str], tally: Tally) -> None:
    tier = seen.get(f"{_PREFIX}service-tier")
    if tier is not None:
        tally.service_tier(tier, f"{_PREFIX}service-tier")
    latency = seen.get(f"{_PREFIX}performanceconfig-latency")
    if latency is not None:
        tally.latency(latency, f"{_PREFIX}performanceconfig-latency")
    if f"{_PREFIX}guardrailidentifier" in seen or f"{_PREFIX}guardrailversion" in seen:
        tally.has_guardrail = True
    metadata = seen.get(f"{_PREFIX}request-metadata")
    if metadata is not None:
        tally.metadata = _metadata(metadata)


def _metadata(text: str) -> tuple[tuple[str, str], ...]:
    where = f"{_PREFIX}request-metadata"
    value = parse_object(text.encode("utf-8", "surrogatepass"))
    if not all(isinstance(item, str) for item in value.values()):
        raise malformed(where, "a JSON object of strings")
    return tuple(value.items())
