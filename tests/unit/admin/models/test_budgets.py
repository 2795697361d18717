from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.admin.models.budgets import NewBudgetOrder, as_json
from gateway.policy.managed import ManagedBudget

ORDER = {"org": "acme", "name": "day", "scope": "org", "period": "day"}


@pytest.mark.parametrize("usd", ["0.1", "9007199.254740991", "1e0", 5, 0.25])
def test_an_amount_goes_through_exactly_or_not_at_all(usd):
    try:
        order = NewBudgetOrder.model_validate({**ORDER, "limit_usd": usd})
    except ValidationError:
        assert usd == "1e0"
        return
    budget = ManagedBudget.model_validate({**as_json(order), "id": "b"})
    assert budget.limit_usd == order.limit_usd


def test_the_ids_of_files_budgets_cannot_be_taken():
    with pytest.raises(ValidationError, match="file-"):
        NewBudgetOrder.model_validate({**ORDER, "limit_usd": 1, "id": "file-1"})
