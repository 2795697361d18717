"""What of a request is signed, as text: the canonical request of AWS Signature Version 4.

The rule that every measured client follows: the canonical path is the path *on the wire*,
percent-encoded once more. Nothing is ever decoded to compute it.
Source: AWS IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~:%-]*").fullmatch
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9._~=&-]*").fullmatch
_SPACE = re.compile(r"[ \t]+")
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestToSign:
    """A request as it is, or will be, on the wire; nothing in it is decoded.

    `authority` replaces the value of `host` and `:authority` where a trusted front has received
    another one than this process. `body_sha256` is lower-case hex, or AWS's word for "unsigned".
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]]
    body_sha256: str
    authority: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalRules:
    """How the path becomes canonical: services differ in these two, and in nothing else.

    `normalize_path`: drop `.`, `..` and empty segments first (every service but S3).
    `encode_path_again`: percent-encode the wire path (every service but S3).
    """

    normalize_path: bool = False
    encode_path_again: bool = True


BEDROCK_RULES = CanonicalRules()
"""Strict: the path is taken as sent. Paths with dot segments are refused by the routes anyway."""


def canonical_path(raw_path: str, rules: CanonicalRules = BEDROCK_RULES) -> str:
    """The wire path as it is signed."""
    path = _without_dot_segments(raw_path) if rules.normalize_path else raw_path or "/"
    if not rules.encode_path_again:
        return path
    if _PLAIN_PATH(path):  # what every model path is; five times as fast as quote()
        return path.replace("%", "%25").replace(":", "%3A")
    return quote(path, safe="/" + _UNRESERVED, errors="surrogateescape")


def canonical_query(raw_query: str) -> str:
    """The query as it is signed: each name and value encoded exactly once, sorted by bytes."""
    if not raw_query:
        return ""
    plain = _PLAIN_QUERY(raw_query) is not None
    pairs = []
    for parameter in raw_query.split("&"):
        if not parameter:
            continue
        name, _, value = parameter.partition("=")
        if not plain or "=" in value:
            name, value = _encoded_once(name), _encoded_once(value)
        pairs.append((name, value))
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def canonical_request(
    request: RequestToSign,
    signed_headers: Sequence[str],
    rules: CanonicalRules = BEDROCK_RULES,
) -> str:
    """The text whose hash is signed. `signed_headers` are lower-case, in the order signed.

    Raises: GatewayError(SIGNATURE_INVALID) if a header is claimed as signed but was not sent.
    """
    values = signed_values(request, frozenset(signed_headers))
    try:
        lines = [f"{name}:{values[name]}\n" for name in signed_headers]
    except KeyError as exc:
        raise GatewayError(
            Reason.SIGNATURE_INVALID,
            f"The header {exc.args[0]!r} is listed in SignedHeaders but is not in the request.",
        ) from exc
    return (
        f"{request.method}\n{canonical_path(request.raw_path, rules)}\n"
        f"{canonical_query(request.raw_query)}\n{''.join(lines)}\n"
        f"{';'.join(signed_headers)}\n{request.body_sha256}"
    )


def signed_values(request: RequestToSign, wanted: frozenset[str]) -> dict[str, str]:
    """The canonical values of the wanted headers; repeated ones joined in the order received."""
    values: dict[str, str] = {}
    host = request.authority
    for name, value in request.headers:
        lowered = name.lower()
        if lowered in wanted:
            text = _trimmed(value)
            values[lowered] = f"{values[lowered]},{text}" if lowered in values else text
        if host is None and lowered == "host":
            host = value.strip(" \t")
    if host is not None:
        if ":authority" in wanted and (request.authority or ":authority" not in values):
            values[":authority"] = host
        if request.authority is not None and "host" in wanted:
            values["host"] = host
    return values


def _trimmed(value: str) -> str:
    """The value without outer space and with inner runs of space as one."""
    if "  " not in value and "\t" not in value and "\n" not in value:
        return value.strip(" \r")
    lines = (" ".join(_SPACE.split(line.strip(" \t\r"))) for line in value.split("\n"))
    return ",".join(line for line in lines if line)


def _encoded_once(text: str) -> str:
    raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    return quote(raw, safe=_UNRESERVED)


def _without_dot_segments(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    closing = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{closing}"
