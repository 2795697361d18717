"""DynamoDB as far as the gateway relies on it: conditional transactions that are whole or not."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from tests.fakes.dynamodb import client_error
from tests.simulation.network import Message

_KEYS = {
    "token_usage": ("request_id",),
    "usage_rollups": ("rollup", "member"),
    "ledger_accounts": ("part", "account"),
    "dead_letters": ("letter_id", "part"),
}
_MOST_ACTIONS = 100

Item = dict[str, dict[str, Any]]


class DynamoModel:
    """Tables in memory. Each call is one atomic step."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str, ...], Item]] = {name: {} for name in _KEYS}

    def run(self, message: Message) -> Any:
        """Executes one call. Raises: botocore's ClientError."""
        return getattr(self, message.name)(**message.kwargs)

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> Any:  # noqa: N803 - AWS's name
        if not 0 < len(TransactItems) <= _MOST_ACTIONS:
            raise client_error("ValidationException")
        items = [next(iter(action.items())) for action in TransactItems]
        places = [(what["TableName"], self._key(what)) for _, what in items]
        if len(set(places)) != len(places):
            raise client_error("ValidationException")
        reasons = [self._objection(what) for _, what in items]
        if any(reason["Code"] != "None" for reason in reasons):
            error = client_error("TransactionCanceledException")
            error.response["CancellationReasons"] = reasons
            raise error
        for name, what in items:
            table = self.tables[what["TableName"]]
            if name == "Put":
                table[self._key(what)] = what["Item"]
            else:
                self._update(table.setdefault(self._key(what), dict(what["Key"])), what)
        return {}

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Any:  # noqa: N803 - AWS's names
        assert ConsistentRead, "the model answers consistently only"
        item = self.tables[TableName].get(tuple(value["S"] for value in Key.values()))
        return {"Item": dict(item)} if item else {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        responses: dict[str, list[Item]] = {}
        for name, asked in RequestItems.items():
            keys = [tuple(value["S"] for value in key.values()) for key in asked["Keys"]]
            table = self.tables[name]
            responses[name] = [dict(table[key]) for key in keys if key in table]
        return {"Responses": responses}

    def query(self, **question: Any) -> Any:
        """The rows of one partition after a sort key, as `DynamoAccountRows` asks for them."""
        assert question["ConsistentRead"], "the model answers consistently only"
        assert question["KeyConditionExpression"] == "#part = :part AND #account > :now"
        part, after = (
            question["ExpressionAttributeValues"][name]["S"] for name in (":part", ":now")
        )
        rows = sorted(self.tables[question["TableName"]].items())
        return {"Items": [dict(row) for key, row in rows if key[0] == part and key[1] > after]}

    def update_item(self, **what: Any) -> Any:
        """One update under a condition. Raises: ClientError if it does not hold."""
        table, key = self.tables[what["TableName"]], self._key(what)
        names, values = what["ExpressionAttributeNames"], what["ExpressionAttributeValues"]
        item = {name: int(value["N"]) for name, value in table.get(key, {}).items() if "N" in value}
        stated = {name: int(value["N"]) for name, value in values.items()}
        known = {name: item.get(attribute) for name, attribute in names.items()}
        match what["ConditionExpression"]:
            case "attribute_not_exists(#epoch)":
                holds = known["#epoch"] is None
            case "#epoch = :known":
                holds = known["#epoch"] == stated[":known"]
            case other:
                assert "#under < :under OR (#under = :under AND #at < :at)" in other
                seen = (known["#under"], known["#at"])
                holds = None in seen or seen < (stated[":under"], stated[":at"])
        if not holds:
            raise client_error("ConditionalCheckFailedException")
        self._update(table.setdefault(key, dict(what["Key"])), what)
        return {}

    def put_item(self, *, TableName: str, Item: Item) -> Any:  # noqa: N803 - AWS's names
        key = tuple(next(iter(Item[name].values())) for name in _KEYS[TableName])
        self.tables[TableName][key] = Item
        return {}

    @staticmethod
    def _key(what: dict[str, Any]) -> tuple[str, ...]:
        stated = what.get("Key") or what["Item"]
        return tuple(stated[name]["S"] for name in _KEYS[what["TableName"]])

    def _objection(self, what: dict[str, Any]) -> dict[str, Any]:
        stored = self.tables[what["TableName"]].get(self._key(what))
        condition = what.get("ConditionExpression")
        match condition:
            case None:
                holds = True
            case "attribute_not_exists(request_id)":
                holds = stored is None
            case "#version = :before":
                name = what["ExpressionAttributeNames"]["#version"]
                value = what["ExpressionAttributeValues"][":before"]
                holds = stored is not None and stored.get(name) == value
            case other:
                raise AssertionError(f"the model knows no condition {other!r}")
        if holds:
            return {"Code": "None"}
        return {"Code": "ConditionalCheckFailed", **({"Item": dict(stored)} if stored else {})}

    @staticmethod
    def _update(item: Item, what: dict[str, Any]) -> None:
        found = re.fullmatch(r"SET (.+?)(?: ADD (.+))?", what["UpdateExpression"])
        assert found is not None, what["UpdateExpression"]
        names, values = what["ExpressionAttributeNames"], what["ExpressionAttributeValues"]
        for part in found[1].split(", "):
            name, _, value = part.partition(" = ")
            item[names[name]] = values[value]
        for part in (found[2] or "").split(", "):
            if part:
                name, value = part.split()
                stored = Decimal(item.get(names[name], {"N": "0"})["N"])
                item[names[name]] = {"N": f"{stored + Decimal(values[value]['N']):f}"}
