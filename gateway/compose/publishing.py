"""What publishes rules, put together: the worker that watches the folder, and a person's hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.adapters.files.policies import PolicyFolder
from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.system import SystemClock
from gateway.compose.audit import audit_event, command_actor, make_audit_trail
from gateway.compose.stores import (
    Tables,
    ledger_shards,
    open_journal_client,
    open_tables,
    worker_name,
)
from gateway.control.audit import AuditOutcome
from gateway.control.audit_trail import AuditTrail
from gateway.control.bundle import (
    EditionArchive,
    PolicyBundle,
    Publication,
    PublisherReport,
    PublishVerdict,
    UnreadableBundleError,
    compile_bundle,
)
from gateway.control.publish import Change, Proposal, Publisher, propose, publication_facts
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import Observer
from gateway.domain.reason import Reason
from gateway.policy.parse import PolicySet
from gateway.settings import Settings
from gateway.workers.edition_keeper import EditionKeeper
from gateway.workers.folder_watch import FolderWatch
from gateway.workers.policy_publisher import PolicyPublisher

_REPORTS_LIVE_S = 20.0
_SETTLE_S = 0.2
_REREAD_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """The rules of an installation, within reach of whoever changes them."""

    store: RedisBundleStore
    publisher: Publisher
    archive: EditionArchive

    async def current(self) -> PolicyBundle | None:
        """The edition in force; where the store lost it, the last one that was kept.

        Raises: GatewayError, also if another release wrote it.
        """
        try:
            current = await self.store.current()
            if current is None and (kept := await self.archive.newest()) is not None:
                return replace(kept, edition=0)
        except UnreadableBundleError as exc:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, str(exc), fault=Fault.GATEWAY) from exc
        return current

    async def publishers(self) -> list[PublisherReport]:
        """What the publishers that live now say of themselves."""
        now = SystemClock().now()
        return [
            report
            for report in await self.store.reports()
            if (now - report.at).total_seconds() < _REPORTS_LIVE_S
        ]

    async def trouble(self) -> str:
        """What publishers say is wrong, for health; '' if nothing is."""
        found = [f"{report.name}: {report.detail}" for report in await self.publishers()]
        return "\n".join(said for said in found if not said.endswith(": "))


@asynccontextmanager
async def open_publishing(
    settings: Settings, tables: Tables | None = None
) -> AsyncIterator[Publishing]:
    """The rules' store for as long as the context lives. Nothing is asked before the first use."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_journal_client(settings))
        if tables is None:
            tables = await stack.enter_async_context(open_tables(settings))
        shards = ledger_shards(settings)
        store = RedisBundleStore(client, shards[0])
        publisher = Publisher(store, RedisLedgerControl(client, shards))
        yield Publishing(store=store, publisher=publisher, archive=tables.editions)


def make_policy_publisher(
    settings: Settings, publishing: Publishing, trail: AuditTrail, observer: Observer
) -> PolicyPublisher:
    """The worker that publishes this host's folder, on the record."""
    clock = SystemClock()
    keeper = EditionKeeper(
        publishing.store, publishing.publisher, publishing.archive, observer, clock
    )

    async def record(proposal: Proposal, *, is_done: bool) -> None:
        await trail.record(
            audit_event(
                "worker:publisher",
                "policy.publish",
                f"rules/{settings.policies}",
                outcome=AuditOutcome.DONE if is_done else AuditOutcome.FAILED,
                context=publication_facts(proposal),
            )
        )

    folder = PolicyFolder(settings.policies)
    return PolicyPublisher(
        FolderWatch(folder, clock, settle_s=_SETTLE_S, reread_every_s=_REREAD_EVERY_S),
        publishing.store,
        publishing.publisher,
        keeper,
        observer=observer,
        clock=clock,
        record=record,
        who=worker_name(),
        host=socket.gethostname(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOutcome:
    """What became of a push by hand. `edition`: the one in force after it."""

    proposal: Proposal
    edition: int
    is_published: bool = False
    needs_confirmation: bool = False
    was_unexpected: bool = False


async def push_folder(
    settings: Settings,
    observer: Observer,
    folder: Path,
    *,
    expect: int | None = None,
    confirmed: bool = False,
    why: str,
) -> PushOutcome:
    """Puts a folder in force by hand, on the record, if it may be.

    Raises: DocumentError; GatewayError, also if it cannot be recorded.
    """
    async with (
        open_tables(settings) as tables,
        open_publishing(settings, tables) as publishing,
    ):
        actor = command_actor()
        current, proposal = await _propose_folder(publishing, folder, by=actor, why=why)
        edition = current.edition if current is not None else 0
        if expect not in (None, edition):
            return PushOutcome(proposal=proposal, edition=edition, was_unexpected=True)
        if not proposal.is_change and edition:
            return PushOutcome(proposal=proposal, edition=edition)
        if proposal.needs_confirmation and not confirmed:
            return PushOutcome(proposal=proposal, edition=edition, needs_confirmation=True)
        trail = make_audit_trail(settings, tables, observer)
        context = publication_facts(proposal)
        resource = f"rules/{folder}"
        await trail.record(audit_event(actor, "policy.push", resource, context=context))
        publication = await publishing.publisher.publish(proposal)
        published = publication.verdict is PublishVerdict.PUBLISHED
        if not published:
            failed = AuditOutcome.FAILED
            await trail.record(
                audit_event(actor, "policy.push", resource, outcome=failed, context=context)
            )
        return PushOutcome(
            proposal=proposal,
            edition=publication.edition,
            is_published=published,
            was_unexpected=not published,
        )


async def publish_folder(settings: Settings, *, by: str, why: str) -> Publication:
    """Puts the settings' folder in force, without asking twice. Raises: DocumentError."""
    async with open_publishing(settings) as publishing:
        _, proposal = await _propose_folder(publishing, settings.policies, by=by, why=why)
        return await publishing.publisher.publish(proposal)


async def read_folder(folder: Path) -> Mapping[str, str]:
    """The policy files of a folder, by name. Raises: DocumentError."""
    return await PolicyFolder(folder).read()


async def _propose_folder(
    publishing: Publishing, folder: Path, *, by: str, why: str
) -> tuple[PolicyBundle | None, Proposal]:
    files = await read_folder(folder)
    current = await publishing.current()
    change = Change(files=files, by=by, why=why, at=SystemClock().now())
    return current, await asyncio.to_thread(propose, current, change)


async def read_status(
    settings: Settings,
) -> tuple[PolicyBundle | None, Sequence[PublisherReport]]:
    """What is in force, and what the publishers say. Raises: GatewayError."""
    async with open_publishing(settings) as publishing:
        return await publishing.current(), await publishing.publishers()


async def rules_in_force(settings: Settings) -> PolicySet:
    """The rules in force, compiled. Raises: GatewayError, also if none were ever published."""
    current, _ = await read_status(settings)
    if current is None:
        raise GatewayError(
            Reason.STALE_PLAN,
            "no rules are in force: publish them with 'bedrock-gateway policy push'",
            fault=Fault.GATEWAY,
        )
    return compile_bundle(current)
