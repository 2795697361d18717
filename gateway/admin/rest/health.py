"""`/health/…`: whether this process lives, can serve, and what it depends on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from aiohttp import web

from gateway.admin.asked import Asked
from gateway.admin.models.health import ComponentHealth, DeepHealth, Health, Status
from gateway.admin.route import HEAVY, About, Answer, PublicRoute, Route
from gateway.admin.services import Probe
from gateway.domain.caller import Role
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError

_PROBE_TIMEOUT_S = 1.0
_PREFIXES = ("", "/v1")


class DegradedError(Exception):
    """A probe's word that something has to be looked at, though the gateway does its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a probe found. Units: milliseconds. `detail` None: all is well."""

    name: str
    latency_ms: int
    status: Status
    detail: str | None

    @property
    def ok(self) -> bool:
        """Whether the gateway can work with it."""
        return self.status != "unavailable"


def health_routes(
    probes: Mapping[str, Probe], clock: Clock
) -> tuple[tuple[PublicRoute, ...], tuple[Route, ...]]:
    """The routes of this noun: those for load balancers, and the one for people."""

    async def live(_request: web.Request) -> web.Response:
        return _answer({"status": "ok"}, HTTPStatus.OK)

    async def ready(_request: web.Request) -> web.Response:
        findings = await find_all(probes, clock)
        failing = [finding.name for finding in findings if not finding.ok]
        if failing:
            # Names only: why it fails is for those who may see /health/deep.
            return _answer(
                {"status": "unavailable", "failing": failing}, HTTPStatus.SERVICE_UNAVAILABLE
            )
        return _answer({"status": "ok"}, HTTPStatus.OK)

    async def deep(_asked: Asked) -> Answer:
        findings = await find_all(probes, clock)
        components = {finding.name: _component(finding) for finding in findings}
        if all(finding.ok for finding in findings):
            is_well = all(finding.status == "ok" for finding in findings)
            status: Status = "ok" if is_well else "degraded"
            return Answer(document=DeepHealth(status=status, components=components))
        return Answer(
            document=DeepHealth(status="unavailable", components=components),
            status=HTTPStatus.SERVICE_UNAVAILABLE,
        )

    # Load balancers know `/health/…`; whoever reads the API's own paths finds them there too.
    public = tuple(
        PublicRoute(path=prefix + path, summary=summary, handler=handler, answer=Health)
        for prefix in _PREFIXES
        for path, summary, handler in (
            ("/health/live", "The process answers.", live),
            ("/health/ready", "It can do its work.", ready),
        )
    )
    keyed = tuple(
        Route(
            method="GET",
            path=f"{prefix}/health/deep",
            role=Role.VIEWER,
            about=About.NOBODY,
            summary="What it depends on, each with its latency and what is wrong.",
            handler=deep,
            answer=DeepHealth,
            rate=HEAVY,
            failures=(HTTPStatus.SERVICE_UNAVAILABLE,),
        )
        for prefix in _PREFIXES
    )
    return public, keyed


def _component(finding: Finding) -> ComponentHealth:
    return ComponentHealth(
        status=finding.status,
        latency_ms=finding.latency_ms,
        detail=finding.detail,
    )


async def find_all(probes: Mapping[str, Probe], clock: Clock) -> list[Finding]:
    """What every probe finds, asked at the same time. Raises nothing."""
    return list(
        await asyncio.gather(*(_find(name, probe, clock) for name, probe in probes.items()))
    )


async def _find(name: str, probe: Probe, clock: Clock) -> Finding:
    begun_s = clock.monotonic_s()
    detail: str | None = None
    status: Status = "unavailable"
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await probe()
        status = "ok"
    except DegradedError as exc:
        status, detail = "degraded", str(exc)
    except TimeoutError:
        detail = f"no answer within {_PROBE_TIMEOUT_S:g} s"
    except GatewayError as exc:
        detail = exc.detail or exc.reason.value
    except Exception as exc:  # noqa: BLE001 - whatever a probe raises is a finding, by its name only
        detail = type(exc).__name__
    latency_ms = round((clock.monotonic_s() - begun_s) * 1000)
    return Finding(name=name, latency_ms=latency_ms, status=status, detail=detail)


def _answer(document: Mapping[str, object], status: HTTPStatus) -> web.Response:
    return web.Response(
        status=int(status), body=orjson.dumps(document), content_type="application/json"
    )
