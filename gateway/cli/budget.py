"""`bedrock-gateway budget …`: what may be spent where, what was, and who may exceed it for a time.

Budgets of the policy files are changed there; those made here, or by API, live beside them. With an
administrator's key (GATEWAY_ADMIN_KEY) it is a client of the admin API, else it asks the stores.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.api_access import AdminKey, AdminUrl, client_or_exit
from gateway.cli.budget_doors import ApiDoor, BudgetDoor, HostDoor, OverrideAsked
from gateway.cli.output import AsJson, Config, print_json, print_rows, settings_or_exit
from gateway.domain.scope import Scope

app = typer.Typer(no_args_is_help=True, help="Show and adjust budgets, override limits.")

_TIME = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LISTED = ("id", "org", "name", "scope", "period", "limit_usd", "mode", "source")
_STATES = ("name", "scope", "window", "limit_usd", "spent_usd", "held_usd", "remaining_usd",
           "resets_at", "mode")  # fmt: skip

Reason = Annotated[str, typer.Option(help="Why, for the record.")]
LimitUsd = Annotated[str | None, typer.Option("--limit-usd", help="USD, such as 5000 or 0.25.")]


@app.command(name="list")
def list_all(
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List all budgets in force, those of the policy files and those made by API."""
    budgets = _door(admin_url, admin_key, config).all()
    if as_json:
        print_json(budgets)
        return
    print_rows(_LISTED, [[budget[column] for column in _LISTED] for budget in budgets])


@app.command()
def show(
    scope: Annotated[str, typer.Argument(help="A place, as org/acme/team/web/user/ada.")],
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what is spent, held and left in each budget that counts the calls of a place."""
    place = _scope(scope)
    states = _door(admin_url, admin_key, config).states(place)
    if as_json:
        print_json(states)
        return
    shown = [{**state, "limit_usd": state["limit_usd"] or "lifted"} for state in states]
    print_rows(_STATES, [[state[column] for column in _STATES] for state in shown])


@app.command()
def adjust(
    budget_id: Annotated[str, typer.Argument(help="The budget's id; a new one makes a budget.")],
    *,
    limit_usd: LimitUsd = None,
    org: Annotated[str | None, typer.Option(help="Whose budget it is (a new one).")] = None,
    name: Annotated[str | None, typer.Option(help="What a refusal calls it.")] = None,
    scope: Annotated[str | None, typer.Option(help="org, user, team/web …")] = None,
    period: Annotated[str | None, typer.Option(help="hour, day, week or month.")] = None,
    mode: Annotated[str | None, typer.Option(help="hard, soft or observe.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the budget away.")] = False,
    reason: Reason = "budget adjust",
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make, change or delete a budget beside those of the policy files; in force at once."""
    door = _door(admin_url, admin_key, config)
    asked = {"limit_usd": limit_usd, "org": org, "name": name, "scope": scope, "period": period,
             "mode": mode}  # fmt: skip
    stated = {key: value for key, value in asked.items() if value is not None}
    edition = door.delete(budget_id, reason) if delete else door.put(budget_id, stated, reason)
    _say_done(edition, {"id": budget_id}, as_json=as_json)


@app.command()
def override(
    scope: Annotated[str, typer.Argument(help="Whose calls: a place, as org/acme/team/web.")],
    limit: Annotated[str, typer.Argument(help="The limit's name, as a refusal says it.")],
    *,
    until: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 7d; or until when.")],
    reason: Annotated[str, typer.Option(help="Why; it has to be said.")],
    limit_usd: LimitUsd = None,
    rate: Annotated[int | None, typer.Option(help="What a rate lets pass instead.")] = None,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change a limit for the calls of a place until a time; without an amount, lift it."""
    asked = OverrideAsked(
        place=_scope(scope),
        limit=limit,
        limit_usd=limit_usd,
        rate=rate,
        why=reason,
        until=_until(until, datetime.now(UTC)),
    )
    made, edition = _door(admin_url, admin_key, config).override(asked)
    _say_done(edition, {"id": made, "until": asked.until.isoformat()}, as_json=as_json)


@app.command()
def restore(
    override_id: Annotated[str, typer.Argument(help="The override's id.")],
    *,
    reason: Reason = "budget restore",
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End an override before its time."""
    edition = _door(admin_url, admin_key, config).restore(override_id, reason)
    _say_done(edition, {"id": override_id}, as_json=as_json)


def _door(url: str | None, key: str | None, config: Path | None) -> BudgetDoor:
    if key:
        return ApiDoor(client_or_exit(url, key, config))
    return HostDoor(settings_or_exit(config))


def _say_done(edition: int, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({**facts, "edition": edition})
        return
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    typer.echo(f"Edition {edition} is in force ({told}).")


def _scope(text: str) -> Scope:
    try:
        return Scope.parse(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _until(text: str, now: datetime) -> datetime:
    length = _TIME.fullmatch(text)
    if length is not None:
        return now + timedelta(**{_UNITS[length[2]]: int(length[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected 30m, 2h, 7d or a date, got {text!r}") from exc
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if at <= now:
        raise typer.BadParameter(f"{text} is over already")
    return at
