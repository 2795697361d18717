"""`bedrock-gateway audit …`: what was done here, and whether the record of it is whole.

With an administrator's key (GATEWAY_ADMIN_KEY) it asks the admin API, else the table itself.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import typer

from gateway.admin.models.audit import AuditVerification
from gateway.admin.rest.audit import entry_document
from gateway.cli.api_access import AdminKey, AdminUrl, asked_or_exit, client_or_exit
from gateway.cli.output import (
    AsJson,
    Config,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.audit import verify_chain
from gateway.compose.stores import open_tables
from gateway.control.audit_trail import CHAIN
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="See what was done, and verify the record of it.")

_ERASED = "(erased)"
_PAGE = 200


@app.command()
def tail(
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000)] = 20,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, the newest last."""
    if admin_key:
        client = client_or_exit(admin_url, admin_key, config)
        query = {"limit": str(min(count, _PAGE))}
        found = asked_or_exit(lambda: list(islice(client.pages("/v1/audit", query), count)))
        entries = found[::-1]
    else:
        entries = run_or_exit(_newest(settings_or_exit(config), count))
    if as_json:
        print_json(entries)
        return
    print_rows(
        ("seq", "at", "who", "action", "resource", "outcome", "context"),
        [
            (
                entry["seq"],
                f"{datetime.fromisoformat(entry['at']):%Y-%m-%d %H:%M:%S}",
                entry["actor"] or _ERASED,
                entry["action"],
                entry["resource"] or _ERASED,
                entry["outcome"],
                ", ".join(f"{name}={value}" for name, value in (entry["context"] or {}).items()),
            )
            for entry in entries
        ],
    )


@app.command()
def verify(
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry, link and signed checkpoint; exit 1 and name the first bad entry."""
    if admin_key:
        # A long chain takes its time.
        client = client_or_exit(admin_url, admin_key, config, timeout_s=300)
        found = asked_or_exit(lambda: client.get("/v1/audit/verify"))
    else:
        settings = settings_or_exit(config)
        found = run_or_exit(_verified(settings)).model_dump(mode="json")
    if as_json:
        print_json(found)
    else:
        print_facts(
            {
                "entries in order": found["entries"],
                "head": found["head"],
                "checkpoints of this host": found["checkpoints"],
            }
        )
        flaw = found["flaw"]
        typer.echo("The chain is whole." if flaw is None else f"BROKEN: {flaw['detail']}")
    if found["flaw"] is not None:
        raise typer.Exit(1)


async def _newest(settings: Settings, count: int) -> list[dict[str, Any]]:
    async with open_tables(settings) as tables:
        entries = tables.audit.entries(CHAIN, newest_first=True, at_most=count)
        found = [entry_document(entry).model_dump(mode="json") async for entry in entries]
        return found[::-1]


async def _verified(settings: Settings) -> AuditVerification:
    async with open_tables(settings) as tables:
        return await verify_chain(settings, tables)
