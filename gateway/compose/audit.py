"""The audit trail of one process, put together from its settings."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.adapters.files.audit_checkpoints import FileCheckpoints
from gateway.adapters.files.audit_spool import FileSpool
from gateway.adapters.signing import SignatureCheck, Signer
from gateway.adapters.system import SystemClock
from gateway.admin.models.audit import AuditFlaw, AuditVerification
from gateway.compose.stores import Tables, open_tables
from gateway.control.audit import SALT_BYTES, AuditEvent, AuditOutcome
from gateway.control.audit_trail import CHAIN, ChainedAuditTrail, UnreadableEntryError
from gateway.control.audit_verify import ChainCheck, Flaw, FlawKind
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import Observer
from gateway.domain.reason import Reason
from gateway.settings import Settings


def audit_event(
    actor: str,
    action: str,
    resource: str,
    *,
    outcome: AuditOutcome = AuditOutcome.DONE,
    context: Mapping[str, str] | None = None,
) -> AuditEvent:
    """An event of this very moment."""
    return AuditEvent(
        event_id=uuid.uuid4().hex,
        actor=actor,
        action=action,
        resource=resource,
        outcome=outcome,
        at=SystemClock().now(),
        context=context or {},
    )


def command_actor() -> str:
    """Who runs this command, as far as this host knows: `cli:ada@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container's user often has no name
    return f"cli:{user}@{socket.gethostname()}"


def make_audit_trail(settings: Settings, tables: Tables, observer: Observer) -> ChainedAuditTrail:
    """The trail of an installation. Raises: GatewayError if there is no master key."""
    return ChainedAuditTrail(
        tables.audit,
        make_spool(settings),
        _checkpoints(settings),
        observer,
        salt=lambda: os.urandom(SALT_BYTES),
    )


def make_spool(settings: Settings) -> FileSpool:
    """Where events wait on this host."""
    return FileSpool(_folder(settings) / "spool.jsonl")


@asynccontextmanager
async def open_audit_trail(
    settings: Settings, observer: Observer
) -> AsyncIterator[ChainedAuditTrail]:
    """The trail for as long as the context lives. Raises: GatewayError."""
    async with open_tables(settings) as tables:
        yield make_audit_trail(settings, tables, observer)


async def verify_chain(settings: Settings, tables: Tables) -> AuditVerification:
    """Goes through the whole chain and this host's checkpoints. Raises: GatewayError."""
    signer = _signer(settings)
    try:
        checkpoints = _checkpoints(settings).all()
    except OSError as exc:
        raise GatewayError(
            Reason.AUDIT_UNAVAILABLE, "the checkpoints cannot be read", fault=Fault.GATEWAY
        ) from exc
    check = ChainCheck(CHAIN, checkpoints, SignatureCheck(signer.public_key))
    flaw = await _first_flaw(check, tables)
    shown = AuditFlaw(kind=flaw.kind.value, seq=flaw.seq, detail=flaw.detail) if flaw else None
    return AuditVerification(
        ok=flaw is None,
        chain=CHAIN,
        entries=check.checked,
        head=check.head,
        checkpoints=len(checkpoints),
        flaw=shown,
    )


async def _first_flaw(check: ChainCheck, tables: Tables) -> Flaw | None:
    try:
        async for entry in tables.audit.entries(CHAIN):
            if flaw := check.take(entry):
                return flaw
    except UnreadableEntryError as exc:
        return Flaw(kind=FlawKind.ALTERED, seq=exc.seq, detail=exc.detail)
    return check.finish()


def _signer(settings: Settings) -> Signer:
    if settings.master_key is None:
        raise GatewayError(
            Reason.AUDIT_UNAVAILABLE,
            "GATEWAY_MASTER_KEY is not set: it signs the checkpoints of the audit chain",
            fault=Fault.GATEWAY,
        )
    return Signer(settings.master_key.get_secret_value())


def _checkpoints(settings: Settings) -> FileCheckpoints:
    path = _folder(settings) / "checkpoints.jsonl"
    return FileCheckpoints(path, _signer(settings), SystemClock().now)


def _folder(settings: Settings) -> Path:
    return settings.state_dir / "audit"
