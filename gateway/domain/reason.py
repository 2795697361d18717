"""Why a call was refused or failed: a closed list, explained one by one in docs/reasons.md."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The value of `x-gateway-reason`, of a record's `reason` and of a metric's label."""

    # The request itself.
    MALFORMED_REQUEST = "malformed_request"
    MALFORMED_PATH = "malformed_path"
    MALFORMED_HEADER = "malformed_header"
    MALFORMED_BODY = "malformed_body"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_HTTP_VERSION = "unsupported_http_version"
    UNKNOWN_HOST = "unknown_host"
    # Who calls.
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_MALFORMED = "credential_malformed"
    CREDENTIAL_UNKNOWN = "credential_unknown"
    CREDENTIAL_EXPIRED = "credential_expired"
    SIGNATURE_INVALID = "signature_invalid"
    SIGNATURE_EXPIRED = "signature_expired"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    END_USER_NOT_ALLOWED = "end_user_not_allowed"
    REGION_NOT_ALLOWED = "region_not_allowed"
    # What it may call.
    MODEL_UNKNOWN = "model_unknown"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    RESOURCE_NOT_ALLOWED = "resource_not_allowed"
    OUTPUT_LIMIT_UNKNOWN = "output_limit_unknown"
    CLAIM_ABOVE_CAPACITY = "claim_above_capacity"
    # What it may spend.
    BUDGET_EXHAUSTED = "budget_exhausted"
    RATE_LIMITED = "rate_limited"
    TOKENS_LIMITED = "tokens_limited"
    CONCURRENCY_LIMITED = "concurrency_limited"
    EMERGENCY_STOP = "emergency_stop"
    # What else went wrong.
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    KEYS_UNAVAILABLE = "keys_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    STALE_PLAN = "stale_plan"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_INVALID = "upstream_invalid"
    UPSTREAM_CREDENTIALS = "upstream_credentials"
    INTERNAL_ERROR = "internal_error"
