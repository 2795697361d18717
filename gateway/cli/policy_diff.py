"""`bedrock-gateway policy diff`: what would change, rule by rule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.cli.policy_files import policies_or_exit
from gateway.compose.publishing import rules_in_force
from gateway.control.policy_diff import differences


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
    new = policies_or_exit([after or settings.policies])
    old = (
        policies_or_exit([before]) if before is not None else run_or_exit(rules_in_force(settings))
    )
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
