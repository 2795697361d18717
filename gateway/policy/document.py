"""The grammar of a policy file: what may stand in it, and what each part means."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.documents.checked import nearest
from gateway.domain.call import Operation
from gateway.domain.money import MAX_NANO_USD, NanoUsd, format_usd, to_nano_usd, to_usd
from gateway.domain.period import Period
from gateway.domain.scope import is_scope_name

EVERYONE = "*"
"""The `org` of the platform's own file: it binds every caller, beside the file of their org."""

_LIMIT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?")
_PATTERN = re.compile(r"[A-Za-z0-9:/._*?+-]{1,256}")
_GEO_PREFIX = re.compile(r"(us|eu|apac|jp|au|ca|sa|in|global|us-gov)\.")
_ACCOUNT = re.compile(r"[0-9]{12}")
_MAX_RATE = 10**12
MAX_EARLIER = 31
"""How many whole periods before the current one a rolling budget may count."""


class BudgetMode(StrEnum):
    """What a budget does to a call that does not fit."""

    HARD = "hard"
    SOFT = "soft"
    OBSERVE = "observe"


class LimitMode(StrEnum):
    """What a rate limit does to a call that does not fit."""

    HARD = "hard"
    OBSERVE = "observe"


class UnknownModelRule(StrEnum):
    """What happens to a model that the catalogue or the price book does not know."""

    REFUSE = "refuse"
    CEILING = "ceiling"


class LimitScope(StrEnum):
    """At which places of the tree a budget or limit counts. Each place has its own account."""

    PLATFORM = "platform"
    ORG = "org"
    TEAM = "team"
    USER = "user"
    APPLICATION = "application"


def operation_name(operation: Operation) -> str:
    """The operation as policies write it: `InvokeModelWithResponseStream` in snake case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation.value).lower()


def _version(value: Any) -> int:
    if type(value) is not int or value != 1:
        raise ValueError(f"expected 1, the only form that this gateway reads, got {value!r}")
    return value


def _amount(value: Any) -> NanoUsd:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        # pydantic gives a place in the file to ValueError only.
        raise ValueError(f"expected an amount in USD such as 5000 or 0.25, got {value!r}")  # noqa: TRY004 - see above
    amount = Decimal(value)
    try:
        nano = to_nano_usd(amount)
    except ValueError as exc:
        largest = format_usd(MAX_NANO_USD)
        raise ValueError(f"expected an amount from 0 to {largest} USD, got {amount}") from exc
    if to_usd(nano) != amount:
        raise ValueError(f"expected at most nine decimals (nano-USD), got {amount}")
    return nano


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_RATE:
        raise ValueError(f"expected a whole number from 1 to {_MAX_RATE}, got {value!r}")
    return value


def _earlier(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EARLIER:
        raise ValueError(f"expected how many whole periods, 1 to {MAX_EARLIER}, got {value!r}")
    return value


def _limit_name(value: str) -> str:
    if _LIMIT_NAME.fullmatch(value) is None:
        raise ValueError(f"expected 1 to 64 letters, digits, spaces or '._-', got {value!r}")
    return value


def _org(value: str) -> str:
    if value != EVERYONE and not is_scope_name(value):
        raise ValueError(
            f"expected an org's name (1 to 64 letters, digits or '._@+-') or '*', got {value!r}"
        )
    return value


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except Exception as exc:  # zoneinfo raises whatever the file system does
        raise ValueError(f"expected a time zone such as Europe/Berlin, got {value!r}") from exc


def _pattern(value: str) -> str:
    if _PATTERN.fullmatch(value) is None:
        raise ValueError(f"expected an id with * and ? as wild cards, got {value!r}")
    return value


def _model_pattern(value: str) -> str:
    prefix = _GEO_PREFIX.match(value)
    if prefix is not None:
        raise ValueError(
            f"patterns are base ids and cover every profile: leave out {prefix[0]!r} in {value!r}"
        )
    return _pattern(value)


def _account(value: Any) -> str:
    if not isinstance(value, str) or _ACCOUNT.fullmatch(value) is None:
        raise ValueError(f"expected an account id of 12 digits in quotes, got {value!r}")
    return value


def _operation(value: Any) -> Operation:
    known = {operation_name(operation): operation for operation in Operation}
    if value not in known:
        raise ValueError(f"unknown operation {value!r}: {nearest(str(value), known)}")
    return known[value]


Version = Annotated[int, BeforeValidator(_version)]
Amount = Annotated[NanoUsd, BeforeValidator(_amount)]
Count = Annotated[int, BeforeValidator(_count)]
Earlier = Annotated[int, BeforeValidator(_earlier)]
LimitName = Annotated[str, AfterValidator(_limit_name)]
OrgName = Annotated[str, AfterValidator(_org)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
Pattern = Annotated[str, AfterValidator(_pattern)]
ModelPattern = Annotated[str, AfterValidator(_model_pattern)]
AccountId = Annotated[str, BeforeValidator(_account)]
OperationName = Annotated[Operation, BeforeValidator(_operation)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class BudgetRule(_Part):
    """Money per calendar period. Every scope of the kind has an account of its own.

    `rolling` counts that many whole periods before the current one as well.
    """

    name: LimitName
    scope: LimitScope
    period: Period
    limit_usd: Amount
    mode: BudgetMode = BudgetMode.HARD
    rolling: Earlier | None = None


class LimitRule(_Part):
    """Rates per time, for every scope of the kind; and how large one call may be."""

    name: LimitName | None = None
    scope: LimitScope
    mode: LimitMode = LimitMode.HARD
    requests_per_second: Count | None = None
    requests_per_minute: Count | None = None
    requests_per_hour: Count | None = None
    tokens_per_minute: Count | None = None
    tokens_per_request: Count | None = None
    concurrency: Count | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> LimitRule:
        fields = set(LimitRule.model_fields) - {"name", "scope", "mode"}
        if all(getattr(self, field) is None for field in fields):
            raise ValueError(f"a limit needs at least one of: {', '.join(sorted(fields))}")
        return self

    @property
    def label(self) -> str:
        """The limit's name, or the scope it counts where it has none of its own."""
        return self.name or self.scope.value


class ModelRules(_Part):
    """Which models may be called. None: this file does not say, so it does not narrow."""

    allow: tuple[ModelPattern, ...] | None = None
    deny: tuple[ModelPattern, ...] = ()
    unknown: UnknownModelRule | None = None
    accounts: tuple[AccountId, ...] | None = None
    endpoints: tuple[Pattern, ...] | None = None


class OperationRules(_Part):
    """Which operations may be called. None: this file does not say, so it does not narrow."""

    allow: tuple[OperationName, ...] | None = None


class PolicyDocument(_Part):
    """One policy file: the rules of one org, or of everyone (`org: "*"`)."""

    version: Version
    org: OrgName
    timezone: Zone = Field(default_factory=lambda: ZoneInfo("UTC"))
    budgets: tuple[BudgetRule, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    models: ModelRules = ModelRules()
    operations: OperationRules = OperationRules()
