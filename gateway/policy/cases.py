"""The grammar of given/when/then cases: what a policy is expected to decide, beside the policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gateway.documents.checked import check_document
from gateway.documents.marked_yaml import MarkedDocument, read_marked_yaml
from gateway.domain.attribution import Attribution
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason
from gateway.domain.scope import UNATTRIBUTED, is_scope_name
from gateway.policy.name_types import OperationName, RegionName
from gateway.policy.value_types import Amount, Part, Switch, Version, brief

_MAX_CALLS = 10_000
_MAX_TOKENS = 10**7


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_scope_name(value):
        raise ValueError(
            f"expected a name (1 to 64 letters, digits or '._@+-'), got {brief(value)}"
        )
    return value


def _instant(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as exc:
        raise ValueError(
            f"expected an instant such as 2026-11-21T10:00:00+01:00, got {brief(value)}"
        ) from exc
    if at.tzinfo is None:
        raise ValueError(f"expected an instant with its zone (+01:00 or Z), got {brief(value)}")
    return at


def _whole(most: int) -> BeforeValidator:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"expected a whole number from 0 to {most}, got {brief(value)}")
        return value

    return BeforeValidator(check)


Name = Annotated[str, BeforeValidator(_name)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Tokens = Annotated[int, _whole(_MAX_TOKENS)]
Calls = Annotated[int, _whole(_MAX_CALLS)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class Given(Part):
    """Who calls, and what was spent and called so far."""

    org: Name
    """The org of the caller's key."""
    team: Name = UNATTRIBUTED
    """The team of the caller's key."""
    user: Name | None = None
    """The user of the caller's key, or for whom it acts."""
    application: Name | None = None
    """The application of the caller's key."""
    feature: Name | None = None
    """What the call says it is for."""
    agent: Name | None = None
    """Which agent calls."""
    agent_type: Name | None = None
    """What kind of agent calls."""
    task: Name | None = None
    """Which task it is for."""
    category: Name | None = None
    """Which category it belongs to."""
    spent_usd: dict[str, Amount] = Field(default_factory=dict)
    """What is spent of each budget, by its name, in the window of the call."""
    calls: Calls = 0
    """How many such calls were just made, and have ended."""
    running: Calls = 0
    """How many such calls are running."""

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return Caller(
            key_id=KeyId("case"),
            credential=CredentialKind.BEARER_KEY,
            role=Role.CALLER,
            org=self.org,
            team=self.team,
            user=self.user,
            application=self.application,
        )

    @property
    def attribution(self) -> Attribution:
        """What the call says about itself."""
        return Attribution(
            feature=self.feature,
            agent=self.agent,
            agent_type=self.agent_type,
            task=self.task,
            category=self.category,
        )


class When(Part):
    """The call that is judged."""

    model: Text
    """Model id, inference profile or ARN."""
    operation: OperationName
    """Bedrock operation in snake case."""
    at: Instant
    """When it is made, with the zone."""
    input_tokens: Tokens = 0
    """How large its input is."""
    max_tokens: Tokens | None = None
    """The longest answer it asks for; the model's own limit if not stated."""
    region: RegionName = "us-east-1"
    """The region it is signed for."""


class Then(Part):
    """What is decided."""

    allowed: Switch
    """Whether the call may run."""
    reason: Reason | None = None
    """Why it is refused."""
    limit: Text | None = None
    """The limit that refuses it, by its name."""
    remaining_usd: dict[str, Amount] = Field(default_factory=dict)
    """What is left of each budget once the worst case of the call is held."""

    @model_validator(mode="after")
    def _says_what_it_decides(self) -> Then:
        if self.allowed and (self.reason or self.limit):
            raise ValueError("a call that is allowed has no reason and no limit")
        if not self.allowed and self.reason is None:
            raise ValueError("a call that is refused has a reason: see docs/reasons.md")
        if not self.allowed and self.remaining_usd:
            raise ValueError("remaining_usd is of a call that is allowed")
        return self


class Case(Part):
    """One expectation."""

    name: Text
    """What is expected, as a sentence."""
    given: Given
    """Who calls, and what was spent and called so far."""
    when: When
    """The call that is judged."""
    then: Then
    """What is decided."""


class CaseDocument(Part):
    """A file of cases."""

    version: Version
    """The form of this file: 1."""
    policies: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
    """The policy files that decide, by their names beside this one."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=10_000)]
    """The expectations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A file of cases that is in order, and where each of them stands."""

    document: CaseDocument
    marked: MarkedDocument

    def source(self, number: int) -> str:
        """Where a case stands, as `file:line`."""
        return f"{self.marked.file}:{self.marked.mark(('cases', number)).line}"


def parse_cases(text: str, file: str) -> CaseFile:
    """The cases of a file. Raises: DocumentError: file, line, column, what was expected."""
    marked = read_marked_yaml(text, file)
    return CaseFile(document=check_document(marked, CaseDocument), marked=marked)
