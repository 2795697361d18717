"""What differs between two editions of the policies, rule by rule, as people speak of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from gateway.domain.money import NanoUsd, format_usd
from gateway.policy.document import PolicyDocument
from gateway.policy.name_types import EVERYONE
from gateway.policy.parse import PolicySet

_LISTS_OF_RULES = frozenset({"budgets", "limits"})


class ChangeKind(StrEnum):
    """What became of a rule."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One rule that is not as it was. `rule`: such as `budgets['month'].limit_usd`."""

    org: str
    kind: ChangeKind
    rule: str
    before: str
    after: str


def differences(before: PolicySet, after: PolicySet) -> Iterator[Difference]:
    """Everything that differs, org by org; comments and the order of rules do not count."""
    for org in sorted({*_orgs(before), *_orgs(after)}):
        yield from _between(org, _rules(before, org), _rules(after, org))


def _orgs(policies: PolicySet) -> set[str]:
    budgets = (budget.org for budget in policies.managed.budgets)
    overrides = (override.org for override in policies.managed.overrides)
    return {*_documents(policies), *budgets, *overrides}


def _documents(policies: PolicySet) -> Mapping[str, PolicyDocument]:
    everyone = {} if policies.everyone is None else {EVERYONE: policies.everyone}
    return {**everyone, **policies.orgs}


def _between(org: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for rule in sorted({*old, *new}):
        was, becomes = old.get(rule, ""), new.get(rule, "")
        if was == becomes and (rule in old) == (rule in new):
            continue
        if rule not in old:
            kind = ChangeKind.ADDED
        elif rule not in new:
            kind = ChangeKind.REMOVED
        else:
            kind = ChangeKind.CHANGED
        yield Difference(org=org, kind=kind, rule=rule, before=was, after=becomes)


def _rules(policies: PolicySet, org: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    document = _documents(policies).get(org)
    if document is not None:
        _flatten("", document, found)
        found.pop("version", None)
        found.pop("org", None)
    for budget in policies.managed.budgets:
        if budget.org == org:
            _flatten(f"api.budgets[{budget.id!r}]", budget, found)
    for override in policies.managed.overrides:
        if override.org == org:
            _flatten(f"api.overrides[{override.id!r}]", override, found)
    return found


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    """Every value that is stated, by a path that does not depend on the order of rules."""
    match value:
        case BaseModel():
            for name in value.model_fields_set:
                _flatten(f"{path}.{name}" if path else name, getattr(value, name), found)
        case dict():
            for key, each in value.items():
                _flatten(f"{path}[{str(key)!r}]", each, found)
        case tuple() if any(isinstance(each, BaseModel) for each in value):
            for number, each in enumerate(value):
                _flatten(f"{path}[{_name(each, number)}]", each, found)
        case () if path in _LISTS_OF_RULES:
            return  # no rules, as if it were not stated
        case tuple():
            found[path] = ", ".join(sorted(_text(each) for each in value))
        case int() if path.endswith("_usd") and not isinstance(value, bool):
            found[path] = f"{format_usd(NanoUsd(value))} USD"
        case _:
            found[path] = _text(value)


def _name(rule: Any, number: int) -> str:
    """What a rule of a list is called: by its name and scope, which no other rule has both."""
    label = getattr(rule, "name", None) or getattr(rule, "label", None)
    scope = getattr(rule, "scope", None)
    if label is None:
        return str(number)
    return repr(str(label)) if scope is None else f"{str(label)!r} of {_text(scope)}"


def _text(value: Any) -> str:
    match value:
        case None:
            return "not stated"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(getattr(value, "text", None) or getattr(value, "value", None) or value)
