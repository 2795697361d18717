"""What an error of DynamoDB means for us: wait, give up, or leave the item out."""

from __future__ import annotations

from enum import Enum
from typing import Any

import aiohttp
from botocore.exceptions import (  # type: ignore[import-untyped]  # ships no type marker
    BotoCoreError,
    ClientError,
)

from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

LIBRARY_ERRORS = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)
"""Whatever the client may raise; nothing of it passes this floor."""

_RETRY_AFTER_S = 1.0


class Trouble(Enum):
    """What to do about an error."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    INVALID = "invalid"
    CANCELLED = "cancelled"
    CONDITION_FAILED = "condition_failed"
    TABLE_MISSING = "table_missing"
    REFUSED = "refused"


_TROUBLES = {
    "ConditionalCheckFailedException": Trouble.CONDITION_FAILED,
    # An idempotency token that was seen with other content: the next attempt has a new one.
    "IdempotentParameterMismatchException": Trouble.TRANSIENT,
    "InternalFailure": Trouble.TRANSIENT,
    "InternalServerError": Trouble.TRANSIENT,
    "LimitExceededException": Trouble.THROTTLED,
    "ProvisionedThroughputExceededException": Trouble.THROTTLED,
    "ReplicatedWriteConflictException": Trouble.TRANSIENT,
    "RequestLimitExceeded": Trouble.THROTTLED,
    "RequestTimeout": Trouble.TRANSIENT,
    "ResourceNotFoundException": Trouble.TABLE_MISSING,
    "ServiceUnavailable": Trouble.TRANSIENT,
    "Throttling": Trouble.THROTTLED,
    "ThrottlingException": Trouble.THROTTLED,
    "TransactionCanceledException": Trouble.CANCELLED,
    "TransactionConflictException": Trouble.TRANSIENT,
    "TransactionInProgressException": Trouble.TRANSIENT,
    "ValidationException": Trouble.INVALID,
}
_SETUP_ERRORS = frozenset(
    {
        "EndpointProviderError",
        "NoCredentialsError",
        "NoRegionError",
        "ParamValidationError",
        "PartialCredentialsError",
    }
)
_FIRST_SERVER_ERROR = 500


def error_code(error: Exception) -> str:
    """AWS's code of the error, else the exception's name: safe to show and to count."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def trouble_of(error: Exception) -> Trouble:
    """What the error means."""
    code = error_code(error)
    if not isinstance(error, ClientError):
        return Trouble.REFUSED if code in _SETUP_ERRORS else Trouble.TRANSIENT
    known = _TROUBLES.get(code)
    if known is not None:
        return known
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Trouble.TRANSIENT if status >= _FIRST_SERVER_ERROR else Trouble.REFUSED


def cancellation_codes(error: Exception, count: int) -> list[str]:
    """Why each action of a cancelled transaction failed; `None` (as text) where it did not.

    The reasons come in the order of the actions. Where a server left them out, none is known.
    """
    reasons: list[dict[str, Any]] = []
    if isinstance(error, ClientError):
        reasons = error.response.get("CancellationReasons") or []
    codes = [str(reason.get("Code") or "None") for reason in reasons]
    return codes if len(codes) == count else ["None"] * count


def cancelled_items(error: Exception, count: int) -> dict[int, dict[str, Any]]:
    """What stood where actions of a cancelled transaction failed, by their place, where told."""
    reasons: list[dict[str, Any]] = []
    if isinstance(error, ClientError):
        reasons = error.response.get("CancellationReasons") or []
    if len(reasons) != count:
        return {}
    return {place: reason["Item"] for place, reason in enumerate(reasons) if reason.get("Item")}


def store_error(error: Exception, reason: Reason, table: str) -> GatewayError:
    """The error as the gateway says it: which table, what to do, nothing of the library's text."""
    match trouble_of(error):
        case Trouble.TABLE_MISSING:
            detail = f"table {table} does not exist; create it with 'bedrock-gateway journal init'"
        case Trouble.REFUSED:
            detail = f"table {table} cannot be used: {error_code(error)}"
        case _:
            detail = f"table {table} does not answer now: {error_code(error)}"
    return GatewayError(reason, detail, fault=Fault.GATEWAY, retry_after_s=_RETRY_AFTER_S)
