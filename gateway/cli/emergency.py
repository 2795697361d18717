"""`bedrock-gateway emergency …`: stop everything, or a part of it, and prove it.

It asks the ledger itself: an emergency is no time to depend on one more server.
"""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.audit_stops import stop_recorder
from gateway.compose.control import open_emergency
from gateway.control.emergency import (
    EmergencyRequestError,
    EmergencyStatus,
    Outcome,
    asked_stop,
)
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, iso_instant
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Stop calls at once, everywhere, and restore them.")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(?:[1-9]\d{0,6}[smhd])+")

ScopeOption = Annotated[str, typer.Option(help="What: platform, org/NAME, org/NAME/team/NAME …")]
HostOption = Annotated[
    bool, typer.Option("--host", help="Only this host, by its file: for when the ledger is gone.")
]


@app.command()
def stop(
    *,
    reason: Annotated[str, typer.Option(help="Why; operators see it, callers do not.")],
    scope: ScopeOption = "platform",
    lasts: Annotated[
        str | None, typer.Option("--for", help="It ends by itself after: 30m, 2h, 1d12h.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who does it; your user name if not given.")
    ] = None,
    host: HostOption = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Refuse new calls of a scope and cut those that run. Done when all shards have answered."""
    settings = settings_or_exit(config)
    try:
        asked = asked_stop(
            scope=scope,
            by=by or _who(),
            why=reason,
            now=datetime.now(UTC),
            lasts=None if lasts is None else parse_duration(lasts),
        )
    except EmergencyRequestError as error:
        raise typer.BadParameter(str(error)) from error
    outcome = run_or_exit(_stop(settings, asked, host_only=host))
    _report(outcome, f"{scope} is stopped", as_json=as_json)


@app.command()
def restore(
    *,
    scope: ScopeOption = "platform",
    host: HostOption = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Take back the stop of exactly this scope. Done when all shards have answered."""
    settings = settings_or_exit(config)
    try:
        asked = Scope.parse(scope)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    outcome = run_or_exit(_restore(settings, asked, host_only=host))
    _report(outcome, f"{scope} is restored", as_json=as_json)


@app.command()
def status(*, config: Config = None, as_json: AsJson = False) -> None:
    """Show what is stopped: by whom, why, since when, until when; exit 1 if a shard is silent."""
    found = run_or_exit(_status(settings_or_exit(config)))
    if as_json:
        print_json(_status_document(found))
    else:
        _print_status(found)
    if found.ledger_error or found.silent or found.host_error:
        raise typer.Exit(1)


def parse_duration(text: str) -> timedelta:
    """How long `2h`, `30m` or `1d12h` is. Raises: EmergencyRequestError."""
    if not _DURATION.fullmatch(text):
        raise EmergencyRequestError(f"a time is written like 30m, 2h or 1d12h, got {text!r}")
    parts = re.findall(r"(\d+)([smhd])", text)
    return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())


async def _stop(settings: Settings, asked: Stop, *, host_only: bool) -> Outcome:
    record = stop_recorder(settings)
    async with open_emergency(settings, put_on_record=record) as emergency:
        return await emergency.stop(asked, host_only=host_only)


async def _restore(settings: Settings, scope: Scope, *, host_only: bool) -> Outcome:
    record = stop_recorder(settings)
    async with open_emergency(settings, put_on_record=record) as emergency:
        return await emergency.restore(scope, host_only=host_only)


async def _status(settings: Settings) -> EmergencyStatus:
    async with open_emergency(settings) as emergency:
        return await emergency.status()


def _report(outcome: Outcome, sentence: str, *, as_json: bool) -> None:
    troubles = [
        trouble
        for trouble in (outcome.ledger_error, outcome.host_error, outcome.record_error)
        if trouble
    ]
    if as_json:
        print_json(
            {
                "scope": outcome.scope.path,
                "stop": None if outcome.stop is None else _stop_document(outcome.stop),
                "done": outcome.is_done,
                "silent_shards": list(outcome.silent),
                "troubles": troubles,
                "took_ms": round(outcome.took_s * 1000, 1),
            }
        )
    else:
        where = "on this host" if outcome.host_only else "everywhere"
        if outcome.is_done:
            until = outcome.stop.until if outcome.stop else None
            end = f", until {iso_instant(until)}" if until else ""
            typer.echo(f"{sentence} {where}{end} (in {outcome.took_s * 1000:.0f} ms).")
        else:
            typer.echo(f"NOT DONE: {sentence} only in part. Repeat the command.", err=True)
        for trouble in troubles:
            typer.echo(f"bedrock-gateway: {trouble}", err=True)
    if not outcome.is_done:
        raise typer.Exit(1)


def _stop_document(stop: Stop) -> dict[str, Any]:
    return {
        "scope": stop.scope.path,
        "by": stop.by,
        "reason": stop.why,
        "since": iso_instant(stop.since),
        "until": None if stop.until is None else iso_instant(stop.until),
    }


def _status_document(found: EmergencyStatus) -> dict[str, Any]:
    return {
        "stopped": bool(found.ledger or found.host),
        "ledger": [_stop_document(stop) for stop in found.ledger],
        "host": [_stop_document(stop) for stop in found.host],
        "silent_shards": list(found.silent),
        "troubles": [error for error in (found.ledger_error, found.host_error) if error],
    }


def _print_status(found: EmergencyStatus) -> None:
    rows = [
        (
            stop.scope.path,
            where,
            stop.by,
            stop.why,
            iso_instant(stop.since),
            "somebody restores it" if stop.until is None else iso_instant(stop.until),
        )
        for where, stops in (("ledger", found.ledger), ("this host", found.host))
        for stop in stops
    ]
    if rows:
        print_rows(("scope", "known to", "by", "reason", "since", "until"), rows)
    elif not found.ledger_error:
        typer.echo("Nothing is stopped.")
    if found.silent:
        typer.echo(f"bedrock-gateway: no answer from {', '.join(found.silent)}", err=True)
    for error in (found.ledger_error, found.host_error):
        if error:
            typer.echo(f"bedrock-gateway: {error}", err=True)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container's user often has no name
