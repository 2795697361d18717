"""One host's gateway: the supervisor and its children, on one pair of addresses."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.system import SystemClock
from gateway.admission.control_ports import ControlReading
from gateway.compose.control import open_control_watch
from gateway.compose.shutdown import EndingTimes
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.supervisor import ChildSpec, Supervisor

_READY_WITHIN_S = 60.0


class NotReadyError(RuntimeError):
    """The children did not come up; what they logged says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningHost:
    """A gateway that serves. Addresses are `host:port` as bound."""

    listen: str
    admin_listen: str
    supervisor: Supervisor
    ended: asyncio.Task[None]


@asynccontextmanager
async def run_host(
    settings: Settings,
    observer: Observer,
    environment: Mapping[str, str],
    *,
    config: Path | None = None,
) -> AsyncIterator[RunningHost]:
    """Starts N proxies and the control process; stops them in order on leaving.

    The children load their settings anew: `environment` is their whole environment, `config` the
    settings file they are told to read.
    Raises: OSError if an address is taken; NotReadyError if the children do not come up.
    """
    with (
        _reserved(settings.listen.host, settings.listen.port) as data_port,
        _reserved(settings.admin_listen.host, settings.admin_listen.port) as admin_port,
    ):
        listen = _address(settings.listen.host, data_port.getsockname()[1])
        admin_listen = _address(settings.admin_listen.host, admin_port.getsockname()[1])
        child_environment = {
            **environment,
            "GATEWAY_LISTEN": listen,
            "GATEWAY_ADMIN_LISTEN": admin_listen,
        }
        supervisor = Supervisor(
            _children(settings, child_environment, config),
            ends_within_s=EndingTimes(drain_timeout_s=settings.drain_timeout_s).killed_after_s,
            observer=observer,
            clock=SystemClock(),
        )
        ended = asyncio.create_task(supervisor.run())
        try:
            async with _relaying(settings, observer, supervisor):
                await _until_ready(supervisor, ended)
                yield RunningHost(
                    listen=listen, admin_listen=admin_listen, supervisor=supervisor, ended=ended
                )
        finally:
            supervisor.stop()
            await ended


@asynccontextmanager
async def _relaying(
    settings: Settings, observer: Observer, supervisor: Supervisor
) -> AsyncIterator[None]:
    """The supervisor watches for stops too, for children that have lost their ledger, or froze."""
    clock = SystemClock()
    async with open_control_watch(settings, observer, clock) as watch:

        def relay(reading: ControlReading) -> None:
            now = clock.now()
            supervisor.relay([stop for stop in reading.stops if stop.stands_at(now)])

        watch.subscribe(relay)
        relay(watch.reading)
        yield


def worker_count(settings: Settings, cpu_count: Callable[[], int | None] = os.cpu_count) -> int:
    """How many proxies this host runs."""
    return settings.workers or cpu_count() or 1


def free_address(wanted_port: int, host: str = "127.0.0.1") -> str:
    """The address at the port that is wanted, or at any free one if somebody has it."""
    try:
        _reserved(host, wanted_port).close()
    except OSError:
        return _address(host, 0)
    return _address(host, wanted_port)


def _children(
    settings: Settings, environment: Mapping[str, str], config: Path | None
) -> list[ChildSpec]:
    told = () if config is None else ("--config", str(config))

    def child(name: str, role: str, *, carries_calls: bool) -> ChildSpec:
        return ChildSpec(
            name=name,
            command=(sys.executable, "-m", "gateway", "serve", role, *told),
            environment=environment,
            ends_last=not carries_calls,
            carries_calls=carries_calls,
        )

    proxies = [
        child(f"proxy-{number}", "proxy", carries_calls=True)
        for number in range(worker_count(settings))
    ]
    return [*proxies, child("control", "control", carries_calls=False)]


def _reserved(host: str, port: int) -> socket.socket:
    """Holds a port without listening on it, so that the children may share it (SO_REUSEPORT).

    Raises: OSError if somebody else has the address: a plain bind, tried first, would tell.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _until_ready(supervisor: Supervisor, ended: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(supervisor.all_ready.wait())
    try:
        await asyncio.wait(
            {ready, ended}, timeout=_READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not ready.done():
            raise NotReadyError("the gateway's processes did not come up; the lines above say why")
    finally:
        ready.cancel()
