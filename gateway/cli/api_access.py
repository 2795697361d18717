"""How commands reach the admin API: the options that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway.cli.api_client import TIMEOUT_S, AdminClient, ApiError, address_of
from gateway.cli.output import fail, settings_or_exit

_Answer = TypeVar("_Answer")

AdminUrl = Annotated[
    str | None,
    typer.Option(
        "--admin-url",
        "--url",
        envvar="GATEWAY_ADMIN_URL",
        help="The admin API; as in the settings if not.",
    ),
]
AdminKey = Annotated[
    str | None,
    typer.Option(
        envvar="GATEWAY_ADMIN_KEY",
        show_envvar=True,
        help="A bearer key of an administrator. Better in the environment than here.",
    ),
]


def client_or_exit(
    url: str | None, key: str | None, config: Path | None, *, timeout_s: float = TIMEOUT_S
) -> AdminClient:
    """The client of the admin API. Ends with status 2 if there is no key, or no such address."""
    if not key:
        raise typer.BadParameter("no key: set GATEWAY_ADMIN_KEY to a key of the role viewer")
    if url is None:
        settings = settings_or_exit(config)
        listen = settings.admin_listen
        url = address_of(listen.host, listen.port, tls=settings.admin_tls_cert is not None)
    try:
        return AdminClient(url, key, timeout_s=timeout_s)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def asked_or_exit(ask: Callable[[], _Answer]) -> _Answer:
    """What the admin API answers, or an end with status 1 and why not."""
    try:
        return ask()
    except ApiError as exc:
        fail(str(exc))
