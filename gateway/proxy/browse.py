"""Browse: the read-only control-plane calls clients make at start, shown as far as they may see.

Claude Code lists inference profiles, langchain-aws looks one up; neither costs anything, so nothing
is held. What a caller may not call, it does not see (PX-9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from gateway.bedrock.exchange import Headers, Upstream, UpstreamExchange, UpstreamRequest
from gateway.bedrock.headers import request_headers_for_upstream, response_headers_for_caller
from gateway.bedrock.model_id import upstream_path
from gateway.domain.call import Operation
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.policy.effective import EffectivePolicy, effective_policy
from gateway.proxy.admit import Rules
from gateway.proxy.identify import Identify
from gateway.proxy.stage_values import AuthenticatedCall

_OK = 200
_LARGEST_ANSWER_BYTES = 8 << 20
_LISTS = {
    Operation.LIST_INFERENCE_PROFILES: ("inferenceProfileSummaries", "inferenceProfileArn"),
    Operation.LIST_FOUNDATION_MODELS: ("modelSummaries", "modelArn"),
}


class Browse:
    """Answers a control-plane read through the same endpoint."""

    def __init__(self, rules: Callable[[], Rules], identify: Identify, upstream: Upstream) -> None:
        self._rules = rules
        self._identify = identify
        self._upstream = upstream

    async def __call__(
        self, authenticated: AuthenticatedCall, gateway_headers: Headers
    ) -> web.Response:
        """Bedrock's answer, without what the caller's policy does not allow.

        Raises: GatewayError; MODEL_NOT_ALLOWED where a single profile or model is hidden.
        """
        call = authenticated.call
        rules = self._rules()
        policy = effective_policy(rules.policies, authenticated.caller)
        if call.route.model_text is not None and not await self._may_see(
            call.route.model_text, authenticated, policy, rules
        ):
            raise GatewayError(
                Reason.MODEL_NOT_ALLOWED, "the policy does not let this caller use that model"
            )
        exchange = await self._upstream.send(
            UpstreamRequest(
                operation=call.operation,
                region=authenticated.region,
                method=call.method,
                path=upstream_path(call.operation, call.route.model_text or ""),
                query=call.raw_query,
                headers=tuple(request_headers_for_upstream(call.headers, call.operation)),
                body=b"",
            )
        )
        try:
            body = await _whole(exchange)
        finally:
            await exchange.close()
        if exchange.status == _OK and call.operation in _LISTS:
            body = await self._filtered(body, authenticated, policy, rules)
        response = web.Response(status=exchange.status, body=body)
        for name, value in (*response_headers_for_caller(exchange.headers), *gateway_headers):
            if name.lower() != "content-length":
                response.headers.add(name, value)
        return response

    async def _filtered(
        self,
        body: bytes,
        authenticated: AuthenticatedCall,
        policy: EffectivePolicy,
        rules: Rules,
    ) -> bytes:
        list_key, arn_key = _LISTS[authenticated.call.operation]
        try:
            document: Any = orjson.loads(body)
            entries = document[list_key]
            visible = [
                entry
                for entry in entries
                if await self._may_see(_name(entry, arn_key), authenticated, policy, rules)
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise GatewayError(
                Reason.UPSTREAM_INVALID,
                "the control plane's list could not be read",
                fault=Fault.UPSTREAM,
            ) from exc
        return orjson.dumps({**document, list_key: visible})

    async def _may_see(
        self, text: str, authenticated: AuthenticatedCall, policy: EffectivePolicy, rules: Rules
    ) -> bool:
        try:
            model = await self._identify.model(text, authenticated.region)
        except GatewayError:
            return False
        return any(
            policy.refusal(model, operation, rules.home_accounts) is None
            for operation in Operation
            if operation.is_billed
        )


def _name(entry: Any, arn_key: str) -> str:
    """What callers call it by: AWS's own profiles by their id, for their ARN names some account."""
    is_of_aws = entry.get("type") == "SYSTEM_DEFINED"
    name: str = entry["inferenceProfileId" if is_of_aws else arn_key]
    return name


async def _whole(exchange: UpstreamExchange) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in exchange.chunks(idle_timeout_s=30):
        size += len(chunk)
        if size > _LARGEST_ANSWER_BYTES:
            raise GatewayError(
                Reason.UPSTREAM_INVALID,
                "the control plane's answer is too large",
                fault=Fault.UPSTREAM,
            )
        chunks.append(chunk)
    return b"".join(chunks)
