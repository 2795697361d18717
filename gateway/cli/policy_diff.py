"""`bedrock-gateway policy diff`: what would change, rule by rule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    fail,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.policies import read_policies
from gateway.compose.publishing import rules_in_force
from gateway.control.policy_diff import differences
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.parse import PolicySet, parse_policies


def run(
    before: Annotated[
        Path | None, typer.Argument(help="A policy file or folder; what is in force if absent.")
    ] = None,
    after: Annotated[
        Path | None, typer.Argument(help="The other one; the settings' folder if absent.")
    ] = None,
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two policies, or between those in force and the folder.

    Exit 1 if anything does. Comments and the order of rules do not count.
    """
    settings = settings_or_exit(config)
    if before is not None and after is None:
        before, after = None, before
    new = _parsed(after or settings.policies)
    old = _parsed(before) if before is not None else run_or_exit(rules_in_force(settings))
    found = list(differences(old, new))
    if as_json:
        print_json([asdict(difference) for difference in found])
    elif found:
        print_rows(
            ("org", "", "rule", "before", "after"),
            [(one.org, one.kind.value, one.rule, one.before, one.after) for one in found],
        )
    else:
        typer.echo("No rule differs.")
    if found:
        raise typer.Exit(1)


def _parsed(path: Path) -> PolicySet:
    try:
        return parse_policies(read_policies([path]))
    except DocumentError as error:
        typer.echo(str(error), err=True)
        fail(f"{path} cannot be read")
