"""Where the gateway changes a request body: the output limit, and who is tagged in AWS's logs.

The change is spliced into the caller's own text: every other byte goes up as it came. A body that
needs no change is passed on as the same bytes object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import orjson

from gateway.bedrock.converse_request import CONVERSE_LIMIT
from gateway.bedrock.output_limit import Path, injection_path
from gateway.bedrock.strict_json import body_text, malformed, member_spans, parse_object
from gateway.domain.call import Operation
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.model import Family
from gateway.domain.reason import Reason

MAX_METADATA_PAIRS = 16
_METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}", re.ASCII)
"""Source: botocore bedrock-runtime model, `RequestMetadataKeyString`, `…ValueString`."""
_NOT_METADATA = re.compile(r"[^a-zA-Z0-9 :_@$#=/+,\-.]")


def rewrite_body(
    operation: Operation,
    family: Family,
    body: bytes,
    *,
    max_output_tokens: int | None,
    request_metadata: Mapping[str, str] | None,
) -> bytes:
    """The body with the limit and the tags in it; the same object if there is nothing to change.

    `request_metadata` is written into Converse bodies only (InvokeModel has a header for it): the
    caller's own pairs stay where they fit, the gateway's win.
    Invariant: `body` was accepted by `read_facts`.
    Raises: GatewayError(OUTPUT_LIMIT_UNKNOWN) if the family has no field for a limit.
    """
    if operation.is_converse:
        text = body_text(body)
        changed = text
        if request_metadata:
            changed = _tag(changed, request_metadata)
        if max_output_tokens is not None:
            changed = _put(changed, CONVERSE_LIMIT, str(max_output_tokens))
        return body if changed == text else changed.encode()
    if max_output_tokens is None or not body:
        return body
    path = injection_path(family, parse_object(body))
    if path is None:
        detail = "the body of this model has no field for an output limit"
        raise GatewayError(Reason.OUTPUT_LIMIT_UNKNOWN, detail, fault=Fault.GATEWAY)
    return _put(body_text(body), path, str(max_output_tokens)).encode()


def merged_metadata(own: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """The gateway's pairs, then as many of the caller's as AWS takes; the gateway's win."""
    merged = {_fit(key): _fit(value) for key, value in ours.items()}
    for key, value in own.items():
        if len(merged) >= MAX_METADATA_PAIRS:
            break
        if key and _METADATA_TEXT.fullmatch(key) and _METADATA_TEXT.fullmatch(value):
            merged.setdefault(key, value)
    return merged


def request_metadata_header(metadata: Mapping[str, str]) -> str:
    """The value of `X-Amzn-Bedrock-Request-Metadata`: a JSON object of strings, in ASCII."""
    return orjson.dumps(merged_metadata({}, metadata)).decode()


def _fit(text: str) -> str:
    """The text as AWS takes it: other characters become `-`, what is too long is cut."""
    return _NOT_METADATA.sub("-", text)[:256]


def _tag(text: str, ours: Mapping[str, str]) -> str:
    own: dict[str, str] = {}
    for key, _, at, end in member_spans(text, text.index("{")):
        if key == "requestMetadata":
            stated = json.loads(text[at:end])  # orjson refuses a lone surrogate
            own = stated if isinstance(stated, dict) else {}
    return _put(text, ("requestMetadata",), orjson.dumps(merged_metadata(own, ours)).decode())


def _put(text: str, path: Path, value: str) -> str:
    """The text with the value at a path of keys: replaced where it is, else added."""
    return _put_at(text, text.index("{"), path, value)


def _put_at(text: str, start: int, path: Path, value: str) -> str:
    key, rest = path[0], path[1:]
    is_empty = True
    for name, _, at, end in member_spans(text, start):
        is_empty = False
        if name != key:
            continue
        if not rest:
            return text[:at] + value + text[end:]
        if text[at] == "{":
            return _put_at(text, at, rest, value)
        if text[at:end] != "null":
            raise malformed("/" + key, "an object")
        return text[:at] + _nested(rest, value) + text[end:]
    comma = "" if is_empty else ","
    member = f'"{key}":{_nested(rest, value)}{comma}'
    return text[: start + 1] + member + text[start + 1 :]


def _nested(path: Path, value: str) -> str:
    for key in reversed(path):
        value = f'{{"{key}":{value}}}'
    return value
