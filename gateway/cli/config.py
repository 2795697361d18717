"""`bedrock-gateway config …`: which settings hold, and where each of them comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.documents.marked_yaml import DocumentError
from gateway.settings import SECRETS, Settings, load_settings, variable

app = typer.Typer(no_args_is_help=True, help="Show or check the settings of this gateway.")

File = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; config/gateway.yaml if not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_HIDDEN = "(hidden)"
_FILES = (
    "tls_cert",
    "tls_key",
    "admin_tls_cert",
    "admin_tls_key",
    "prices",
    "price_overrides",
    "models",
    "jwt_key_file",
)


@app.command()
def show(*, config: File = None, as_json: AsJson = False) -> None:
    """Print the effective settings, secrets hidden, and where each value came from."""
    settings = _load(config, as_json=as_json)
    rows = [
        {
            "setting": key,
            "value": _plain(settings, key),
            "source": settings.sources[key],
            "variable": variable(key),
        }
        for key in Settings.model_fields
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("setting", "value", "from")
    for row in rows:
        table.add_row(row["setting"], _shown(row["value"]), row["source"])
    Console(soft_wrap=True).print(table)


@app.command()
def check(*, config: File = None, as_json: AsJson = False) -> None:
    """Check the settings and that every file they name is there. Exit 1 if not."""
    settings = _load(config, as_json=as_json)
    problems = [
        f"{key}: no file {path} ({settings.sources[key]})"
        for key in _FILES
        if (path := getattr(settings, key)) is not None and not path.is_file()
    ]
    if not settings.policies.is_dir():
        problems.append(f"policies: no folder {settings.policies} ({settings.sources['policies']})")
    _report(problems, as_json=as_json)


def _load(config: Path | None, *, as_json: bool) -> Settings:
    try:
        return load_settings(os.environ, config)
    except DocumentError as exc:
        _report([str(problem) for problem in exc.problems], as_json=as_json)
        raise typer.Exit(1) from exc  # _report exits; this tells the type checker


def _report(problems: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "problems": problems}, indent=2))
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        if not problems:
            typer.echo("The settings are in order.")
    if problems:
        raise typer.Exit(1)


def _plain(settings: Settings, key: str) -> Any:
    """The value as JSON knows it; a secret only as set or not set."""
    value = getattr(settings, key)
    if value is None:
        return None
    if key in SECRETS:
        return _HIDDEN
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value if isinstance(value, int | float) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    return ", ".join(value) if isinstance(value, list) else str(value)
