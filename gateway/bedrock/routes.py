"""Which operation a request target names: a strict grammar over the raw target, decoded once.

No framework routes for us: a router that decodes before it matches can be led to another
operation than the one that was signed and authorised.
Source: RFC 9112 section 3.2.1 (origin-form), RFC 3986 section 3.3, botocore service models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_MAX_TARGET_CHARACTERS = 8192
_MAX_MODEL_CHARACTERS = 2048

_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*").fullmatch
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*").fullmatch
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_EMPTY_OR_DOTS = re.compile(r"/(?:\.{0,2})(?=/|$)").search

_DATA_OPERATIONS = {
    "converse": Operation.CONVERSE,
    "converse-stream": Operation.CONVERSE_STREAM,
    "invoke": Operation.INVOKE_MODEL,
    "invoke-with-response-stream": Operation.INVOKE_MODEL_STREAM,
    "count-tokens": Operation.COUNT_TOKENS,
}
_CONTROL_OPERATIONS = {
    "inference-profiles": (
        Operation.LIST_INFERENCE_PROFILES,
        Operation.GET_INFERENCE_PROFILE,
    ),
    "foundation-models": (Operation.LIST_FOUNDATION_MODELS, Operation.GET_FOUNDATION_MODEL),
}
# Operations that Bedrock has and this gateway does not pass, so that the refusal can name them.
_REFUSED_OPERATIONS = (
    (r"/model/.+/invoke-with-bidirectional-stream", "InvokeModelWithBidirectionalStream"),
    (r"/guardrail/[^/]+/version/[^/]+/apply", "ApplyGuardrail"),
    (r"/guardrail-checks/invoke", "InvokeGuardrailChecks"),
    (r"/async-invoke(?:/.*)?", "asynchronous invocation (StartAsyncInvoke, GetAsyncInvoke, …)"),
    (r"(?:/openai)?/v1/(?:chat/completions|responses|models).*", "the OpenAI-compatible API"),
    (r"/openai(?:/.*)?", "the OpenAI-compatible API"),
    (r"/anthropic(?:/.*)?|/v1/messages.*", "the Anthropic-compatible API"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a target asks for.

    `model_text` is the id or ARN, percent-decoded exactly once; None where the operation has none.
    `query` is the raw query string, without `?`.
    """

    operation: Operation
    model_text: str | None
    query: str


def parse_target(method: str, raw_target: str) -> Route:
    """The route of a request, from its method and its target as it stood in the request line.

    Raises: GatewayError(MALFORMED_PATH) for what no client sends; UNSUPPORTED_OPERATION for an
    operation that does not pass here; METHOD_NOT_ALLOWED for one that takes another method.
    """
    path, query = _checked(raw_target)
    if path.startswith("/model/"):
        model, slash, verb = path[len("/model/") :].rpartition("/")
        operation = _DATA_OPERATIONS.get(verb)
        if operation is not None and slash:
            _expect_method(operation, method, "POST")
            return Route(operation=operation, model_text=_decoded(model), query=query)
    resource, slash, identifier = path[1:].partition("/")
    if resource in _CONTROL_OPERATIONS:
        list_all, get_one = _CONTROL_OPERATIONS[resource]
        operation = get_one if slash else list_all
        _expect_method(operation, method, "GET")
        model_text = _decoded(identifier) if slash else None
        return Route(operation=operation, model_text=model_text, query=query)
    raise _unsupported(path)


def _checked(raw_target: str) -> tuple[str, str]:
    """Path and query of a target in origin-form, each within its grammar."""
    if len(raw_target) > _MAX_TARGET_CHARACTERS:
        raise _malformed(f"it is longer than {_MAX_TARGET_CHARACTERS} characters")
    path, _, query = raw_target.partition("?")
    if not path.startswith("/"):
        raise _malformed("it must be in origin-form, beginning with '/'")
    if not _PATH(path) or not _QUERY(query) or _BROKEN_ESCAPE(raw_target):
        raise _malformed(
            "it may hold only URI characters and complete %XX escapes, and no fragment"
        )
    if path != "/" and _EMPTY_OR_DOTS(path):
        raise _malformed("it holds an empty segment, '.' or '..'")
    if "%" in path:
        _check_escapes(_unescaped(path))
    if "%" in query and _CONTROL(unquote(query, errors="replace")):
        raise _malformed("the query holds an escaped control character")
    return path, query


def _check_escapes(decoded: str) -> None:
    """What may not be in a path must not be in it in disguise."""
    if not decoded.isascii():
        raise _malformed("it holds an escaped character outside ASCII")
    if _CONTROL(decoded):
        raise _malformed("it holds an escaped control character")
    if "%" in decoded:
        raise _malformed("it is percent-encoded twice")
    if _EMPTY_OR_DOTS(decoded):
        raise _malformed("it holds an escaped empty segment, '.' or '..'")


def _decoded(model: str) -> str:
    text = _unescaped(model) if "%" in model else model
    if len(text) > _MAX_MODEL_CHARACTERS:
        raise _malformed(f"the model id is longer than {_MAX_MODEL_CHARACTERS} characters")
    return text


def _unescaped(text: str) -> str:
    """The text with each escape decoded once; what SDKs escape the fast way."""
    plain = text.replace("%3A", ":").replace("%2F", "/")
    return unquote(text, errors="replace") if "%" in plain else plain


def _expect_method(operation: Operation, method: str, expected: str) -> None:
    if method != expected:
        raise GatewayError(Reason.METHOD_NOT_ALLOWED, f"{operation} takes {expected} only.")


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.MALFORMED_PATH, f"The request target cannot be read: {what}.")


def _unsupported(path: str) -> GatewayError:
    for pattern, name in _REFUSED_OPERATIONS:
        if re.fullmatch(pattern, path):
            return GatewayError(Reason.UNSUPPORTED_OPERATION, f"This gateway does not pass {name}.")
    return GatewayError(
        Reason.UNSUPPORTED_OPERATION,
        "This path names no Bedrock operation that this gateway passes. It passes "
        f"{', '.join(Operation)}.",
    )
