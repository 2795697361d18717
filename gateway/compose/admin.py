"""The admin plane of one process, put together and listening."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from gateway.adapters.system import SystemClock
from gateway.admin.server import AdminServices, make_admin_app
from gateway.compose.identity import KeyGate
from gateway.compose.proxy import server_tls
from gateway.compose.stores import (
    make_record_finder,
    open_journal,
    open_key_directory,
    open_ledger,
    open_tables,
)
from gateway.domain.observer import Observer
from gateway.settings import Settings

_READER = "admin"


@asynccontextmanager
async def open_admin(settings: Settings, observer: Observer) -> AsyncIterator[web.AppRunner]:
    """The admin API, served on its own address for as long as the context lives."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings))
        journal = await stack.enter_async_context(open_journal(settings, _READER))
        tables = await stack.enter_async_context(open_tables(settings))
        keys = await stack.enter_async_context(open_key_directory(settings, clock, observer))
        services = AdminServices(
            gate=KeyGate(settings, keys),
            records=make_record_finder(journal, tables),
            probes={"ledger": ledger.ping, "tables": tables.ping},
            clock=clock,
            observer=observer,
        )
        runner = web.AppRunner(make_admin_app(services), access_log=None, keepalive_timeout=75)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(
            runner,
            settings.admin_listen.host,
            settings.admin_listen.port,
            ssl_context=server_tls(settings.admin_tls_cert, settings.admin_tls_key),
            reuse_port=True,
        ).start()
        yield runner
