"""`bedrock-gateway policy test`: do the policies decide what the cases beside them expect?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson, Config, fail, print_json, settings_or_exit
from gateway.compose.policy_cases import run_case_files
from gateway.documents.marked_yaml import DocumentError

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Files of cases, or folders of them; the policy folder if absent."),
]


def run(paths: Paths = None, *, config: Config = None, as_json: AsJson = False) -> None:
    """Run the given/when/then cases (*.cases.yaml). Exit 1 if one is not as expected."""
    settings = settings_or_exit(config)
    try:
        results = run_case_files(paths or [settings.policies], settings)
    except DocumentError as error:
        if as_json:
            print_json({"ok": False, "problems": [str(problem) for problem in error.problems]})
            raise typer.Exit(1) from None
        typer.echo(str(error), err=True)
        fail("the cases cannot be run")
    failed = [result for result in results if not result.holds]
    if as_json:
        print_json(
            {
                "ok": not failed,
                "cases": [
                    {"name": r.name, "source": r.source, "mismatches": list(r.mismatches)}
                    for r in results
                ],
            }
        )
    else:
        for result in failed:
            for mismatch in result.mismatches:
                typer.echo(f"{result.source}: {result.name}: {mismatch}")
        typer.echo(f"{len(results) - len(failed)} of {len(results)} cases are as expected.")
    if failed or not results:
        raise typer.Exit(1)
