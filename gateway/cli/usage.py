"""`bedrock-gateway usage …`: what was used, asked of the admin API."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.api_access import AdminKey, AdminUrl, asked_or_exit, client_or_exit
from gateway.cli.output import AsJson, Config, print_facts, print_json

app = typer.Typer(no_args_is_help=True, help="Show what was used.")


@app.callback()
def usage() -> None:
    """Show what was used."""


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The call's x-gateway-request-id.")],
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the usage record of one call, within a second of its end."""
    client = client_or_exit(admin_url, admin_key, config)
    record = asked_or_exit(lambda: client.usage_record(request_id))
    if as_json:
        print_json(record)
    else:
        print_facts(record)
