"""`/metrics`: what the probes find, for Prometheus. Names and numbers only, so it needs no key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiohttp import web

from gateway.admin.rest.health import Finding, find_all
from gateway.admin.route import PublicRoute
from gateway.admin.services import CurrentBundle, Probe
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Source: Prometheus text exposition format 0.0.4."""

_PREFIX = "bedrock_gateway"


def metrics_route(probes: Mapping[str, Probe], current: CurrentBundle, clock: Clock) -> PublicRoute:
    """The route. A scrape asks each dependency once, within the time that health checks have.

    `policy` is degraded while a folder is broken, or waits for confirmation; the last good edition
    then stays in force, which `bedrock_gateway_rules_edition` shows.
    """

    async def scrape(_request: web.Request) -> web.Response:
        findings = await find_all(probes, clock)
        text = "\n".join((*_lines(findings), *(await _edition(current)))) + "\n"
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    return PublicRoute(
        path="/metrics",
        summary="What it depends on, as Prometheus reads it.",
        handler=scrape,
        media_type="text/plain",
    )


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    gauges = (
        ("component_up", "1 if the gateway can work with it.", lambda f: int(f.ok)),
        (
            "component_degraded",
            "1 if it has to be looked at, though the gateway does its work.",
            lambda f: int(f.status == "degraded"),
        ),
        ("component_latency_seconds", "How long its answer took.", lambda f: f.latency_ms / 1000),
    )
    for name, says, value in gauges:
        yield from _header(name, says)
        for finding in findings:
            yield f'{_PREFIX}_{name}{{component="{finding.name}"}} {value(finding)}'


async def _edition(current: CurrentBundle) -> Sequence[str]:
    """The edition in force; nothing where it cannot be known now."""
    try:
        bundle = await current()
    except GatewayError:
        return ()
    if bundle is None:
        return ()
    header = _header("rules_edition", "The edition of the policies that is in force.")
    return (*header, f"{_PREFIX}_rules_edition {bundle.edition}")


def _header(name: str, says: str) -> tuple[str, str]:
    return (f"# HELP {_PREFIX}_{name} {says}", f"# TYPE {_PREFIX}_{name} gauge")
