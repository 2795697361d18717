"""`bedrock-gateway audit …`: what was done here, and whether the record of it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.audit import Verification, verify_chain
from gateway.compose.stores import open_tables
from gateway.control.audit import AuditEntry
from gateway.control.audit_trail import CHAIN
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="See what was done, and verify the record of it.")


@app.command()
def tail(
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000)] = 20,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, the newest last."""
    settings = settings_or_exit(config)
    entries = run_or_exit(_newest(settings, count))
    if as_json:
        print_json([entry_document(entry) for entry in entries])
        return
    print_rows(
        ("seq", "at", "who", "action", "resource", "outcome", "context"),
        [
            (
                entry.seq,
                f"{entry.at:%Y-%m-%d %H:%M:%S}",
                entry.details.actor if entry.details else "(erased)",
                entry.action,
                entry.details.resource if entry.details else "(erased)",
                entry.outcome.value,
                _context(entry),
            )
            for entry in entries
        ],
    )


@app.command()
def verify(*, config: Config = None, as_json: AsJson = False) -> None:
    """Check every entry, link and signed checkpoint; exit 1 and name the first bad entry."""
    settings = settings_or_exit(config)
    found = run_or_exit(_verify(settings))
    if as_json:
        print_json(asdict(found))
    else:
        print_facts(
            {
                "entries in order": found.entries,
                "head": found.head,
                "checkpoints of this host": found.checkpoints,
            }
        )
        typer.echo("The chain is whole." if found.flaw is None else f"BROKEN: {found.flaw.detail}")
    if found.flaw is not None:
        raise typer.Exit(1)


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """An entry as programs get it. What was erased is null."""
    details = entry.details
    return {
        "chain": entry.chain,
        "seq": entry.seq,
        "event_id": entry.event_id,
        "at": entry.at.isoformat(),
        "action": entry.action,
        "outcome": entry.outcome.value,
        "actor": details.actor if details else None,
        "resource": details.resource if details else None,
        "context": dict(details.context) if details else None,
        "hash": entry.hash,
    }


async def _newest(settings: Settings, count: int) -> list[AuditEntry]:
    async with open_tables(settings) as tables:
        entries = tables.audit.entries(CHAIN, newest_first=True, at_most=count)
        return [entry async for entry in entries][::-1]


async def _verify(settings: Settings) -> Verification:
    async with open_tables(settings) as tables:
        return await verify_chain(settings, tables)


def _context(entry: AuditEntry) -> str:
    if entry.details is None:
        return ""
    return ", ".join(f"{name}={value}" for name, value in entry.details.context.items())
