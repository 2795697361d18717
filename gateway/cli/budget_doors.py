"""The two ways in which commands reach budgets: the admin API, and the stores of this host."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import typer
from pydantic import BaseModel, ValidationError

from gateway.cli.api_access import asked_or_exit
from gateway.cli.api_client import AdminClient, ApiError
from gateway.cli.output import fail, run_or_exit
from gateway.compose.audit import command_actor
from gateway.compose.budgets import budget_states, change_rules, list_budgets
from gateway.compose.observers import CommandObserver
from gateway.control.publish import add_override, delete_budget, put_budget, remove_override
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from gateway.settings import Settings

_NOT_FOUND = 404
_UNFIT = 422
_FIELDS = ("org", "name", "scope", "period", "limit_usd", "mode", "rolling", "timezone", "warn_at",
           "active", "locked")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideAsked:
    """A limit that shall be another until a time. Neither amount: it is lifted."""

    place: Scope
    limit: str
    limit_usd: str | None
    rate: int | None
    why: str
    until: datetime


class BudgetDoor(Protocol):
    """What commands do with budgets. Every method ends the command if it is refused or fails."""

    def all(self) -> list[dict[str, Any]]:
        """All budgets in force, as the admin API shows them."""
        ...

    def states(self, place: Scope) -> list[dict[str, Any]]:
        """What stands in the budgets that count the calls of a place."""
        ...

    def put(self, budget_id: str, stated: Mapping[str, str], why: str) -> int:
        """Makes a budget, or changes what is stated of it; answers the edition."""
        ...

    def delete(self, budget_id: str, why: str) -> int:
        """Takes a budget away; answers the edition."""
        ...

    def override(self, asked: OverrideAsked) -> tuple[str, int]:
        """Changes or lifts a limit until a time; answers the override's id and the edition."""
        ...

    def restore(self, override_id: str, why: str) -> int:
        """Ends an override; answers the edition."""
        ...


class ApiDoor:
    """Implements `BudgetDoor` as a client of the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def all(self) -> list[dict[str, Any]]:
        """See `BudgetDoor`."""
        return asked_or_exit(lambda: list(self._client.pages("/v1/budgets", {"limit": "200"})))

    def states(self, place: Scope) -> list[dict[str, Any]]:
        """See `BudgetDoor`."""
        path = f"/v1/budget-status?{urlencode({'scope': place.path})}"
        items: list[dict[str, Any]] = asked_or_exit(lambda: self._client.get(path))["items"]
        return items

    def put(self, budget_id: str, stated: Mapping[str, str], why: str) -> int:
        """See `BudgetDoor`. What was read is what is changed, or nothing."""
        path = f"/v1/budgets/{quote(budget_id, safe='')}"

        def put() -> None:
            try:
                old = self._client.ask("GET", path)
            except ApiError as exc:
                if exc.status != _NOT_FOUND:
                    raise
                new = {**_defaults(budget_id), **stated, "id": budget_id, "why": why}
                self._client.post("/v1/budgets", new)
                return
            kept = {name: old.document[name] for name in _FIELDS}
            order = {name: value for name, value in kept.items() if value is not None}
            self._client.ask("PUT", path, {**order, **stated, "why": why}, if_match=old.etag)

        asked_or_exit(put)
        return self._edition()

    def delete(self, budget_id: str, why: str) -> int:
        """See `BudgetDoor`."""
        return self._taken_out(f"/v1/budgets/{quote(budget_id, safe='')}", why)

    def override(self, asked: OverrideAsked) -> tuple[str, int]:
        """See `BudgetDoor`."""
        if asked.rate is not None:
            fail("the admin API overrides budgets; a rate is overridden on a host, without a key")
        org = _org_of(asked.place)
        named = [one for one in self.all() if one["name"] == asked.limit]
        found = sorted(
            (one for one in named if one["org"] in (org, "*")), key=lambda one: one["org"] != org
        )
        if not found:
            fail(f"there is no budget {asked.limit!r} within your reach; nothing is changed")
        order = {
            "scope": asked.place.path,
            "limit_usd": asked.limit_usd,
            "why": asked.why,
            "until": asked.until.isoformat(),
        }
        given = {name: value for name, value in order.items() if value is not None}
        return asked_or_exit(lambda: self._first_fitting(found, given)), self._edition()

    def restore(self, override_id: str, why: str) -> int:
        """See `BudgetDoor`."""
        return self._taken_out(f"/v1/overrides/{quote(override_id, safe='')}", why)

    def _first_fitting(self, budgets: list[dict[str, Any]], order: Mapping[str, Any]) -> str:
        """The id of the override, of the first of the budgets whose scope holds its place."""
        for budget in budgets[:-1]:
            try:
                return self._overridden(budget, order)
            except ApiError as exc:
                if exc.status != _UNFIT:
                    raise
        return self._overridden(budgets[-1], order)

    def _overridden(self, budget: Mapping[str, Any], order: Mapping[str, Any]) -> str:
        path = f"/v1/budgets/{quote(budget['id'], safe='')}/override"
        return str(self._client.post(path, order)["id"])

    def _taken_out(self, path: str, why: str) -> int:
        asked_or_exit(lambda: self._client.ask("DELETE", f"{path}?{urlencode({'why': why})}"))
        return self._edition()

    def _edition(self) -> int:
        return int(asked_or_exit(lambda: self._client.get("/v1/budgets?limit=1"))["edition"])


class HostDoor:
    """Implements `BudgetDoor` in the stores of this host's settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def all(self) -> list[dict[str, Any]]:
        """See `BudgetDoor`."""
        return [_json(one) for one in run_or_exit(list_budgets(self._settings))]

    def states(self, place: Scope) -> list[dict[str, Any]]:
        """See `BudgetDoor`."""
        return [_json(one) for one in run_or_exit(budget_states(self._settings, place))]

    def put(self, budget_id: str, stated: Mapping[str, str], why: str) -> int:
        """See `BudgetDoor`."""

        def change(managed: ManagedRules) -> ManagedRules:
            old = next((b for b in managed.budgets if b.id == budget_id), None)
            kept = {} if old is None else old.model_dump(mode="json")
            asked = {**_defaults(budget_id), **kept, **stated, "id": budget_id}
            return put_budget(managed, ManagedBudget.model_validate(asked))

        return self._change(change, f"budget {budget_id}", why, dict(stated))

    def delete(self, budget_id: str, why: str) -> int:
        """See `BudgetDoor`."""
        return self._change(
            lambda managed: delete_budget(managed, budget_id),
            f"budget {budget_id}",
            why,
            {"delete": "yes"},
        )

    def override(self, asked: OverrideAsked) -> tuple[str, int]:
        """See `BudgetDoor`."""
        document = {
            "id": f"o-{secrets.token_hex(6)}",
            "org": _org_of(asked.place),
            "scope": asked.place.path,
            "limit": asked.limit,
            "limit_usd": asked.limit_usd,
            "rate": asked.rate,
            "by": command_actor(),
            "why": asked.why,
            "until": asked.until.isoformat(),
        }
        context = {name: str(value) for name, value in document.items() if value is not None}
        edition = self._change(
            lambda managed: add_override(managed, Override.model_validate(document)),
            f"override of {asked.place.path}",
            asked.why,
            context,
        )
        return str(document["id"]), edition

    def restore(self, override_id: str, why: str) -> int:
        """See `BudgetDoor`."""
        return self._change(
            lambda managed: remove_override(managed, override_id),
            f"override {override_id}",
            why,
            {"end": "yes"},
        )

    def _change(
        self,
        change: Callable[[ManagedRules], ManagedRules],
        resource: str,
        why: str,
        context: dict[str, str],
    ) -> int:
        observer = CommandObserver(lambda text: typer.echo(text, err=True))
        work = change_rules(
            self._settings, observer, change, resource=resource, why=why, context=context
        )
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
            what = f"there is no {error.args[0]} that was made by API or command"
            fail(f"{what}; nothing is changed")


def _defaults(budget_id: str) -> dict[str, str]:
    return {"name": budget_id, "scope": "org", "period": "month"}


def _json(document: BaseModel) -> dict[str, Any]:
    return document.model_dump(mode="json")


def _org_of(place: Scope) -> str:
    parts = place.path.split("/")
    return parts[1] if len(parts) > 1 else "*"
