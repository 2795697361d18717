"""Errors as Bedrock sends them. Source: botocore service model, and recorded exchanges."""

from __future__ import annotations

import json

from aiohttp import web

STATUS = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "ConflictException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
    "MissingAuthenticationTokenException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "BadGatewayException": 502,
    "ServiceUnavailableException": 503,
    "GatewayTimeoutException": 504,
}
_MESSAGES = {
    "ThrottlingException": "Too many tokens, please wait before trying again.",
    "ServiceUnavailableException": "Bedrock is unable to process your request.",
    "InternalServerException": "The system encountered an unexpected error during processing.",
    "ModelTimeoutException": "Model has timed out in processing the request.",
    "AccessDeniedException": "You don't have access to the model with the specified model ID.",
}


class SimulatedError(Exception):
    """The call fails as AWS would let it fail: an error type and a message. It is not billed."""

    def __init__(self, kind: str, message: str = "") -> None:
        self.kind = kind if kind in STATUS else "ValidationException"
        self.message = message or _MESSAGES.get(kind, f"{kind} by request of the prompt")
        super().__init__(f"{self.kind}: {self.message}")

    def response(self) -> web.Response:
        """The answer on the wire: type in a header, message in a JSON body."""
        body: dict[str, object] = {"message": self.message}
        if self.kind == "ModelErrorException":
            body |= {"originalStatusCode": 500, "resourceName": "simulated"}
        return web.Response(
            status=STATUS[self.kind],
            body=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "x-amzn-ErrorType": f"{self.kind}:http://internal.amazon.com/coral/com.amazon.bedrock/",
            },
        )
