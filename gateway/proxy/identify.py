"""Identify: which catalogued model stands behind the id or ARN, and what does the body ask?"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.bedrock.exchange import Upstream, UpstreamRequest
from gateway.bedrock.model_id import parse_reference, upstream_path
from gateway.bedrock.request_body import read_facts
from gateway.domain.call import Operation
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.model import IdentifiedModel, ModelReference, ReferenceKind, RegionScope
from gateway.domain.reason import Reason
from gateway.pricing.catalogue import ModelCatalogue
from gateway.proxy.attribute import attribute
from gateway.proxy.stage_values import AuthenticatedCall, IdentifiedCall

_REMEMBERED_PROFILES = 4096
_FORGET_FAILURE_AFTER_S = 60.0
_LARGEST_PROFILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolved:
    """What GetInferenceProfile said. `base` None: it could not be learnt, until `until_s`."""

    base: ModelReference | None
    scope: RegionScope
    until_s: float | None


class Profiles:
    """Learns once which model an application inference profile stands for.

    A profile's models never change, so an answer is kept; a failure is kept for a minute, so that
    a caller cannot make the gateway ask AWS again and again. Source: GetInferenceProfile.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Resolved] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Resolved]] = {}

    async def resolve(self, reference: ModelReference, region: str) -> _Resolved:
        """The model behind the profile, asked for once however many calls wait for it."""
        key = (region, reference.text)
        known = self._known.get(key)
        if known and (known.until_s is None or self._clock.monotonic_s() < known.until_s):
            self._known.move_to_end(key)
            return known
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, reference, region))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[str, str], reference: ModelReference, region: str) -> _Resolved:
        try:
            resolved = _read_profile(await self._fetch(reference, region))
        except (GatewayError, ValueError, KeyError, TypeError):
            resolved = None
        if resolved is None:
            until_s = self._clock.monotonic_s() + _FORGET_FAILURE_AFTER_S
            resolved = _Resolved(base=None, scope=RegionScope.IN_REGION, until_s=until_s)
        self._known[key] = resolved
        while len(self._known) > _REMEMBERED_PROFILES:
            self._known.popitem(last=False)
        return resolved

    async def _fetch(self, reference: ModelReference, region: str) -> Any:
        operation = Operation.GET_INFERENCE_PROFILE
        exchange = await self._upstream.send(
            UpstreamRequest(
                operation=operation,
                region=region,
                method="GET",
                path=upstream_path(operation, reference.text),
                query="",
                headers=(("accept", "application/json"),),
                body=b"",
            )
        )
        try:
            if exchange.status != 200:  # noqa: PLR2004 - an HTTP status is its own name
                return None
            body = b""
            async for chunk in exchange.chunks(idle_timeout_s=10):
                body += chunk
                if len(body) > _LARGEST_PROFILE_BYTES:
                    return None
            return orjson.loads(body)
        finally:
            await exchange.close()


def _read_profile(document: Any) -> _Resolved | None:
    """The base model, and the scope: one region, several (geo), or none named (global)."""
    if not isinstance(document, dict):
        return None
    references = [parse_reference(entry["modelArn"]) for entry in document["models"]]
    base = next((each for each in references if each.base_id is not None), None)
    if base is None:
        return None
    regions = {each.region for each in references}
    if None in regions or "" in regions:
        scope = RegionScope.GLOBAL
    else:
        scope = RegionScope.GEO if len(regions) > 1 else RegionScope.IN_REGION
    return _Resolved(base=base, scope=scope, until_s=None)


class Identify:
    """The third stage: the catalogue first, AWS only for profiles it alone knows."""

    def __init__(self, catalogue: ModelCatalogue, profiles: Profiles) -> None:
        self._catalogue = catalogue
        self._profiles = profiles

    async def __call__(self, authenticated: AuthenticatedCall) -> IdentifiedCall:
        """The call with its model and facts.

        Raises: GatewayError(MALFORMED_PATH | MALFORMED_BODY | MALFORMED_HEADER |
        END_USER_NOT_ALLOWED).
        """
        call = authenticated.call
        if call.route.model_text is None:
            raise GatewayError(Reason.MALFORMED_PATH, "the path names no model")
        model = await self.model(call.route.model_text, authenticated.region)
        facts = read_facts(call.operation, model.family, call.headers, call.body)
        return IdentifiedCall(
            authenticated=authenticated,
            model=model,
            facts=facts,
            attribution=attribute(authenticated, dict(facts.request_metadata)),
        )

    async def model(self, text: str, region: str) -> IdentifiedModel:
        """The model that an id or ARN stands for. Raises: GatewayError(MALFORMED_PATH)."""
        reference = parse_reference(text)
        identified = self._catalogue.identify(reference)
        if reference.kind is not ReferenceKind.APPLICATION_PROFILE:
            return identified
        resolved = await self._profiles.resolve(reference, region)
        if resolved.base is None:
            return identified
        behind = self._catalogue.identify(resolved.base)
        return replace(
            behind,
            reference=replace(reference, base_id=resolved.base.base_id),
            region_scope=resolved.scope,
        )
