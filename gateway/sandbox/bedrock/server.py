"""The simulated Bedrock as a server: runtime and control plane on one port of the loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from gateway.sandbox.bedrock import control_plane
from gateway.sandbox.bedrock.answer import Call, answer
from gateway.sandbox.bedrock.behaviour import Behaviour, behaviour_of
from gateway.sandbox.bedrock.bill import Bill
from gateway.sandbox.bedrock.credentials import AcceptedCredentials, check_credentials
from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.models import target_of

_RUNTIME = re.compile(
    r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)"
)
_OPERATIONS = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
    "count-tokens": "CountTokens",
}
_MAX_BODY_BYTES = 30 * 1024 * 1024
_SHUTDOWN_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBedrock:
    """A running one: its address, the credentials it accepts, and its bill."""

    url: str
    credentials: AcceptedCredentials
    bill: Bill
    requests: list[SeenRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """A request as it came in. Kept of the last thousand, for tests of what the gateway sends."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)


class BedrockSimulator:
    """Answers every request that reaches it. State: the bill, and who was refused how often."""

    def __init__(self, credentials: AcceptedCredentials) -> None:
        self.bill = Bill()
        self.requests: list[SeenRequest] = []
        self._credentials = credentials
        self._refusals: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        """The aiohttp application. One handler: paths are read raw, as AWS does."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{tail:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path, _, query = request.raw_path.partition("?")
        if path.startswith("/_sim/"):
            return self._simulator_route(request.method, path)
        self._remember(request, body)
        request_id = str(uuid.UUID(int=next(self._numbers)))
        try:
            check_credentials(
                self._credentials,
                method=request.method,
                url=f"http://{request.headers.get('Host', '')}{request.raw_path}",
                headers=list(request.headers.items()),
                body=body,
            )
            if request.method == "GET":
                response: web.StreamResponse = _json(_read_control_plane(path, query))
                self.bill.count_unbilled("control plane")
            else:
                response = await self._run(request, request_id, path, body)
        except SimulatedError as error:
            self.bill.count_unbilled(error.kind)
            response = error.response()
        except ConnectionError:
            # The reader is gone; the bill has it. There is nobody left to answer.
            return web.Response()
        if not response.prepared:
            response.headers["x-amzn-RequestId"] = request_id
        return response

    async def _run(
        self, request: web.Request, request_id: str, path: str, body: bytes
    ) -> web.StreamResponse:
        route = _RUNTIME.fullmatch(path)
        if route is None or request.method != "POST":
            raise SimulatedError("ResourceNotFoundException", "No such operation.")
        model_text = unquote(route.group(1))
        target = target_of(model_text)
        behaviour = behaviour_of(body)
        call = Call(
            operation=_OPERATIONS[route.group(2)],
            request_id=request_id,
            model_text=model_text,
            target=target,
            body=_parsed(body),
            tag=_tag(request, body),
            behaviour=behaviour,
        )
        if behaviour.delay_ms:
            await asyncio.sleep(behaviour.delay_ms / 1000)
        if self._is_refused(behaviour):
            raise SimulatedError(behaviour.error or "")
        if behaviour.raw is not None:
            return await _misbehave(request, behaviour.raw)
        return await answer(request, call, self.bill)

    def _is_refused(self, behaviour: Behaviour) -> bool:
        if behaviour.error is None:
            return False
        if behaviour.times is None:
            return True
        count = self._refusals.get(behaviour.key, 0)
        self._refusals[behaviour.key] = count + 1
        return count < behaviour.times

    def _remember(self, request: web.Request, body: bytes) -> None:
        del self.requests[:-999]
        self.requests.append(
            SeenRequest(
                method=request.method,
                target=request.raw_path,
                headers=tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.raw_headers
                ),
                body=body,
            )
        )

    def _simulator_route(self, method: str, path: str) -> web.Response:
        if (method, path) == ("GET", "/_sim/bill"):
            return _json(self.bill.to_json())
        if (method, path) == ("POST", "/_sim/reset"):
            self.bill.reset()
            self.requests.clear()
            self._refusals.clear()
            return _json({})
        return web.Response(status=404)


@asynccontextmanager
async def start_simulated_bedrock(
    *, credentials: AcceptedCredentials | None = None, port: int = 0
) -> AsyncIterator[SimulatedBedrock]:
    """A simulated Bedrock in this process, for as long as the context lives.

    Both endpoints of AWS (`bedrock-runtime` and `bedrock`) are its `url`: paths do not collide.
    """
    accepted = credentials or AcceptedCredentials()
    simulator = BedrockSimulator(accepted)
    # SigV4 covers the bytes on the wire, so they must not be unpacked on the way in.
    runner = web.AppRunner(
        simulator.application(),
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound_port = runner.addresses[0][1]
        yield SimulatedBedrock(
            url=f"http://127.0.0.1:{bound_port}",
            credentials=accepted,
            bill=simulator.bill,
            requests=simulator.requests,
        )
    finally:
        await runner.cleanup()


def _read_control_plane(path: str, query: str) -> dict[str, Any]:
    section, _, name = path.strip("/").partition("/")
    match section, bool(name):
        case "inference-profiles", False:
            return control_plane.inference_profiles(query)
        case "inference-profiles", True:
            return control_plane.inference_profile(unquote(name))
        case "foundation-models", False:
            return control_plane.foundation_models(query)
        case "foundation-models", True:
            return control_plane.foundation_model(unquote(name))
    raise SimulatedError("ResourceNotFoundException", "No such operation.")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        raise SimulatedError("ValidationException", "The body is no JSON.") from None
    if not isinstance(parsed, dict):
        raise SimulatedError("ValidationException", "The body is no JSON object.")
    return parsed


def _tag(request: web.Request, body: bytes) -> dict[str, str]:
    """What the caller of AWS tagged the call with: header (InvokeModel) or body (Converse)."""
    header = request.headers.get("X-Amzn-Bedrock-Request-Metadata")
    stated = json.loads(header) if header else _parsed(body).get("requestMetadata", {})
    return {str(name): str(value) for name, value in stated.items()}


async def _misbehave(request: web.Request, how: str) -> web.StreamResponse:
    match how:
        case "hang":
            # Ends when the other side has had enough: the server cancels or closes it.
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - aiohttp tells of a lost peer by this only
                await asyncio.sleep(0.05)
            return web.Response(status=500)
        case "redirect":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})
        case "html":
            return web.Response(status=502, text="<html>bad gateway</html>")
        case "garbage":
            if request.transport is not None:
                request.transport.write(b"\x00\x01 this is no HTTP\r\n\r\n")
                request.transport.close()
            return web.Response(status=500)
    raise SimulatedError("ValidationException", f"the simulator knows no raw={how}")


def _json(value: dict[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")
