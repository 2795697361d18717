"""Forward: the admitted call, rebuilt from allow-listed parts, tagged, and sent to Bedrock once."""

from __future__ import annotations

from collections.abc import Callable

from gateway.bedrock.exchange import Headers, Upstream, UpstreamExchange, UpstreamRequest
from gateway.bedrock.headers import request_headers_for_upstream
from gateway.bedrock.model_id import upstream_path
from gateway.bedrock.rewrite import request_metadata_header, rewrite_body
from gateway.domain.attribution import (
    Attribution,
    attributed_application,
    attributed_user,
)
from gateway.domain.call import Operation
from gateway.domain.caller import Caller
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.reason import Reason
from gateway.proxy.stage_values import AdmittedCall

_METADATA_HEADER = "x-amzn-bedrock-request-metadata"
_TAGGED_BY_HEADER = frozenset({Operation.INVOKE_MODEL, Operation.INVOKE_MODEL_STREAM})


class Forward:
    """The stage that spends: nothing gets here without an `AdmittedCall`."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def __call__(
        self, admitted: AdmittedCall, sending: Callable[[], None]
    ) -> UpstreamExchange:
        """Bedrock's answer, its head arrived.

        `sending` is called once the request is complete, before it may leave this process.
        Raises: GatewayError(MALFORMED_HEADER | OUTPUT_LIMIT_UNKNOWN) before `sending`, for a call
        that cannot be passed on; after it, as `Upstream.send`.
        """
        request = upstream_request(admitted)
        sending()
        return await self._upstream.send(request)


def upstream_request(admitted: AdmittedCall) -> UpstreamRequest:
    """The call as Bedrock gets it: same meaning, our limit on the output, our tags."""
    call, identified = admitted.call, admitted.identified
    quote = admitted.admitted.context.quote
    operation = call.operation
    tags = caller_tags(call.request_id, identified.authenticated.caller, identified.attribution)
    body = rewrite_body(
        operation,
        identified.model.family,
        call.body,
        max_output_tokens=quote.max_output_tokens if quote.inject_max_tokens else None,
        request_metadata=tags if operation.is_converse else None,
    )
    headers = request_headers_for_upstream(call.headers, operation)
    if operation in _TAGGED_BY_HEADER:
        headers = [*headers, (_METADATA_HEADER, request_metadata_header(tags))]
    return UpstreamRequest(
        operation=operation,
        region=identified.authenticated.region,
        method=call.method,
        path=upstream_path(operation, identified.model.reference.text),
        query="",
        headers=_typed(headers),
        body=body,
    )


def caller_tags(request_id: RequestId, caller: Caller, attribution: Attribution) -> dict[str, str]:
    """Who it was, for AWS's invocation logs (PX-5). The caller cannot choose these keys."""
    tags = {
        "gateway-request-id": str(request_id),
        "gateway-key": str(caller.key_id),
        "gateway-org": caller.org,
        "gateway-team": caller.team,
        "gateway-user": attributed_user(caller, attribution),
        "gateway-application": attributed_application(caller, attribution),
    }
    return {name: value for name, value in tags.items() if value is not None}


def _typed(headers: list[tuple[str, str]]) -> Headers:
    """Stock clients may leave out Content-Type (boto3's InvokeModel does); the body is JSON.

    Raises: GatewayError(MALFORMED_HEADER) for bytes that no header of Bedrock has.
    """
    for name, value in headers:
        if not value.isascii():
            raise GatewayError(Reason.MALFORMED_HEADER, f"{name} holds bytes that are not ASCII")
    if any(name.lower() == "content-type" for name, _ in headers):
        return tuple(headers)
    return (*headers, ("content-type", "application/json"))
