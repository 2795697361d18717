"""`bedrock-gateway policy push|status`: what is in force, and how a folder gets there by hand.

With an administrator's key (GATEWAY_ADMIN_KEY) it is a client of the admin API, else it asks the
stores of this host's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.admin.rest.policy_publish import publication_document, publisher_document
from gateway.cli.api_access import AdminKey, AdminUrl, asked_or_exit, client_or_exit
from gateway.cli.api_client import AdminClient, ApiError
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
from gateway.compose.publishing import push_folder, read_folder, read_status
from gateway.control.bundle import FolderState, PolicyBundle
from gateway.control.publish import hits
from gateway.documents.marked_yaml import DocumentError
from gateway.settings import Settings

_CONFIRM = "To confirm it, add --yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAsked:
    """How a folder is to be pushed. `expect`: only if this edition is in force; None: any."""

    expect: int | None
    confirmed: bool
    why: str


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
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Put a policy folder in force on every gateway, whole or not at all."""
    asked = PushAsked(expect=expect, confirmed=yes, why=reason)
    if admin_key:
        client = client_or_exit(admin_url, admin_key, config)
        found = _push_by_api(client, folder or settings_or_exit(config).policies, asked)
    else:
        settings = settings_or_exit(config)
        found = _push(settings, folder or settings.policies, asked)
    if as_json:
        print_json(found)
    elif found["published"]:
        hit = hits(found["orgs_hit"], found["orgs"])
        typer.echo(f"Edition {found['edition']} is in force; it {hit}.")
    else:
        typer.echo(f"Edition {found['edition']} holds these very rules: nothing to publish.")


def status(
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show which edition is in force, and how each publisher's folder stands to it.

    Exit 1 if a folder is broken, waits for confirmation, or is not what is in force.
    """
    if admin_key:
        client = client_or_exit(admin_url, admin_key, config)
        current = _in_force(asked_or_exit(lambda: client.get("/v1/policies")))
        publishers = asked_or_exit(lambda: client.get("/v1/policies/publishers"))["items"]
    else:
        bundle, reports = run_or_exit(read_status(settings_or_exit(config)))
        current = _bundle_document(bundle)
        publishers = [publisher_document(one).model_dump(mode="json") for one in reports]
    if as_json:
        print_json({"in_force": current, "publishers": publishers})
    else:
        _print_status(current, publishers)
    if current is None or any(one["state"] != FolderState.IN_FORCE for one in publishers):
        raise typer.Exit(1)


def _push(settings: Settings, folder: Path, asked: PushAsked) -> dict[str, Any]:
    try:
        outcome = run_or_exit(
            push_folder(
                settings,
                CommandObserver(_say),
                folder,
                expect=asked.expect,
                confirmed=asked.confirmed,
                why=asked.why,
            )
        )
    except DocumentError as error:
        _refuse(error)
    if outcome.was_unexpected:
        _fail_unexpected(outcome.edition)
    if outcome.needs_confirmation:
        fail(f"this {outcome.proposal.says}; nothing is changed. {_CONFIRM}")
    published = publication_document(
        outcome.proposal, outcome.edition, published=outcome.is_published
    )
    return published.model_dump(mode="json")


def _push_by_api(client: AdminClient, folder: Path, asked: PushAsked) -> dict[str, Any]:
    """Sends the folder, made from the edition that is in force now if none is expected."""
    try:
        files = run_or_exit(read_folder(folder))
    except DocumentError as error:
        _refuse(error)
    order = {"files": dict(files), "why": asked.why, "confirmed": asked.confirmed}

    def put() -> dict[str, Any]:
        expected = asked.expect
        if expected is None:
            expected = client.get("/v1/policies")["edition"]
        return client.ask("PUT", "/v1/policies", order, if_match=f'"{expected}"').document

    try:
        return put()
    except ApiError as exc:
        match exc.kind:
            case "changed_meanwhile":
                _fail_unexpected(asked_or_exit(lambda: client.get("/v1/policies"))["edition"])
            case "needs_confirmation":
                fail(f"{exc}. {_CONFIRM}")
            case "broken_rules":
                _refuse_all(exc.details)
            case _:
                fail(str(exc))


def _refuse(error: DocumentError) -> NoReturn:
    _refuse_all([str(problem) for problem in error.problems])


def _refuse_all(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        _say(problem)
    count = len(problems)
    fail(f"{count} {'problem' if count == 1 else 'problems'}; nothing is changed")


def _fail_unexpected(edition: int) -> NoReturn:
    fail(f"edition {edition} is in force by now; look at it, and push again")


def _say(text: str) -> None:
    typer.echo(text, err=True)


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


def _in_force(document: dict[str, Any]) -> dict[str, Any] | None:
    """The edition in force as the API tells it; None: there is none."""
    if not document["edition"]:
        return None
    told = ("edition", "digest", "published_at", "published_by", "why")
    return {
        **{name: document[name] for name in told},
        "files": sorted(file["name"] for file in document["files"]),
        "budgets_by_api": document["budgets_by_api"],
        "overrides": document["overrides_by_api"],
    }


def _print_status(current: dict[str, Any] | None, reports: Sequence[dict[str, Any]]) -> None:
    if current is None:
        typer.echo("Nothing is in force: no gateway admits a call.")
    else:
        print_facts(current)
    if not reports:
        typer.echo("No publisher is running: a saved file changes nothing until one is.")
        return
    print_rows(
        ("publisher", "leads", "folder", "state", "detail"),
        [
            (
                report["publisher"],
                "yes" if report["leads"] else "",
                report["folder"],
                report["state"].replace("_", " "),
                report["detail"],
            )
            for report in reports
        ],
    )
