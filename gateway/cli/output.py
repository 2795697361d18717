"""How commands end and what they print: tables for people, JSON for programs, errors on stderr.

Exit status: 0 done, 1 refused or failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.settings import Settings, load_settings

Config = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; config/gateway.yaml if not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

CLIENT_VARIABLES = frozenset({"GATEWAY_ADMIN_KEY", "GATEWAY_ADMIN_URL"})
"""Variables of the command line as a client of the admin API: no settings of a gateway."""

_PIPE_WIDTH = 200
_FAILED = 1
_WRONG_USAGE = 2
_Answer = TypeVar("_Answer")


def gateway_environment() -> dict[str, str]:
    """The environment as a gateway sees it: without what is meant for its clients."""
    return {name: text for name, text in os.environ.items() if name not in CLIENT_VARIABLES}


def forget_aws_account() -> None:
    """Drops the AWS variables of this process: a sandbox has no account, nor asks for a profile."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def settings_or_exit(config: Path | None) -> Settings:
    """The effective settings, or an end with status 2 and everything that is wrong with them."""
    try:
        return load_settings(gateway_environment(), config)
    except DocumentError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_WRONG_USAGE) from None


def run_or_exit(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What the work gives, or an end with status 1 and what went wrong in one line."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        fail(error.detail or error.reason.value)


def fail(message: str) -> NoReturn:
    """Ends the command with status 1."""
    typer.echo(f"bedrock-gateway: {message}", err=True)
    raise typer.Exit(_FAILED)


def print_json(document: Any) -> None:
    """Prints one JSON document."""
    typer.echo(json.dumps(document, indent=2))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table for people; what is unknown is left empty, nothing is cut off."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Names come from elsewhere: printed as text, never as markup.
        table.add_row(*(Text(_plain(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    console.print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Prints one thing's facts for people, one a line, without those that are unknown."""
    known = {name: value for name, value in facts.items() if value not in (None, [], {}, "")}
    width = max((len(name) for name in known), default=0)
    for name, value in known.items():
        typer.echo(f"{name:{width}}  {_plain(value)}")


def _plain(value: object) -> str:
    """The value as one line of text; what would steer a terminal is shown as its escape."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{_plain(name)}={_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_plain(item) for item in value)
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
