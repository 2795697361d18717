"""`bedrock-gateway policy push|status`: what is in force, and how a folder gets there by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    fail,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.observers import CommandObserver
from gateway.compose.publishing import PushOutcome, push_folder, read_status
from gateway.control.bundle import FolderState, PolicyBundle, PublisherReport
from gateway.control.publish import Proposal
from gateway.documents.marked_yaml import DocumentError
from gateway.settings import Settings


def push(
    folder: Annotated[
        Path | None, typer.Argument(help="The policy folder; the settings' if absent.")
    ] = None,
    *,
    expect: Annotated[
        int | None, typer.Option(help="Only if this edition is in force; 0: none is.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Even if it hits more than half of the orgs.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "policy push",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Put a policy folder in force on every gateway, whole or not at all."""
    settings = settings_or_exit(config)
    folder = folder or settings.policies
    outcome = _push(settings, folder, expect=expect, yes=yes, reason=reason)
    proposal, edition = outcome.proposal, outcome.edition
    if as_json:
        print_json({"published": outcome.is_published, **_document(proposal, edition)})
    elif outcome.is_published:
        hit = proposal.says.removeprefix("would ")
        typer.echo(f"Edition {edition} is in force; it {hit}.")
    else:
        typer.echo(f"Edition {edition} holds these very rules: nothing to publish.")


def status(*, config: Config = None, as_json: AsJson = False) -> None:
    """Show which edition is in force, and how each publisher's folder stands to it.

    Exit 1 if a folder is broken, waits for confirmation, or is not what is in force.
    """
    settings = settings_or_exit(config)
    current, reports = run_or_exit(read_status(settings))
    if as_json:
        print_json(
            {
                "in_force": _bundle_document(current),
                "publishers": [_report_document(report) for report in reports],
            }
        )
    else:
        _print_status(current, reports)
    if current is None or any(report.state is not FolderState.IN_FORCE for report in reports):
        raise typer.Exit(1)


def _push(
    settings: Settings, folder: Path, *, expect: int | None, yes: bool, reason: str
) -> PushOutcome:
    try:
        outcome = run_or_exit(
            push_folder(
                settings, CommandObserver(_say), folder, expect=expect, confirmed=yes, why=reason
            )
        )
    except DocumentError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        count = len(error.problems)
        fail(f"{count} {'problem' if count == 1 else 'problems'}; nothing is changed")
    if outcome.was_unexpected:
        fail(f"edition {outcome.edition} is in force by now; look at it, and push again")
    if outcome.needs_confirmation:
        fail(f"this {outcome.proposal.says}; nothing is changed. To confirm it, add --yes")
    return outcome


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _document(proposal: Proposal, edition: int) -> dict[str, Any]:
    return {
        "edition": edition,
        "digest": proposal.bundle.digest,
        "orgs": len(proposal.orgs),
        "orgs_hit": list(proposal.orgs_hit),
    }


def _bundle_document(bundle: PolicyBundle | None) -> dict[str, Any] | None:
    if bundle is None:
        return None
    return {
        "edition": bundle.edition,
        "digest": bundle.digest,
        "published_at": bundle.published_at.isoformat(),
        "published_by": bundle.published_by,
        "why": bundle.why,
        "files": sorted(bundle.files),
        "budgets_by_api": len(bundle.managed.budgets),
        "overrides": len(bundle.managed.overrides),
    }


def _report_document(report: PublisherReport) -> dict[str, Any]:
    return {
        "publisher": report.name,
        "folder": report.folder,
        "leads": report.is_leader,
        "state": report.state.value,
        "detail": report.detail,
        "edition": report.edition,
        "at": report.at.isoformat(),
    }


def _print_status(current: PolicyBundle | None, reports: Sequence[PublisherReport]) -> None:
    if current is None:
        typer.echo("Nothing is in force: no gateway admits a call.")
    else:
        print_facts(_bundle_document(current) or {})
    if not reports:
        typer.echo("No publisher is running: a saved file changes nothing until one is.")
        return
    print_rows(
        ("publisher", "leads", "folder", "state", "detail"),
        [
            (
                report.name,
                "yes" if report.is_leader else "",
                report.folder,
                report.state.value.replace("_", " "),
                report.detail,
            )
            for report in reports
        ],
    )
