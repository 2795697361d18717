"""Where a call may be served, and how often it is sent: the grammar, and nothing that runs yet."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gateway.policy.name_types import ModelPattern, RegionName
from gateway.policy.value_types import Attempts, Part


class RetryCause(StrEnum):
    """Why a call that upstream did not take may be sent again: nothing was billed."""

    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"


class ProfilePrefix(StrEnum):
    """The inference profile that a target uses, by its prefix."""

    US = "us"
    US_GOV = "us-gov"
    EU = "eu"
    APAC = "apac"
    JP = "jp"
    AU = "au"
    CA = "ca"
    SA = "sa"
    IN = "in"
    GLOBAL = "global"


class RetrySection(Part):
    """How often a call is sent that upstream did not take, within the same reservation."""

    attempts: Attempts
    """How often it is sent at most, the first time among them."""
    after: Annotated[tuple[RetryCause, ...], Field(max_length=10)] = tuple(RetryCause)
    """After which outcomes: only such as Bedrock does not bill."""


class TargetRule(Part):
    """A place where a call may be served."""

    region: RegionName
    """The AWS region that is called."""
    profile: ProfilePrefix | None = None
    """The inference profile's prefix; the plain model id if not stated."""
    models: Annotated[tuple[ModelPattern, ...], Field(max_length=100)] | None = None
    """For which models; all if not stated."""
