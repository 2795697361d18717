"""The values between the stages, made without the stages."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from gateway.admission.settlement import Admitted, CallContext
from gateway.bedrock.model_id import parse_reference
from gateway.bedrock.request_body import read_facts
from gateway.bedrock.routes import parse_target
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId, ModelId, PolicyVersion, RequestId
from gateway.domain.model import CatalogueModel, Family, Lifecycle
from gateway.domain.quote import ContextBand, PriceRow, PriceSheet, Quote, TokenRates
from gateway.domain.reservation import Utilisation
from gateway.domain.tokens import Unit
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.price_book import Ceiling, Fallbacks, PriceBook, PriceEntry
from gateway.proxy.stage_values import (
    AdmittedCall,
    AuthenticatedCall,
    BedrockCall,
    IdentifiedCall,
)
from tests.fakes.clock import NOON

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
HAIKU_PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0"
HOLD = 1_000_000
ADA = Caller(
    key_id=KeyId("AKIAADA"),
    credential=CredentialKind.BEARER_KEY,
    role=Role.CALLER,
    org="acme",
    team="web",
    user="ada",
)


def rates(input_usd: str = "0.25", output_usd: str = "1.25") -> TokenRates:
    price = Decimal(input_usd)
    return TokenRates(
        input=price,
        output=Decimal(output_usd),
        cache_read=price / 10,
        cache_write_5m=price * 5 / 4,
        cache_write_1h=price * 2,
    )


def price_row(name: str = "haiku", **prices: str) -> PriceRow:
    return PriceRow(id=name, bands=(ContextBand(above_input_tokens=0, rates=rates(**prices)),))


SHEET = PriceSheet(rows=(("default", price_row()),))


def price_book() -> PriceBook:
    """Haiku's price, and a ceiling for everything else."""
    dear = replace(
        price_row("ceiling", input_usd="75", output_usd="300"),
        unit_prices=tuple((unit, Decimal(2)) for unit in Unit),
    )
    entry = PriceEntry(
        model=ModelId(HAIKU),
        tier="default",
        scope=None,
        regions=(),
        since=None,
        row=price_row(),
        source="test",
        seen=None,
        line=1,
    )
    one = Decimal(1)
    return PriceBook(
        entries={ModelId(HAIKU): (entry,)},
        ceiling=Ceiling(row=dear, max_output_tokens=128_000, context_window=1_000_000),
        fallbacks=Fallbacks(
            cache_read=one, cache_write_5m=one, cache_write_1h=one, tiers=(("priority", one),)
        ),
    )


def catalogue_model(model_id: str = HAIKU, **changes: Any) -> CatalogueModel:
    values: dict[str, Any] = {
        "id": ModelId(model_id),
        "family": Family.ANTHROPIC,
        "name": "Claude 3 Haiku",
        "provider": "Anthropic",
        "context_window": 200_000,
        "max_output_tokens": 4096,
        "max_output_source": "test",
        "capabilities": frozenset(),
        "lifecycle": Lifecycle.ACTIVE,
    }
    return CatalogueModel(**{**values, **changes})


def catalogue(*models: CatalogueModel) -> ModelCatalogue:
    return ModelCatalogue(models or (catalogue_model(),))


def converse_body(text: str = "Hi", **more: Any) -> bytes:
    return json.dumps(
        {"messages": [{"role": "user", "content": [{"text": text}]}], **more}
    ).encode()


def bedrock_call(
    operation: str = "converse",
    *,
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),),
    path: str | None = None,
    method: str = "POST",
    query: str = "",
) -> BedrockCall:
    raw_path = path or f"{HAIKU_PATH}/{operation}"
    sent = converse_body() if body is None else body
    target = raw_path + (f"?{query}" if query else "")
    return BedrockCall(
        request_id=RequestId("req-1"),
        method=method,
        raw_path=raw_path,
        raw_query=query,
        host="gateway.test",
        headers=headers,
        user_agent=None,
        route=parse_target(method, target),
        body=sent,
        body_sha256=hashlib.sha256(sent).hexdigest(),
        received_s=1000.0,
    )


def authenticated_call(caller: Caller = ADA, region: str = "us-east-1", **call: Any):
    return AuthenticatedCall(
        call=bedrock_call(**call), caller=caller, region=region, signed_headers=None
    )


def identified_call(model: CatalogueModel | None = None, **call: Any) -> IdentifiedCall:
    authenticated = authenticated_call(**call)
    route = authenticated.call.route
    found = catalogue(*([model] if model else [])).identify(parse_reference(route.model_text))
    facts = read_facts(
        route.operation, found.family, authenticated.call.headers, authenticated.call.body
    )
    return IdentifiedCall(authenticated=authenticated, model=found, facts=facts)


def quote_of(hold: int = HOLD, **changes: Any) -> Quote:
    values: dict[str, Any] = {
        "hold_nano_usd": hold,
        "input_tokens_bound": 100,
        "output_tokens_bound": 4096,
        "expected_tokens": 60,
        "max_output_tokens": 4096,
        "inject_max_tokens": True,
        "sheet": SHEET,
    }
    return Quote(**{**values, **changes})


def call_context(identified: IdentifiedCall | None = None, **quote: Any) -> CallContext:
    identified = identified or identified_call()
    return CallContext(
        request_id=identified.call.request_id,
        caller=identified.authenticated.caller,
        operation=identified.call.operation,
        model=identified.model,
        region=identified.authenticated.region,
        facts=identified.facts,
        quote=quote_of(**quote),
        policy_version=PolicyVersion("p1"),
    )


def admitted(
    context: CallContext | None = None, *, utilisation: tuple[Utilisation, ...] = ()
) -> Admitted:
    context = context or call_context()
    return Admitted(
        context=context,
        hold_nano_usd=context.quote.hold_nano_usd,
        at_ms=round(NOON.timestamp() * 1000),
        accounts=("usd:org/acme:month:UTC:2026-11",),
        utilisation=utilisation,
    )


def admitted_call(
    identified: IdentifiedCall | None = None,
    *,
    quote: dict[str, Any] | None = None,
    utilisation: tuple[Utilisation, ...] = (),
    **call: Any,
) -> AdmittedCall:
    """A call whose hold is said to stand: ready to be forwarded."""
    identified = identified or identified_call(**call)
    return AdmittedCall(
        identified=identified,
        admitted=admitted(call_context(identified, **(quote or {})), utilisation=utilisation),
        admitted_at=NOON,
    )
