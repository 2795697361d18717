"""The grammar of a policy file: what may stand in it, and what each part means."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from gateway.domain.period import Period
from gateway.policy.name_types import (
    EVERYONE,
    AccountId,
    Contact,
    LimitName,
    ModelPattern,
    OperationName,
    OrgName,
    Pattern,
    RuleScope,
    operation_name,
)
from gateway.policy.upstream_rules import RetrySection, TargetRule
from gateway.policy.value_types import (
    Amount,
    Count,
    Duration,
    Earlier,
    Part,
    Switch,
    Version,
    WarnAt,
    Zone,
)

__all__ = ["EVERYONE", "operation_name"]  # spelled among the names, used with the grammar


_FEW = Field(max_length=100)
_MANY = Field(max_length=1_000)
_RULES = Field(max_length=10_000)


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


class OutageRule(StrEnum):
    """What a control does to a call that it cannot check, since the ledger is away."""

    REFUSE = "refuse"
    LOCAL_ALLOWANCE = "local_allowance"
    ADMIT_UNCOUNTED = "admit_uncounted"


class CacheOutageRule(StrEnum):
    """What happens to cached answers while the ledger is away: they are not looked up."""

    BYPASS = "bypass"


class BudgetRule(Part):
    """Money per period. Every place that the scope names has an account of its own."""

    name: LimitName
    """What a refusal calls it. Of budgets of the same name the most specific scope wins."""
    scope: RuleScope
    """A kind (org, team, user, …: an account each) or one place such as team/web."""
    period: Period
    """Calendar windows in the time zone."""
    limit_usd: Amount
    """USD per window, at most nine decimals, up to 9,007,199."""
    mode: BudgetMode = BudgetMode.HARD
    """hard: never overspent. soft: reserves an estimate, records an overrun. observe: counts."""
    rolling: Earlier | None = None
    """Count this many whole periods before the current one as well."""
    timezone: Zone | None = None
    """Where this budget's windows begin; the file's time zone if not stated."""
    warn_at: Annotated[tuple[WarnAt, ...], _FEW] = ()
    """Levels of spend that are told before the limit is met: 80%, 4000 USD."""
    active: Switch = True
    """false: the budget is not in force, and replaces the wider one of its name by nothing."""
    locked: Switch = False
    """true: a more specific budget of the same name does not replace this one."""


class LimitRule(Part):
    """Rates per time, for every place that the scope names; and how large one call may be."""

    name: LimitName | None = None
    """What a refusal calls it; the scope if not stated."""
    scope: RuleScope
    """A kind (org, team, user, …: counted for each) or one place such as team/web."""
    mode: LimitMode = LimitMode.HARD
    """hard: refuses. observe: never blocks, only reports."""
    requests_per_second: Count | None = None
    """Calls that may begin: up to so many at once, refilled continuously."""
    requests_per_minute: Count | None = None
    """Calls that may begin: up to so many at once, refilled continuously."""
    requests_per_hour: Count | None = None
    """Calls that may begin: up to so many at once, refilled continuously."""
    tokens_per_minute: Count | None = None
    """Tokens of input and output: claimed by estimate, corrected after the call."""
    tokens_per_request: Count | None = None
    """How large one call may be; the smallest that applies counts."""
    concurrency: Count | None = None
    """Calls that may run at the same time."""
    active: Switch = True
    """false: the limit is not in force, and replaces the wider one of its name by nothing."""
    locked: Switch = False
    """true: a more specific limit of the same name does not replace this one."""

    @model_validator(mode="after")
    def _limits_something(self) -> LimitRule:
        fields = set(LimitRule.model_fields) - {"name", "scope", "mode", "active", "locked"}
        if all(getattr(self, field) is None for field in fields):
            raise ValueError(f"a limit needs at least one of: {', '.join(sorted(fields))}")
        if self.mode is LimitMode.OBSERVE and self.tokens_per_request is not None:
            raise ValueError("tokens_per_request cannot be observed: give it a limit that is hard")
        return self

    @property
    def label(self) -> str:
        """The limit's name, or the scope it counts where it has none of its own."""
        return self.name or self.scope.text


class ModelRules(Part):
    """Which models may be called. None: this file does not say, so it does not narrow."""

    allow: Annotated[tuple[ModelPattern, ...], _MANY] | None = None
    """Patterns of base ids; each covers every profile and every ARN of the model."""
    deny: Annotated[tuple[ModelPattern, ...], _MANY] = ()
    """Patterns of base ids that may not be called, whatever is allowed."""
    unknown: UnknownModelRule | None = None
    """What happens to a model that the catalogue does not know."""
    accounts: Annotated[tuple[AccountId, ...], _MANY] | None = None
    """Foreign AWS accounts whose ARNs may be used."""
    endpoints: Annotated[tuple[Pattern, ...], _MANY] | None = None
    """Patterns of ARNs whose model only AWS knows (provisioned, imported, prompts, …)."""


class OperationRules(Part):
    """Which operations may be called. None: this file does not say, so it does not narrow."""

    allow: Annotated[tuple[OperationName, ...], _FEW] | None = None
    """Bedrock operations in snake case."""


class ScopeSection(Part):
    """What the calls of one scope may use, in addition to what the file says for all."""

    models: ModelRules = ModelRules()
    """Which models they may call."""
    operations: OperationRules = OperationRules()
    """Which operations they may call."""
    retries: RetrySection | None = None
    """How often a call is sent."""
    targets: Annotated[tuple[TargetRule, ...], _FEW] | None = None
    """Where their calls may be served, in this order."""


class EmergencySection(Part):
    """Amounts that stop everything of the org once they are spent (of everyone, in org `*`)."""

    max_hourly_usd: Amount | None = None
    """A hard budget per hour. Exhausted, it stops the org for restore_after."""
    max_daily_usd: Amount | None = None
    """A hard budget per day. Exhausted, it stops the org for restore_after."""
    shutdown_at_usd: Amount | None = None
    """A hard budget per month. Exhausted, it stops the org until a person restores it."""
    contacts: Annotated[tuple[Contact, ...], _FEW] = ()
    """Who is told."""
    restore_after: Duration | None = None
    """After which time an hourly or daily stop ends by itself; 24h if not stated."""

    @model_validator(mode="after")
    def _stops_something(self) -> EmergencySection:
        by_time = (self.max_hourly_usd, self.max_daily_usd)
        if all(amount is None for amount in (*by_time, self.shutdown_at_usd)):
            raise ValueError(
                "an emergency needs at least one of: max_hourly_usd, max_daily_usd, shutdown_at_usd"
            )
        if self.restore_after is not None and all(amount is None for amount in by_time):
            raise ValueError("restore_after belongs to max_hourly_usd or max_daily_usd")
        return self


class OutageSection(Part):
    """What may pass while the ledger is away. None: this file does not say.

    `allowance_usd` is for each data-plane process and outage.
    """

    budgets: OutageRule | None = None
    """Calls that a budget binds."""
    limits: OutageRule | None = None
    """Calls that a rate or concurrency limit binds."""
    allowance_usd: Amount | None = None
    """What budgets let pass with local_allowance, for each data-plane process and outage."""
    cache: CacheOutageRule | None = None
    """Cached answers."""

    @model_validator(mode="after")
    def _allowance_belongs_to_its_rule(self) -> OutageSection:
        is_chosen = self.budgets is OutageRule.LOCAL_ALLOWANCE
        if is_chosen is not (self.allowance_usd is not None):
            raise ValueError("budgets: local_allowance and allowance_usd are stated together")
        return self


class PolicyDocument(Part):
    """One policy file: the rules of one org, or of everyone (`org: "*"`)."""

    version: Version
    """The form of this file: 1."""
    org: OrgName
    """Whom it binds: the callers of this org, or with "*" everybody in addition to their org's."""
    timezone: Zone = Field(default_factory=lambda: ZoneInfo("UTC"))
    """Where the windows of the budgets begin (IANA name)."""
    budgets: Annotated[tuple[BudgetRule, ...], _RULES] = ()
    """Money per period. All that match a call are enforced."""
    limits: Annotated[tuple[LimitRule, ...], _RULES] = ()
    """Rates, concurrency and request sizes. All that match a call are enforced."""
    models: ModelRules = ModelRules()
    """Which models may be called."""
    operations: OperationRules = OperationRules()
    """Which operations may be called."""
    scopes: Annotated[dict[RuleScope, ScopeSection], _MANY] = Field(default_factory=dict)
    """Models and operations of single scopes: they narrow what the file says for all."""
    emergency: EmergencySection | None = None
    """Amounts that stop everything of the org once they are spent."""
    on_outage: OutageSection = OutageSection()
    """What may pass while the ledger is away."""
    retries: RetrySection | None = None
    """How often a call is sent that upstream did not take."""
    targets: Annotated[tuple[TargetRule, ...], _FEW] | None = None
    """Where calls may be served, in this order."""
