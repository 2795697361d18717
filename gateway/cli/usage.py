"""`bedrock-gateway usage …`: what was used, asked of the admin API."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.api_client import AdminClient, ApiError, address_of
from gateway.cli.output import AsJson, Config, fail, print_facts, print_json, settings_or_exit

app = typer.Typer(no_args_is_help=True, help="Show what was used.")


@app.callback()
def usage() -> None:
    """Show what was used."""


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The call's x-gateway-request-id.")],
    *,
    admin_url: Annotated[
        str | None,
        typer.Option(envvar="GATEWAY_ADMIN_URL", help="The admin API; as in the settings if not."),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(
            envvar="GATEWAY_ADMIN_KEY",
            show_envvar=True,
            help="A bearer key of the role viewer or above. Better in the environment than here.",
        ),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the usage record of one call, within a second of its end."""
    if not admin_key:
        raise typer.BadParameter("no key: set GATEWAY_ADMIN_KEY to a key of the role viewer")
    if admin_url is None:
        settings = settings_or_exit(config)
        listen = settings.admin_listen
        tls = settings.admin_tls_cert is not None
        admin_url = address_of(listen.host, listen.port, tls=tls)
    try:
        record = AdminClient(admin_url, admin_key).usage_record(request_id)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    except ApiError as exc:
        fail(str(exc))
    if as_json:
        print_json(record)
    else:
        print_facts(record)
