"""The admin plane of one process, put together and listening."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from gateway.adapters.dynamodb.usage_search import DynamoUsageSearch
from gateway.adapters.redis.admin_answers import RedisAnswers
from gateway.adapters.redis.balances import LedgerBalances
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.system import SystemClock
from gateway.admin.cursor import Cursors
from gateway.admin.rest.health import DegradedError
from gateway.admin.server import make_admin_app
from gateway.admin.services import AdminServices, Probe
from gateway.compose.audit import make_audit_trail, verify_chain
from gateway.compose.control import open_emergency
from gateway.compose.identity import open_admin_gate
from gateway.compose.policy_replay import replay_policies
from gateway.compose.prices import open_prices
from gateway.compose.publishing import Publishing, open_publishing
from gateway.compose.stores import (
    ledger_shards,
    make_key_material,
    make_record_finder,
    make_sealer,
    open_journal,
    open_journal_client,
    open_key_directory,
    open_ledger,
    open_tables,
)
from gateway.compose.tls import server_tls
from gateway.control.policy_trial import TrialRules
from gateway.control.revocations import LedgerRevocations
from gateway.domain.observer import Observer
from gateway.policy.lint import lint_policies
from gateway.settings import Settings

_READER = "admin"
_MAX_LINE_BYTES = 64 * 1024


@asynccontextmanager
async def open_admin(settings: Settings, observer: Observer) -> AsyncIterator[web.AppRunner]:
    """The admin API, served on its own address for as long as the context lives."""
    async with open_admin_services(settings, observer) as services, AsyncExitStack() as stack:
        runner = web.AppRunner(
            make_admin_app(services),
            access_log=None,
            keepalive_timeout=75,
            # A coded body is refused, never unpacked.
            auto_decompress=False,
            # A cursor may be long once it is percent-coded; what is too long is said by a problem.
            max_line_size=_MAX_LINE_BYTES,
        )
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


@asynccontextmanager
async def open_admin_services(
    settings: Settings, observer: Observer
) -> AsyncIterator[AdminServices]:
    """All that the admin API needs, for as long as the context lives; an app may be mounted on it.

    Raises: GatewayError, DocumentError if the price files cannot be used.
    """
    clock = SystemClock()
    sealer = make_sealer(settings)
    prices, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings))
        journal = await stack.enter_async_context(open_journal(settings, _READER))
        tables = await stack.enter_async_context(open_tables(settings))
        keys = await stack.enter_async_context(open_key_directory(settings, clock, observer))
        client = await stack.enter_async_context(open_journal_client(settings))
        publishing = await stack.enter_async_context(open_publishing(settings, tables))
        shards = ledger_shards(settings)
        yield AdminServices(
            gate=await stack.enter_async_context(open_admin_gate(settings, keys, clock)),
            clock=clock,
            observer=observer,
            probes={
                "ledger": ledger.ping,
                "tables": tables.ping,
                "policy": _policy_probe(publishing),
            },
            cursors=Cursors(sealer.mark),
            answers=RedisAnswers(client, sealer),
            trail=make_audit_trail(settings, tables, observer),
            event_id=lambda: uuid.uuid4().hex,
            records=make_record_finder(journal, tables),
            search=DynamoUsageSearch(tables.client, tables.usage_name),
            keys=tables.keys,
            sealer=sealer,
            key_material=make_key_material,
            revocations=LedgerRevocations(RedisLedgerControl(client, shards), clock),
            current_bundle=publishing.current,
            publisher=publishing.publisher,
            balances=LedgerBalances(client, shards),
            publishers=publishing.publishers,
            lint=lambda policies: lint_policies(policies, catalogue, prices),
            trial_rules=lambda policies: TrialRules(
                policies=policies,
                catalogue=catalogue,
                prices=prices,
                home_accounts=frozenset(settings.home_accounts),
            ),
            replay=lambda question: replay_policies(settings, question),
            emergencies=await stack.enter_async_context(open_emergency(settings, clock)),
            chain=tables.audit,
            verify_audit=lambda: verify_chain(settings, tables),
        )


def _policy_probe(publishing: Publishing) -> Probe:
    async def probe() -> None:
        trouble = await publishing.trouble()
        if trouble:
            # What was in force stays in force: it is to be mended, and takes no traffic away.
            raise DegradedError(trouble)

    return probe
