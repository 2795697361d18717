"""The names and patterns that may stand in a policy file: what each may look like."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from gateway.documents.checked import nearest
from gateway.domain.call import Operation
from gateway.domain.scope import is_scope_name
from gateway.policy.scope_selector import GEO_PREFIX, ScopeText
from gateway.policy.value_types import AS_TEXT, brief, schema

EVERYONE = "*"
"""The `org` of the platform's own file: it binds every caller, beside the file of their org."""

_LIMIT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?")
_PATTERN = re.compile(r"[A-Za-z0-9:/._*?+-]{1,256}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_CONTACT = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")


def operation_name(operation: Operation) -> str:
    """The operation as policies write it: `InvokeModelWithResponseStream` in snake case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation.value).lower()


def _limit_name(value: str) -> str:
    if _LIMIT_NAME.fullmatch(value) is None:
        raise ValueError(f"expected 1 to 64 letters, digits, spaces or '._-', got {brief(value)}")
    return value


def _org(value: str) -> str:
    if value != EVERYONE and not is_scope_name(value):
        raise ValueError(
            f"expected an org's name (1 to 64 letters, digits or '._@+-') or '*', "
            f"got {brief(value)}"
        )
    return value


def _pattern(value: str) -> str:
    if _PATTERN.fullmatch(value) is None:
        raise ValueError(f"expected an id with * and ? as wild cards, got {brief(value)}")
    return value


def _model_pattern(value: str) -> str:
    prefix = GEO_PREFIX.match(value)
    if prefix is not None:
        raise ValueError(
            "patterns are base ids and cover every profile: "
            f"leave out {prefix[0]!r} in {brief(value)}"
        )
    return _pattern(value)


def _account(value: Any) -> str:
    if not isinstance(value, str) or _ACCOUNT.fullmatch(value) is None:
        raise ValueError(f"expected an account id of 12 digits in quotes, got {brief(value)}")
    return value


def _operation(value: Any) -> Operation:
    known = {operation_name(operation): operation for operation in Operation}
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown operation {brief(value)}: {nearest(str(value)[:80], known)}")
    return known[value]


def _region(value: Any) -> str:
    if not isinstance(value, str) or _REGION.fullmatch(value) is None:
        raise ValueError(f"expected a region such as eu-central-1, got {brief(value)}")
    return value


def _contact(value: Any) -> str:
    if not isinstance(value, str) or _CONTACT.fullmatch(value) is None:
        raise ValueError(f"expected a mail address such as ops@example.com, got {brief(value)}")
    return value


def _scope(value: Any) -> ScopeText:
    return value if isinstance(value, ScopeText) else ScopeText.parse(value)


LimitName = Annotated[
    str, AfterValidator(_limit_name), schema(type="string", pattern=f"^{_LIMIT_NAME.pattern}$")
]
OrgName = Annotated[
    str,
    AfterValidator(_org),
    schema(type="string", pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._@+-]{0,63})$"),
]
Pattern = Annotated[
    str, AfterValidator(_pattern), schema(type="string", pattern=f"^{_PATTERN.pattern}$")
]
ModelPattern = Annotated[
    str,
    AfterValidator(_model_pattern),
    schema(
        type="string",
        pattern=f"^(?!{GEO_PREFIX.pattern}){_PATTERN.pattern}$",
        examples=["anthropic.claude-*", "amazon.nova-*", "*opus*"],
    ),
]
AccountId = Annotated[
    str, BeforeValidator(_account), schema(type="string", pattern=f"^{_ACCOUNT.pattern}$")
]
OperationName = Annotated[
    Operation,
    BeforeValidator(_operation),
    PlainSerializer(operation_name, when_used="json"),
    schema(enum=[operation_name(operation) for operation in Operation]),
]
RegionName = Annotated[
    str, BeforeValidator(_region), schema(type="string", pattern=f"^{_REGION.pattern}$")
]
Contact = Annotated[str, BeforeValidator(_contact), schema(type="string", format="email")]
RuleScope = Annotated[
    ScopeText,
    BeforeValidator(_scope),
    AS_TEXT,
    schema(
        type="string",
        examples=["org", "team", "user", "application", "team/web", "team/web/user/ada"],
        pattern=ScopeText.PATTERN,
    ),
]
