"""What a JSON answer (a body, or the JSON inside an event) states about its own consumption.

Everything is recognised by its keys, so that models nobody has listed are read as well; only the
top level and the few places where Bedrock or a model family puts its figures are looked at, never
the generated text or what a tool returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from gateway.bedrock.answer_facts import AnswerFacts, AnswerKind, Units
from gateway.bedrock.token_statement import (
    SILENT,
    TokenStatement,
    count_of,
    statement_of,
    statement_of_headers,
)
from gateway.domain.tokens import ServiceTier, Unit

INVOCATION_METRICS: Final = "amazon-bedrock-invocationMetrics"

_GUARDRAIL_ACTION: Final = "amazon-bedrock-guardrailAction"
_INVOKE_TRACE: Final = "amazon-bedrock-trace"
_GUARDRAIL_STOP: Final = "guardrail_intervened"
_FREE_GUARDRAIL_UNITS: Final = frozenset({"wordPolicyUnits", "sensitiveInformationPolicyFreeUnits"})
_TEXT_UNITS_SUFFIX: Final = "PolicyUnits"  # not …PolicyImageUnits, which are no text units
_MAX_TRACE_DEPTH: Final = 6
_TIER_HEADER: Final = "x-amzn-bedrock-service-tier"
_LATENCY_HEADER: Final = "x-amzn-bedrock-performanceconfig-latency"
_USAGE_INSIDE: Final = frozenset(
    {
        "message",  # Anthropic message_start
        "metadata",  # Nova's last event
        "response",  # OpenAI response.completed, Cohere stream-end
        "meta",  # Cohere
    }
)
_STOP_KEYS: Final = frozenset(
    {"stop_reason", "stopReason", "finish_reason", "completionReason", "finishReason"}
)
_STOPS_INSIDE: Final = frozenset(
    {
        "delta",  # Anthropic message_delta
        "message",
        "messageStop",  # Nova
        "choices",  # OpenAI
        "results",  # Titan
        "generations",  # Cohere
        "outputs",  # Mistral
        "completions",  # AI21 J2
        "artifacts",  # Stability
    }
)
_NOT_TOKENS: Final = frozenset(
    {"embedding", "embeddings", "embeddingsByType", "images", "artifacts", "results", "data"}
)


def facts_of_headers(headers: Sequence[tuple[str, str]]) -> AnswerFacts:
    """What the headers state: tokens (InvokeModel only), tier, latency."""
    tier = latency = None
    for name, value in headers:
        lower = name.lower()
        if lower == _TIER_HEADER:
            tier = value.strip()
        elif lower == _LATENCY_HEADER:
            latency = value.strip()
    return AnswerFacts(
        tokens=statement_of_headers(headers),
        service_tier=_tier(tier),
        latency_optimized=_is_optimized(latency),
    )


def facts_of_converse(document: Mapping[str, Any], *, is_inclusive: bool = False) -> AnswerFacts:
    """What a Converse body, or an event of ConverseStream, states."""
    trace = _object(document.get("trace"))
    usage = document.get("usage")
    tokens = SILENT
    if isinstance(usage, dict):
        tokens = statement_of(usage, is_inclusive=is_inclusive)
    stop_reason = _text(document.get("stopReason"))
    return AnswerFacts(
        tokens=tokens,
        units=_guardrail_units(trace),
        service_tier=_tier(_object(document.get("serviceTier")).get("type")),
        latency_optimized=_is_optimized(_object(document.get("performanceConfig")).get("latency")),
        model_invoked=_text(_object(trace.get("promptRouter")).get("invokedModelId")),
        stop_reason=stop_reason,
        guardrail_intervened=stop_reason == _GUARDRAIL_STOP,
        shows_model_output=_shows_model_output(trace),
        is_last=tokens.states_usage,
    )


def facts_of_model_json(document: Mapping[str, Any]) -> AnswerFacts:
    """What the JSON of InvokeModel states, a whole body or one chunk of its stream."""
    tokens = _model_tokens(document)
    stop_reason = _stop_reason(document)
    # A count that comes together with a reason to stop, or in an event of its own, is final.
    is_last = not tokens.is_silent and (
        stop_reason is not None or "metadata" in document or document.get("choices") == []
    )
    metrics = document.get(INVOCATION_METRICS)
    if isinstance(metrics, dict):
        tokens = tokens.merged(statement_of(metrics))
        is_last = True
    trace = _object(document.get(_INVOKE_TRACE))
    return AnswerFacts(
        tokens=tokens,
        units=_guardrail_units(trace) + _images(document),
        service_tier=_tier(document.get("service_tier")),
        stop_reason=stop_reason,
        kind=_kind(document),
        guardrail_intervened="INTERVENED" in (_text(document.get(_GUARDRAIL_ACTION)) or ""),
        shows_model_output=_shows_model_output(trace),
        is_last=is_last,
    )


def _model_tokens(document: Mapping[str, Any]) -> TokenStatement:
    tokens = statement_of(document)
    usage = document.get("usage")
    if isinstance(usage, dict):
        tokens = tokens.merged(statement_of(usage))
    for name in document.keys() & _USAGE_INSIDE:
        place = _object(document[name])
        # Cohere's last event keeps its `meta` one level deeper than its body does.
        tokens = tokens.merged(_tokens_in(place)).merged(_tokens_in(_object(place.get("meta"))))
    results = document.get("results")
    if isinstance(results, list):  # Titan text: one count for each result
        counts = [count_of(_object(result).get("tokenCount")) for result in results]
        if counts and None not in counts:
            tokens = tokens.merged(TokenStatement(output=sum(count or 0 for count in counts)))
    return _token_lists(document) if tokens.is_silent else tokens


def _tokens_in(place: Mapping[str, Any]) -> TokenStatement:
    tokens = SILENT
    for usage in (place.get("usage"), place.get("billed_units"), place.get(INVOCATION_METRICS)):
        if isinstance(usage, dict):
            tokens = tokens.merged(statement_of(usage))
    return tokens


def _token_lists(document: Mapping[str, Any]) -> TokenStatement:
    """AI21's J2 does not count its tokens, it lists them."""
    prompt, completions = document.get("prompt"), document.get("completions")
    if not isinstance(prompt, dict) or not isinstance(completions, list):
        return SILENT
    lists = [_object(_object(each).get("data")).get("tokens") for each in completions]
    if not isinstance(prompt.get("tokens"), list) or not all(isinstance(x, list) for x in lists):
        return SILENT
    return TokenStatement(input=len(prompt["tokens"]), output=sum(len(x or ()) for x in lists))


def _kind(document: Mapping[str, Any]) -> AnswerKind:
    """What the answer consists of, by its form."""
    if _NOT_TOKENS.isdisjoint(document):
        return AnswerKind.TOKENS
    if any(key in document for key in ("embedding", "embeddings", "embeddingsByType")):
        return AnswerKind.EMBEDDING
    if isinstance(document.get("images"), list) or isinstance(document.get("artifacts"), list):
        return AnswerKind.UNITS
    ranking = _object(_first_of(document.get("results")))
    vector = _object(_first_of(document.get("data")))  # TwelveLabs: charged by what was sent
    if "relevance_score" in ranking or "embedding" in vector:
        return AnswerKind.UNITS
    return AnswerKind.TOKENS


def _images(document: Mapping[str, Any]) -> Units:
    """The images that were made (Titan, Nova Canvas, Stability)."""
    images = document.get("images")
    if images is None and isinstance(document.get("artifacts"), list):
        images = [_object(artifact).get("base64") for artifact in document["artifacts"]]
    if not isinstance(images, list) or any(isinstance(image, dict) for image in images):
        return ()  # Cohere describes the images it has read under the same name
    made = sum(1 for image in images if isinstance(image, str) and image)
    return ((Unit.IMAGE, Decimal(made)),)


def _stop_reason(document: Mapping[str, Any]) -> str | None:
    """Why the model stopped, in its family's own words; of several answers, the first's."""
    reason = _reason_in(document)
    for place in document.keys() & _STOPS_INSIDE:
        reason = reason or _reason_in(_object(_first_of(document[place])))
    return reason


def _reason_in(place: Mapping[str, Any]) -> str | None:
    for key in place.keys() & _STOP_KEYS:
        reason = place[key]
        if isinstance(reason, dict):  # AI21 J2
            reason = reason.get("reason")
        if isinstance(reason, str):
            return reason
    return None


def _first_of(value: object) -> object:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _guardrail_units(trace: Mapping[str, Any]) -> Units:
    """Text units of all assessments that are charged for, as far as the trace shows them."""
    guardrail = trace.get("guardrail")
    if not isinstance(guardrail, dict):
        return ()
    units = _text_units_below(guardrail, _MAX_TRACE_DEPTH)
    return ((Unit.GUARDRAIL_TEXT_UNIT, Decimal(units)),) if units else ()


def _text_units_below(node: Any, depth: int) -> int:
    if depth == 0:
        return 0
    if isinstance(node, list):
        return sum(_text_units_below(item, depth - 1) for item in node)
    if not isinstance(node, dict):
        return 0
    metrics = node.get("invocationMetrics")
    if isinstance(metrics, dict):
        usage = _object(metrics.get("usage"))
        return sum(
            count_of(units) or 0
            for name, units in usage.items()
            if name.endswith(_TEXT_UNITS_SUFFIX) and name not in _FREE_GUARDRAIL_UNITS
        )
    return sum(_text_units_below(item, depth - 1) for item in node.values())


def _shows_model_output(trace: Mapping[str, Any]) -> bool:
    return bool(_object(trace.get("guardrail")).get("modelOutput"))


def _tier(value: object) -> ServiceTier | None:
    try:
        return ServiceTier(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_optimized(value: object) -> bool | None:
    return value == "optimized" if isinstance(value, str) else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
