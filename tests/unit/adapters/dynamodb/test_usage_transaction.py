from __future__ import annotations

from collections import Counter

from gateway.adapters.dynamodb.usage_transaction import Place, account_partition, actions_of
from gateway.admission.shards import shard_of
from gateway.journal.change import Change
from tests.fakes.records import document_of

PLACE = Place(prefix="t_", shards=4, lane=2)
MONTH = "usd:org/acme:month:UTC:2026-11"


def updates(actions, table):
    found = [action["Update"] for action in actions if "Update" in action]
    return [update for update in found if update["TableName"] == table]


def test_a_new_record_goes_in_only_where_there_is_none():
    put = actions_of(PLACE, [Change.of(document_of())])[0]["Put"]
    assert put["TableName"] == "t_token_usage"
    assert put["ConditionExpression"] == "attribute_not_exists(request_id)"
    assert put["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_a_correction_goes_in_only_where_the_record_stands_that_it_was_reckoned_from():
    draft = document_of(rank=1, cost_nano_usd=7, settled_at=None)
    change = Change.of(document_of(rank=2)).replacing(draft)
    put = actions_of(PLACE, [change])[0]["Put"]
    assert put["ConditionExpression"] == "#version = :before"
    (expected,) = put["ExpressionAttributeValues"].values()
    assert expected["S"] == Change.of(draft).version


def test_records_come_first_and_each_row_is_named_once():
    changes = [Change.of(document_of(f"r{number}")) for number in range(3)]
    actions = actions_of(PLACE, changes)
    assert ["Put" in action for action in actions][:4] == [True, True, True, False]
    keys = [str(update["Key"]) for update in updates(actions, "t_usage_rollups")]
    assert len(keys) == len(set(keys)) == 16


def test_what_does_not_change_is_not_written():
    draft = document_of(rank=1, settled_at=None)
    change = Change.of(document_of(rank=2)).replacing(draft)
    assert len(actions_of(PLACE, [change])) == 1


def test_an_accounts_row_is_in_its_shard_and_the_writers_lane():
    actions = actions_of(PLACE, [Change.of(document_of(cost_nano_usd=9, accounts=(MONTH,)))])
    (update,) = updates(actions, "t_ledger_accounts")
    shard = f"s{shard_of('acme', 4)}"
    assert update["Key"]["part"]["S"] == account_partition(shard, 2) == f"{shard}#2"
    assert update["Key"]["account"]["S"].endswith(f"#{MONTH}")
    assert update["ExpressionAttributeValues"][":posted"] == {"N": "9"}
    assert (
        update["UpdateExpression"] == "SET #expires = :expires ADD #posted :posted, #calls :calls"
    )


def test_a_platform_wide_account_has_a_row_on_each_shard_it_was_charged_on():
    platform = "usd:platform:month:UTC:2026-11"
    orgs = ["a", "b", "c", "d", "e", "f"]
    changes = [
        Change.of(document_of(org, org=org, cost_nano_usd=1, accounts=(platform,))) for org in orgs
    ]
    found = {
        update["Key"]["part"]["S"]: update["ExpressionAttributeValues"][":posted"]["N"]
        for update in updates(actions_of(PLACE, changes), "t_ledger_accounts")
    }
    assert found == {
        f"s{shard}#2": str(count)
        for shard, count in Counter(shard_of(org, 4) for org in orgs).items()
    }


def test_hours_are_kept_for_more_than_a_year_and_days_for_five():
    actions = actions_of(PLACE, [Change.of(document_of(time="2026-01-01T00:00:00Z"))])
    expiries = {
        update["Key"]["rollup"]["S"].partition("|")[0]: int(
            update["ExpressionAttributeValues"][":expires"]["N"]
        )
        for update in updates(actions, "t_usage_rollups")
    }
    start = 1_767_225_600
    assert expiries == {"hour": start + 400 * 86_400, "day": start + 5 * 366 * 86_400}
