"""`bedrock-gateway policy …`: whether policy files are in order, and what editors know of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import AsJson, Config, fail, print_json, settings_or_exit
from gateway.cli.policy_push import push, status
from gateway.compose.policies import PolicyCheck, check_policies
from gateway.documents.marked_yaml import DocumentError, Problem
from gateway.policy.findings import Severity
from gateway.policy.schema import json_schema

app = typer.Typer(no_args_is_help=True, help="Check, test and publish policies.")
app.command()(push)
app.command()(status)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Policy files or folders; the settings' folder if absent."),
]


@app.command()
def check(
    paths: Paths = None,
    *,
    strict: Annotated[bool, typer.Option(help="Warnings fail the check, too.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check policy files: errors with line and column, and what looks like a mistake."""
    settings = settings_or_exit(config)
    try:
        checked = check_policies(paths or [settings.policies], settings)
    except DocumentError as error:
        _refuse(error.problems, as_json=as_json)
    _report(checked, as_json=as_json)
    warnings = sum(one.severity is Severity.WARNING for one in checked.findings)
    if strict and warnings:
        fail(f"{warnings} warnings")


@app.command()
def schema(
    *,
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Print the JSON Schema of policy files, for editors."""
    document = json_schema()
    if output is None:
        print_json(document)
        return
    output.write_text(schema_text(document))
    typer.echo(f"{output} is written.")


def schema_text(document: dict[str, Any]) -> str:
    """The schema as it is kept in a file."""
    return json.dumps(document, indent=2) + "\n"


def _refuse(problems: tuple[Problem, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"ok": False, "problems": [_as_document(problem, "error") for problem in problems]}
        )
        raise typer.Exit(1)
    for problem in problems:
        typer.echo(str(problem), err=True)
    fail(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}; nothing is changed")


def _report(checked: PolicyCheck, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": True,
                "files": checked.files,
                "orgs": list(checked.orgs),
                "problems": [
                    _as_document(one.problem, one.severity.value) for one in checked.findings
                ],
            }
        )
        return
    for finding in checked.findings:
        typer.echo(str(finding))
    orgs = ", ".join(checked.orgs) or "nobody"
    what = "file is in order; it speaks" if checked.files == 1 else "files are in order; they speak"
    typer.echo(f"{checked.files} {what} for {orgs}.")


def _as_document(problem: Problem, severity: str) -> dict[str, Any]:
    return {
        "severity": severity,
        "file": problem.file,
        "line": problem.mark.line if problem.mark else None,
        "column": problem.mark.column if problem.mark else None,
        "problem": problem.what,
    }
