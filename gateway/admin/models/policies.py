"""Policies as the admin API shows and checks them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from gateway.admin.models.document import Given, Shown, Why

_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_MAX_CHARS = 1_000_000

FileName = Annotated[str, Field(pattern=_FILE_NAME)]
PolicyFiles = Annotated[
    dict[FileName, Annotated[str, Field(max_length=_MAX_CHARS)]],
    Field(min_length=1, max_length=1000),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _FILE_NAME},
            "additionalProperties": {"type": "string", "maxLength": _MAX_CHARS},
            "minProperties": 1,
            "maxProperties": 1000,
        }
    ),
]
"""Policy files: name → text."""


class PolicyFile(Shown):
    """One policy file of the edition in force."""

    name: str
    org: str
    text: str


class PolicyEdition(Shown):
    """The edition in force: of its files those within your reach. Edition 0: there is none yet.

    Who published it and why is told to those who reach everything.
    """

    edition: int
    digest: str | None
    published_at: datetime | None
    published_by: str | None
    why: str | None
    files: tuple[PolicyFile, ...]
    budgets_by_api: int
    overrides_by_api: int


class PolicyCheckOrder(Given):
    """Policy files that are to be checked together: name → text."""

    files: PolicyFiles


class PolicyPublishOrder(Given):
    """The policy files that shall be in force, all of them: name → text.

    `confirmed`: even if they change the rules of more than half of the orgs.
    """

    files: PolicyFiles
    why: Why
    confirmed: bool = False


class PolicyPublished(Shown):
    """What became of it. `published` False: the edition in force holds these very rules.

    `orgs`: how many have rules in force; `orgs_hit`: those whose rules it changed.
    """

    published: bool
    edition: int
    digest: str
    orgs: int
    orgs_hit: tuple[str, ...]


class PolicyPublisher(Shown):
    """How the folder of one publisher stands to what is in force. `detail`: what is to be done."""

    publisher: str
    folder: str
    leads: bool
    state: Literal["in_force", "broken", "needs_confirmation", "differs"]
    detail: str
    edition: int
    at: datetime


class PolicyPublishers(Shown):
    """The publishers that live now."""

    items: tuple[PolicyPublisher, ...]


class PolicyProblem(Shown):
    """One thing that is wrong with a file: where, and what was expected."""

    file: str
    line: int | None
    column: int | None
    detail: str


class PolicyFinding(PolicyProblem):
    """Something in files that are in order and that is hardly meant."""

    severity: Literal["warning", "info"]


class PolicyCheck(Shown):
    """Whether the files can be put in force, and what is remarkable about them."""

    ok: bool
    problems: tuple[PolicyProblem, ...]
    findings: tuple[PolicyFinding, ...]
