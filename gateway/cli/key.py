"""`bedrock-gateway key …`: issue, list and revoke keys, on a host that has the master key.

This talks to the key table directly: it is how the first administrator gets a key at all.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
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
from gateway.compose.stores import make_key_material, make_sealer, open_tables
from gateway.control.keys import (
    KeyRequest,
    KeyRequestError,
    NewKey,
    create_key,
    list_keys,
    revoke_key,
)
from gateway.control.ports import StoredKey
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Issue, list and revoke keys.")

_LIFETIME = re.compile(r"([1-9]\d{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


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
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key. Its secret and its bearer form are shown now and never again."""
    settings = settings_or_exit(config)
    now = datetime.now(UTC)
    request = KeyRequest(
        org=org,
        team=team,
        user=user,
        application=application,
        role=role,
        may_set=may_set,
        may_act_for_others=acts_for_others,
        expires_at=_expiry(expires, now) if expires else None,
        created_by=f"cli:{_who()}",
    )
    try:
        made = run_or_exit(_create(settings, request, now))
    except KeyRequestError as exc:
        raise typer.BadParameter(str(exc)) from exc
    document = {
        **key_document(made.stored),
        "secret_access_key": made.secret,
        "bearer_key": made.bearer,
    }
    if as_json:
        print_json(document)
        return
    print_facts(document)
    typer.echo("The secret and the bearer key are shown this once; keep them now.")


@app.command(name="list")
def list_all(*, config: Config = None, as_json: AsJson = False) -> None:
    """List all keys, newest first, without their secrets."""
    settings = settings_or_exit(config)
    keys = run_or_exit(_list(settings))
    if as_json:
        print_json([key_document(key) for key in keys])
        return
    print_rows(
        ("key", "role", "org", "team", "user", "application", "created", "expires", "revoked"),
        [
            (
                key.key_id,
                key.role,
                key.org,
                key.team,
                key.user,
                key.application,
                _day(key.created_at),
                _day(key.expires_at),
                _day(key.revoked_at),
            )
            for key in keys
        ],
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, AKIA….")],
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: every gateway refuses it within a second or two."""
    settings = settings_or_exit(config)
    if not run_or_exit(_revoke(settings, key_id, datetime.now(UTC))):
        fail(f"there is no key {key_id}")
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        typer.echo(f"{key_id} is revoked.")


def key_document(key: StoredKey) -> dict[str, Any]:
    """What may be shown of a key at any time."""
    return {
        "key_id": key.key_id,
        "role": key.role,
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "application": key.application,
        "may_set": list(key.may_set),
        "acts_for_others": key.may_act_for_others,
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


async def _create(settings: Settings, request: KeyRequest, now: datetime) -> NewKey:
    sealer = make_sealer(settings)
    async with open_tables(settings) as tables:
        return await create_key(tables.keys, sealer, request, make_key_material(), now)


async def _list(settings: Settings) -> Sequence[StoredKey]:
    async with open_tables(settings) as tables:
        return await list_keys(tables.keys)


async def _revoke(settings: Settings, key_id: str, now: datetime) -> bool:
    async with open_tables(settings) as tables:
        return await revoke_key(tables.keys, key_id, now)


def _expiry(text: str, now: datetime) -> datetime:
    lifetime = _LIFETIME.fullmatch(text)
    if lifetime is not None:
        return now + int(lifetime[1]) * _UNITS[lifetime[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected 12h, 90d, 8w or a date, got {text!r}") from exc
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container's user often has no name


def _day(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else None
