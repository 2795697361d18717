"""DynamoDB with faults: before a call, or after it took effect."""

from __future__ import annotations

from collections import deque
from typing import Any

from botocore.exceptions import ClientError


def client_error(code: str, *, status: int = 400, reasons: list[str] | None = None) -> ClientError:
    """An error as the client raises it for an answer of this code."""
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": "said by the server"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    if reasons is not None:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "TransactWriteItems")


class FaultyDynamoDb:
    """Passes calls on to a real one; the next transactions meet the faults, in order.

    A fault is None (none), an exception (instead of the call), or `("after", exception)`: the call
    takes effect and its answer is lost. A transaction with the `poison` id is called invalid.
    """

    def __init__(self, client: Any, *faults: Any, poison: str | None = None) -> None:
        self._client = client
        self._poison = poison
        self._faults = deque(faults)
        self.batch_sizes: list[int] = []  # records, the sums beside them not counted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def transact_write_items(self, **arguments: Any) -> Any:
        puts = [
            action["Put"]["Item"]["request_id"]["S"]
            for action in arguments["TransactItems"]
            if "Put" in action
        ]
        self.batch_sizes.append(len(puts))
        if self._poison in puts:
            raise client_error("ValidationException")
        fault = self._faults.popleft() if self._faults else None
        if isinstance(fault, tuple):
            await self._client.transact_write_items(**arguments)
            raise fault[1]
        if fault is not None:
            raise _for_all(fault, len(arguments["TransactItems"]))
        return await self._client.transact_write_items(**arguments)


def _for_all(fault: Exception, actions: int) -> Exception:
    """The fault with a reason for every action: those that it does not state did not fail."""
    reasons = getattr(fault, "response", {}).get("CancellationReasons")
    if reasons is not None:
        reasons += [{"Code": "None"}] * (actions - len(reasons))
    return fault
