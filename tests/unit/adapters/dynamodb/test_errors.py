from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from gateway.adapters.dynamodb.errors import (
    Trouble,
    cancellation_codes,
    error_code,
    store_error,
    trouble_of,
)
from gateway.domain.errors import Fault
from gateway.domain.reason import Reason
from tests.fakes.dynamodb import client_error


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (client_error("ThrottlingException"), Trouble.THROTTLED),
        (client_error("ProvisionedThroughputExceededException"), Trouble.THROTTLED),
        (client_error("RequestLimitExceeded"), Trouble.THROTTLED),
        (client_error("TransactionConflictException"), Trouble.TRANSIENT),
        (client_error("TransactionInProgressException"), Trouble.TRANSIENT),
        (client_error("IdempotentParameterMismatchException"), Trouble.TRANSIENT),
        (client_error("InternalServerError", status=500), Trouble.TRANSIENT),
        (client_error("SomethingNew", status=503), Trouble.TRANSIENT),
        (client_error("SomethingNew", status=400), Trouble.REFUSED),
        (client_error("AccessDeniedException"), Trouble.REFUSED),
        (client_error("ValidationException"), Trouble.INVALID),
        (client_error("TransactionCanceledException"), Trouble.CANCELLED),
        (client_error("ConditionalCheckFailedException"), Trouble.CONDITION_FAILED),
        (client_error("ResourceNotFoundException"), Trouble.TABLE_MISSING),
        (EndpointConnectionError(endpoint_url="http://store"), Trouble.TRANSIENT),
        (TimeoutError(), Trouble.TRANSIENT),
        (NoCredentialsError(), Trouble.REFUSED),
    ],
)
def test_each_error_means_one_thing(error, trouble):
    assert trouble_of(error) is trouble


def test_reasons_follow_the_actions_and_are_unknown_where_they_do_not():
    error = client_error("TransactionCanceledException", reasons=["None", "ThrottlingError"])
    assert cancellation_codes(error, 2) == ["None", "ThrottlingError"]
    assert cancellation_codes(error, 3) == ["None"] * 3
    assert cancellation_codes(TimeoutError(), 1) == ["None"]


def test_an_error_names_the_table_and_never_repeats_the_library():
    error = store_error(client_error("AccessDeniedException"), Reason.KEYS_UNAVAILABLE, "keys")
    assert error.reason is Reason.KEYS_UNAVAILABLE
    assert error.fault is Fault.GATEWAY
    assert "keys" in error.detail
    assert "said by the server" not in error.detail


def test_the_code_of_an_error_is_its_own_or_the_exceptions_name():
    assert error_code(client_error("ThrottlingException")) == "ThrottlingException"
    assert error_code(TimeoutError()) == "TimeoutError"
