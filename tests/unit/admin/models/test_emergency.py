from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.admin.models.emergency import StopOrder
from gateway.domain.scope import Scope


def test_a_stop_is_of_the_platform_where_no_scope_is_named():
    order = StopOrder.model_validate_json('{"why": "all of it"}')
    assert (order.scope, order.until, order.for_s) == (Scope.platform(), None, None)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"why": "x", "for_s": 1, "until": "2026-11-22T00:00:00Z"}',
        '{"why": "x", "for_s": 0}',
    ],
)
def test_a_stop_has_a_reason_and_at_most_one_end(body):
    with pytest.raises(ValidationError):
        StopOrder.model_validate_json(body)
