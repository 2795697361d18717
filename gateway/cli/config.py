"""`bedrock-gateway config …`: which settings hold, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    gateway_environment,
    print_json,
    print_rows,
    settings_or_exit,
)
from gateway.compose.policies import read_policies
from gateway.compose.prices import open_prices
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.parse import parse_policies
from gateway.settings import SECRETS, Settings, load_settings, variable

app = typer.Typer(no_args_is_help=True, help="Show or check the settings of this gateway.")

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
def show(*, config: Config = None, as_json: AsJson = False) -> None:
    """Print the effective settings, secrets hidden, and where each value came from."""
    settings = settings_or_exit(config)
    values = {key: _plain(settings, key) for key in Settings.model_fields}
    if as_json:
        print_json(
            [
                {
                    "setting": key,
                    "value": value,
                    "source": settings.sources[key],
                    "variable": variable(key),
                }
                for key, value in values.items()
            ]
        )
        return
    print_rows(
        ("setting", "value", "from"),
        [(key, value, settings.sources[key]) for key, value in values.items()],
    )


@app.command()
def check(*, config: Config = None, as_json: AsJson = False) -> None:
    """Check the settings, and every file they name: policies and prices too. Exit 1 if not."""
    problems: list[str] = []
    try:
        settings = load_settings(gateway_environment(), config)
        problems = _missing_files(settings)
        if not problems:
            parse_policies(read_policies([settings.policies]))
            open_prices(settings.prices, settings.price_overrides, settings.models)
    except DocumentError as error:
        problems = [str(problem) for problem in error.problems]
    _report(problems, as_json=as_json)


def _missing_files(settings: Settings) -> list[str]:
    problems = [
        f"{key}: no file {path} ({settings.sources[key]})"
        for key in _FILES
        if (path := getattr(settings, key)) is not None and not path.is_file()
    ]
    if not settings.policies.is_dir():
        problems.append(f"policies: no folder {settings.policies} ({settings.sources['policies']})")
    return problems


def _report(problems: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": not problems, "problems": problems})
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
