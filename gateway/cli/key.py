"""`bedrock-gateway key …`: issue, list, rotate and revoke keys.

With an administrator's key (GATEWAY_ADMIN_KEY) it is a client of the admin API. Without one it is
the private door on a host that has the master key: how the first administrator gets a key at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway.admin.models.keys import KeyDocument, NewKeyDocument
from gateway.cli.api_access import AdminKey, AdminUrl, asked_or_exit, client_or_exit
from gateway.cli.api_client import AdminClient
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
from gateway.compose.audit import command_actor
from gateway.compose.keys import KeysByHand, open_keys_by_hand
from gateway.control.keys import KeyEndedError, KeyRequest, KeyRequestError, grace_of

app = typer.Typer(no_args_is_help=True, help="Issue, list, rotate and revoke keys.")

_LIFETIME = re.compile(r"([1-9]\d{0,4})([hdw])")
_GRACE = re.compile(r"(\d{1,5})([smhdw]?)")
_UNITS = {
    "": timedelta(seconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_COLUMNS = ("key_id", "status", "role", "org", "team", "user", "application")
_SHOWN_ONCE = "The secret and the bearer key are shown this once; keep them now."
_Answer = TypeVar("_Answer")

KeyId = Annotated[str, typer.Argument(help="The key's id, AKIA….")]


@app.command()
def create(
    *,
    org: Annotated[str | None, typer.Option(help="The org it is bound to.")] = None,
    team: Annotated[str | None, typer.Option(help="The team it is bound to.")] = None,
    user: Annotated[str | None, typer.Option(help="The user who holds it.")] = None,
    application: Annotated[str | None, typer.Option(help="The application that holds it.")] = None,
    role: Annotated[
        str, typer.Option(help="caller (Bedrock only), viewer, analyst, operator or admin.")
    ] = "caller",
    may_set: Annotated[
        list[str] | None,
        typer.Option(help="An attribute its calls may set (repeat); labels if not given."),
    ] = None,
    acts_for_others: Annotated[
        bool, typer.Option("--acts-for-others", help="Its calls may name an end user.")
    ] = False,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 12h, 90d, 8w, or 2027-01-31.")
    ] = None,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key. Its secret and its bearer form are shown now and never again."""
    now = datetime.now(UTC)
    expires_at = _expiry(expires, now) if expires else None
    if admin_key:
        order = {
            "org": org,
            "team": team,
            "user": user,
            "application": application,
            "role": role,
            "may_set": may_set or None,
            "acts_for_others": acts_for_others or None,
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        given = {name: value for name, value in order.items() if value is not None}
        client = client_or_exit(admin_url, admin_key, config)
        _show_new(asked_or_exit(lambda: client.create_key(given)), as_json=as_json)
        return
    request = KeyRequest(
        org=org,
        team=team,
        user=user,
        application=application,
        role=role,
        may_set=may_set,
        may_act_for_others=acts_for_others or None,
        expires_at=expires_at,
        created_by=command_actor(),
    )
    made = _by_hand(config, lambda keys: keys.create(request, now))
    _show_new(NewKeyDocument.of_new(made, now).model_dump(mode="json"), as_json=as_json)


@app.command(name="list")
def list_all(
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List all keys, newest first, without their secrets."""
    if admin_key:
        client: AdminClient = client_or_exit(admin_url, admin_key, config)
        keys = asked_or_exit(lambda: list(client.keys()))
    else:
        now = datetime.now(UTC)
        stored = _by_hand(config, lambda door: door.list())
        keys = [KeyDocument.of(key, now).model_dump(mode="json") for key in stored]
    if as_json:
        print_json(keys)
        return
    times = ("created_at", "expires_at", "revoked_at")
    print_rows(
        ("key", *_COLUMNS[1:], *(name.removesuffix("_at") for name in times)),
        [(*(key[name] for name in _COLUMNS), *(_day(key[name]) for name in times)) for key in keys],
    )


@app.command()
def rotate(
    key_id: KeyId,
    *,
    grace: Annotated[
        str, typer.Option(help="How long the old key goes on working: 0, 10m, 24h, 7d.")
    ] = "24h",
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one with the same rights; the old one ends after the grace."""
    lasts = _grace(grace)
    if admin_key:
        client = client_or_exit(admin_url, admin_key, config)
        seconds = int(lasts.total_seconds())
        _show_new(asked_or_exit(lambda: client.rotate_key(key_id, seconds)), as_json=as_json)
        return
    now = datetime.now(UTC)
    made = _by_hand(config, lambda door: door.rotate(key_id, lasts, now))
    if made is None:
        fail(f"there is no key {key_id}")
    document = NewKeyDocument.of_new(made, now, replaces=key_id)
    _show_new(document.model_dump(mode="json"), as_json=as_json)


@app.command()
def revoke(
    key_id: KeyId,
    *,
    admin_url: AdminUrl = None,
    admin_key: AdminKey = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: every gateway refuses it within a second."""
    if admin_key:
        client = client_or_exit(admin_url, admin_key, config)
        asked_or_exit(lambda: client.revoke_key(key_id))
    elif not _by_hand(config, lambda door: door.revoke(key_id, datetime.now(UTC))):
        fail(f"there is no key {key_id}")
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        typer.echo(f"{key_id} is revoked.")


def _by_hand(
    config: Path | None, act: Callable[[KeysByHand], Coroutine[Any, Any, _Answer]]
) -> _Answer:
    """What comes of it by the private door; wrong usage ends with status 2."""
    settings = settings_or_exit(config)

    async def work() -> _Answer:
        async with open_keys_by_hand(settings) as door:
            return await act(door)

    try:
        return run_or_exit(work())
    except KeyEndedError as exc:
        fail(str(exc))
    except KeyRequestError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _show_new(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    print_facts(document)
    typer.echo(_SHOWN_ONCE)


def _expiry(text: str, now: datetime) -> datetime:
    lifetime = _LIFETIME.fullmatch(text)
    if lifetime is not None:
        return now + int(lifetime[1]) * _UNITS[lifetime[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected 12h, 90d, 8w or a date, got {text!r}") from exc
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _grace(text: str) -> timedelta:
    parts = _GRACE.fullmatch(text)
    if parts is None:
        raise typer.BadParameter(f"expected 0, 10m, 24h or 7d, got {text!r}")
    try:
        return grace_of(int((int(parts[1]) * _UNITS[parts[2]]).total_seconds()))
    except KeyRequestError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _day(at: str | None) -> str | None:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}" if at is not None else None
