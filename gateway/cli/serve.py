"""`bedrock-gateway serve`: the data plane, the admin API and the workers of one host."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from gateway.cli.by_hand import hand_lines, urls, write_hand_file
from gateway.cli.output import forget_aws_account, gateway_environment, settings_or_exit
from gateway.compose.demo import issue_hand_keys
from gateway.compose.host import NotReadyError, RunningHost, run_host
from gateway.compose.observers import make_observer
from gateway.compose.roles import run_control, run_proxy
from gateway.compose.sandbox import embedded_valkey, sandbox
from gateway.compose.signals import until_told_to_stop
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.sandbox.children import SandboxError
from gateway.settings import Settings, load_settings

_EXPECTED = (GatewayError, DocumentError, NotReadyError, SandboxError, OSError)


class Role(StrEnum):
    """Which part of the gateway a process is."""

    ALL = "all"
    PROXY = "proxy"
    ADMIN = "admin"
    WORKER = "worker"
    CONTROL = "control"


def serve(
    role: Annotated[
        Role, typer.Argument(help="Serve everything, or one part in this very process.")
    ] = Role.ALL,
    *,
    config: Annotated[
        Path | None, typer.Option(help="Settings file; config/gateway.yaml if not given.")
    ] = None,
    embedded: Annotated[
        bool, typer.Option(help="Bring an own Valkey along; everything else is real AWS.")
    ] = False,
    use_sandbox: Annotated[
        bool,
        typer.Option("--sandbox", help="Bring along everything: no account is needed."),
    ] = False,
) -> None:
    """Serve until told to stop (SIGTERM, Ctrl-C), then let the calls in flight end."""
    if (embedded or use_sandbox) and role is not Role.ALL:
        raise typer.BadParameter("--embedded and --sandbox go with serving everything")
    if embedded and use_sandbox:
        raise typer.BadParameter("choose one of --embedded and --sandbox")
    settings = settings_or_exit(config)
    if not use_sandbox:
        _require_production_settings(settings, embedded=embedded)
    match role:
        case Role.PROXY:
            run_until_done(run_proxy(settings))
        case Role.ADMIN:
            run_until_done(run_control(settings, workers=False))
        case Role.WORKER:
            run_until_done(run_control(settings, admin=False))
        case Role.CONTROL:
            run_until_done(run_control(settings))
        case Role.ALL if use_sandbox:
            forget_aws_account()
            run_until_done(_serve_sandbox(settings, config=config))
        case Role.ALL:
            run_until_done(_serve_all(settings, embedded=embedded, config=config))


def _require_production_settings(settings: Settings, *, embedded: bool) -> None:
    missing = []
    if settings.redis_url is None and not embedded:
        missing.append("GATEWAY_REDIS_URL (or --embedded for an own Valkey)")
    if settings.master_key is None:
        missing.append("GATEWAY_MASTER_KEY (at least 32 random characters; it seals issued keys)")
    if settings.region is None:
        missing.append("GATEWAY_REGION (the home region of Bedrock)")
    if missing:
        typer.echo("cannot serve without: " + "; ".join(missing), err=True)
        typer.echo("to try it without any account: bedrock-gateway serve --sandbox", err=True)
        raise typer.Exit(2)


def run_until_done(work: Coroutine[Any, Any, None]) -> None:
    """Runs to the end; what an operator can mend is one line, not a traceback."""
    try:
        uvloop.run(work)
    except (*_EXPECTED, ExceptionGroup) as error:
        cause: BaseException = error
        while isinstance(cause, ExceptionGroup):
            cause = cause.exceptions[0]
        if not isinstance(cause, _EXPECTED):
            raise
        typer.echo(f"bedrock-gateway: {cause}", err=True)
        raise typer.Exit(1) from None


async def _serve_all(settings: Settings, *, embedded: bool, config: Path | None) -> None:
    environment = gateway_environment()
    async with AsyncExitStack() as stack:
        if embedded:
            environment |= await stack.enter_async_context(embedded_valkey(settings))
            settings = load_settings(environment, config)
        await _serve_host(stack, settings, environment, config)


async def _serve_sandbox(settings: Settings, *, config: Path | None) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bedrock-")))
        parts = await stack.enter_async_context(
            sandbox(directory, table_prefix=settings.table_prefix, emulators=settings.emulators)
        )
        settings = load_settings(parts.environment, config)
        # Its stores and its master key are its own, so nobody else could issue keys for it.
        keys = await issue_hand_keys(settings)

        def for_hands(host: RunningHost) -> None:
            file = write_hand_file(directory, settings, host, keys)
            for line in hand_lines(settings, host, keys, file):
                typer.echo(line)

        await _serve_host(stack, settings, parts.environment, config, for_hands)


async def _serve_host(
    stack: AsyncExitStack,
    settings: Settings,
    environment: Mapping[str, str],
    config: Path | None,
    then: Callable[[RunningHost], None] | None = None,
) -> None:
    observer = make_observer(settings, "supervisor")
    host = await stack.enter_async_context(run_host(settings, observer, environment, config=config))
    announce(settings, host)
    if then is not None:
        then(host)
    told = asyncio.create_task(until_told_to_stop())
    await asyncio.wait({told, host.ended}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()


def announce(settings: Settings, host: RunningHost) -> None:
    """Says on standard output where the gateway serves."""
    url, admin_url = urls(settings, host)
    typer.echo(f"bedrock-gateway serves Bedrock on {url}, administration on {admin_url}")
