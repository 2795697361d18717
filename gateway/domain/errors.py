"""The one error of the gateway: a reason, whose fault it is, and what the caller may be told."""

from __future__ import annotations

from enum import Enum

from gateway.domain.reason import Reason


class Fault(Enum):
    """Who has to do something about it."""

    CALLER = "caller"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class GatewayError(Exception):
    """A call cannot go on. Mapped to AWS's shape once, in `bedrock/error_shape.py`.

    `detail` is shown to the caller: what, where, and what was expected; never a secret, never a
    library's own text. Units: `retry_after_s` in seconds.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        fault: Fault = Fault.CALLER,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.fault = fault
        self.retry_after_s = retry_after_s


class LedgerNotAskedError(GatewayError):
    """The ledger was not even asked, so nothing can have taken effect: there is nothing to undo."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.LEDGER_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)
