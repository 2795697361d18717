"""`bedrock-gateway budget …`: what may be spent where, what was, and who may exceed it for a time.

Budgets of the policy files are changed there; those made here, or by API, live beside them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from gateway.cli.output import (
    AsJson,
    Config,
    fail,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.audit import command_actor
from gateway.compose.budgets import BudgetState, budget_states, change_rules, list_budgets
from gateway.compose.observers import CommandObserver
from gateway.control.budgets import KnownBudget
from gateway.control.publish import add_override, delete_budget, put_budget, remove_override
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Show and adjust budgets, override limits.")

_TIME = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Reason = Annotated[str, typer.Option(help="Why, for the record.")]
LimitUsd = Annotated[str | None, typer.Option("--limit-usd", help="USD, such as 5000 or 0.25.")]


@app.command(name="list")
def list_all(*, config: Config = None, as_json: AsJson = False) -> None:
    """List all budgets in force, those of the policy files and those made by API."""
    settings = settings_or_exit(config)
    budgets = run_or_exit(list_budgets(settings))
    documents = [_budget_document(budget) for budget in budgets]
    if as_json:
        print_json(documents)
        return
    columns = ("id", "org", "name", "scope", "period", "limit_usd", "mode", "source")
    print_rows(columns, [[document[column] for column in columns] for document in documents])


@app.command()
def show(
    scope: Annotated[str, typer.Argument(help="A place, as org/acme/team/web/user/ada.")],
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what is spent, held and left in each budget that counts the calls of a place."""
    settings = settings_or_exit(config)
    states = run_or_exit(budget_states(settings, _scope(scope)))
    documents = [_state_document(state) for state in states]
    if as_json:
        print_json(documents)
        return
    columns = ("name", "scope", "window", "limit_usd", "spent_usd", "held_usd", "remaining_usd",
               "resets_at", "mode")  # fmt: skip
    print_rows(columns, [[document[column] for column in columns] for document in documents])


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
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make, change or delete a budget beside those of the policy files; in force at once."""
    settings = settings_or_exit(config)
    asked = {"limit_usd": limit_usd, "org": org, "name": name, "scope": scope, "period": period,
             "mode": mode}  # fmt: skip
    stated = {key: value for key, value in asked.items() if value is not None}

    def change(managed: ManagedRules) -> ManagedRules:
        if delete:
            return delete_budget(managed, budget_id)
        old = next((b for b in managed.budgets if b.id == budget_id), None)
        kept = {} if old is None else old.model_dump(mode="json")
        defaults = {"name": budget_id, "scope": "org", "period": "month"}
        return put_budget(
            managed, ManagedBudget.model_validate({**defaults, **kept, **stated, "id": budget_id})
        )

    context = {**stated, **({"delete": "yes"} if delete else {})}
    edition = _change(settings, change, f"budget {budget_id}", reason, context)
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
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change a limit for the calls of a place until a time; without an amount, lift it."""
    settings = settings_or_exit(config)
    place, ends = _scope(scope), _until(until, datetime.now(UTC))
    document = {
        "id": f"o-{secrets.token_hex(6)}",
        "org": _org_of(place),
        "scope": place.path,
        "limit": limit,
        "limit_usd": limit_usd,
        "rate": rate,
        "by": command_actor(),
        "why": reason,
        "until": ends.isoformat(),
    }

    def change(managed: ManagedRules) -> ManagedRules:
        return add_override(managed, Override.model_validate(document))

    context = {key: str(value) for key, value in document.items() if value is not None}
    edition = _change(settings, change, f"override of {place.path}", reason, context)
    _say_done(edition, {"id": str(document["id"]), "until": ends.isoformat()}, as_json=as_json)


@app.command()
def restore(
    override_id: Annotated[str, typer.Argument(help="The override's id.")],
    *,
    reason: Reason = "budget restore",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End an override before its time."""
    settings = settings_or_exit(config)

    def change(managed: ManagedRules) -> ManagedRules:
        return remove_override(managed, override_id)

    edition = _change(settings, change, f"override {override_id}", reason, {"end": "yes"})
    _say_done(edition, {"id": override_id}, as_json=as_json)


def _change(
    settings: Settings,
    change: Callable[[ManagedRules], ManagedRules],
    resource: str,
    why: str,
    context: dict[str, str],
) -> int:
    observer = CommandObserver(lambda text: typer.echo(text, err=True))
    work = change_rules(settings, observer, change, resource=resource, why=why, context=context)
    try:
        return run_or_exit(work).edition
    except ValidationError as error:
        for one in error.errors():
            place = ".".join(str(part) for part in one["loc"])
            message = one["msg"].removeprefix("Value error, ")
            typer.echo(f"{place or 'what was asked'}: {message}", err=True)
        fail("nothing is changed")
    except DocumentError as error:
        fail(f"{error}; nothing is changed")
    except KeyError as error:
        fail(f"there is no {error.args[0]} that was made by API or command; nothing is changed")


def _say_done(edition: int, facts: dict[str, str], *, as_json: bool) -> None:
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


def _org_of(place: Scope) -> str:
    parts = place.path.split("/")
    return parts[1] if len(parts) > 1 else "*"


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


def _budget_document(budget: KnownBudget) -> dict[str, Any]:
    rule = budget.rule
    return {
        "id": budget.id,
        "org": budget.org,
        "name": rule.name,
        "scope": rule.scope.text,
        "period": rule.period.value,
        "rolling": rule.rolling,
        "timezone": budget.zone.key,
        "limit_usd": format_usd(rule.limit_usd),
        "mode": rule.mode.value,
        "source": budget.source,
    }


def _state_document(state: BudgetState) -> dict[str, Any]:
    reading, balance = state.reading, state.balance
    ceiling, used = reading.ceiling, balance.posted + balance.pending
    left = None if ceiling is None else format_usd(NanoUsd(max(0, ceiling - used)))
    ends = datetime.fromtimestamp(reading.window.end_ms / 1000, UTC)
    limit = reading.limit
    return {
        "id": reading.budget.id,
        "name": reading.budget.rule.name,
        "scope": reading.place.path,
        "window": reading.window.id,
        "limit_usd": "lifted" if ceiling is None else format_usd(ceiling),
        "spent_usd": format_usd(balance.posted),
        "held_usd": format_usd(balance.pending),
        "remaining_usd": left,
        "overrun_usd": format_usd(balance.overrun),
        "resets_at": ends.isoformat(),
        "mode": (limit.mode if limit is not None else reading.budget.rule.mode).value,
        "overrides": [one.id for one in reading.overrides],
    }
