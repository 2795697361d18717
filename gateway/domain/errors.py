"""The one error of the gateway: a reason, whose fault it is, and what the caller may be told."""

from __future__ import annotations

from enum import Enum

from gateway.domain.ids import PolicyVersion
from gateway.domain.reason import Reason


class Fault(Enum):
    """Who has to do something about it."""

    CALLER = "caller"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class GatewayError(Exception):
    """A call cannot go on. Mapped to AWS's shape once, in `bedrock/error_shape.py`.

    `detail` is shown to the caller: what, where, and what was expected; never a secret, never a
    library's own text. Units: `retry_after_s` in seconds. `headers`: what the answer says beside
    its reason, such as the limits that were met. `decided_at_ms`: when the ledger refused.
    `decided_by`: the edition of the policy that refuses.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        fault: Fault = Fault.CALLER,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        decided_at_ms: int | None = None,
        decided_by: PolicyVersion | None = None,
    ) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.fault = fault
        self.retry_after_s = retry_after_s
        self.headers = headers
        self.decided_at_ms = decided_at_ms
        self.decided_by = decided_by


class LedgerNotAskedError(GatewayError):
    """The ledger was not even asked, so nothing can have taken effect: there is nothing to undo."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.LEDGER_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)


class ShardsSilentError(GatewayError):
    """Some shards of the ledger did not answer; the others have done what they were told."""

    def __init__(self, silent: tuple[str, ...], count: int) -> None:
        detail = (
            f"{len(silent)} of {count} shards of the ledger did not answer: {', '.join(silent)}"
        )
        super().__init__(Reason.LEDGER_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)
        self.silent = silent
        self.count = count
