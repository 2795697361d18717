"""A worker of the gateway that is killed at a step of its own choice.

Real parts: settlement, outbox, ledger in Redis. The upstream is a file: a line in it is a bill.
Told on the command line: Redis, the outbox root, the bill, the step to die at.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.adapters.outbox.adoption import DeadWorkers
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.system import SystemClock
from gateway.admission.settlement import Ending, draft_record
from gateway.domain.ids import RequestId
from gateway.domain.period import Period
from gateway.domain.record import CallStatus
from gateway.domain.reservation import AdmissionPlan, Rung
from gateway.domain.tokens import Exact, TokenCounts, Usage
from gateway.journal.codec import encode_record
from gateway.proxy.drain import Calls
from gateway.proxy.settle import Settle
from gateway.proxy.stage_values import AdmittedCall
from gateway.workers.outbox_replayer import OutboxReplayer
from tests.fakes.calls import HOLD, admitted_call, identified_call
from tests.fakes.ledgers import budget
from tests.fakes.observers import RememberingObserver
from tests.fakes.outboxes import MemoryOutbox

COST = 10 * 250 + 5 * 1250
TTL_MS = 60_000
STEPS = (
    "before reserve", "after reserve",
    "before intent", "half of intent", "after intent",
    "after send",
    "before finish", "half of finish", "after finish",
    "before ledger", "after ledger",
    "before ack", "half of ack", "after ack",
)  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Death:
    """Comes to one call, at one step."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.marked: RequestId | None = None

    def at(self, step: str, request_id: RequestId) -> None:
        if (step, request_id) == (self.step, self.marked):
            die()


class MortalOutbox:
    """The outbox, with death before, in the middle of, and after each note."""

    def __init__(self, outbox: OutboxWriter, death: Death) -> None:
        self.outbox, self.death = outbox, death
        self.is_writing = True

    def intent(self, worst: Any) -> bool:
        return self._step("intent", worst.request_id, lambda: self.outbox.intent(worst))

    def finish(self, ending: Any) -> bool:
        return self._step("finish", ending.request_id, lambda: self.outbox.finish(ending))

    def ack(self, request_id: RequestId) -> None:
        self._step("ack", request_id, lambda: self.outbox.ack(request_id))

    def defer(self, request_id: RequestId) -> bool:
        return self.outbox.defer(request_id)

    def _step(self, name: str, request_id: RequestId, note: Callable[[], Any]) -> Any:
        self.death.at(f"before {name}", request_id)
        if (f"half of {name}", request_id) == (self.death.step, self.death.marked):
            write = os.write

            def half(fd: int, data: bytes) -> int:
                write(fd, data[: len(data) // 2])
                die()
                return 0

            os.write = half
        answer = note()
        self.death.at(f"after {name}", request_id)
        return answer


class MortalLedger:
    """The ledger, with death on the way there and on the way back."""

    def __init__(self, ledger: RedisLedger, death: Death) -> None:
        self.ledger, self.death = ledger, death

    async def reserve(self, plan: Any) -> Any:
        self.death.at("before reserve", plan.request_id)
        answer = await self.ledger.reserve(plan)
        self.death.at("after reserve", plan.request_id)
        return answer

    async def post(self, ending: Any) -> Any:
        self.death.at("before ledger", ending.request_id)
        answer = await self.ledger.post(ending)
        self.death.at("after ledger", ending.request_id)
        return answer

    async def void(self, request_id: RequestId) -> Any:
        self.death.at("before ledger", request_id)
        answer = await self.ledger.void(request_id)
        self.death.at("after ledger", request_id)
        return answer


def call_named(request_id: RequestId) -> AdmittedCall:
    identified = identified_call()
    authenticated = identified.authenticated
    call = replace(authenticated.call, request_id=request_id)
    return admitted_call(replace(identified, authenticated=replace(authenticated, call=call)))


def plan_of(call: AdmittedCall, at: datetime) -> AdmissionPlan:
    claim = budget(HOLD, 1000 * HOLD, at=at, period=Period.MONTH)
    draft = draft_record(call.admitted.context, hold_nano_usd=HOLD, at=at)
    return AdmissionPlan(
        request_id=call.call.request_id,
        rungs=(Rung(name="as asked", hold_nano_usd=HOLD, claims=(claim,)),),
        ttl_ms=TTL_MS,
        policy_version="p1",
        draft=encode_record(draft),
    )


def bill(path: Path, request_id: RequestId, amount: int) -> None:
    with path.open("a") as book:
        book.write(f"{request_id} {amount}\n")


async def live(  # noqa: PLR0917 - as they come from the command line
    url: str, root: Path, book: Path, step: str, how: str, prefix: str
) -> None:
    """Some calls that end well, some that never end, and the one that death comes to."""
    death, clock, calls = Death(step), SystemClock(), Calls()
    client = connect(url, timeout_s=5)
    ledger = MortalLedger(RedisLedger(client), death)
    observer = RememberingObserver()
    writer = OutboxWriter(root, lambda: f"worker-{os.getpid()}", observer=observer, clock=clock)
    await writer.open()
    keeping = asyncio.create_task(writer.run())
    settle = Settle(ledger, MortalOutbox(writer, death), calls, observer, clock)

    async def call(name: str, ending: str) -> None:
        request_id = RequestId(f"{prefix}-{name}")
        admitted = call_named(request_id)
        await ledger.reserve(plan_of(admitted, datetime.now(UTC)))
        async with settle.hold(admitted) as hold:
            if ending == "unsent":
                return
            hold.sending()
            if ending == "throttled":
                death.at("after send", request_id)
                hold.unbilled(429)
                return
            bill(book, request_id, COST)
            death.at("after send", request_id)
            if ending == "endless":
                await asyncio.Event().wait()
            usage = Usage(tokens=TokenCounts(input=10, output=5))
            hold.ended(Ending(status=CallStatus.OK, measurement=Exact(usage=usage)))

    endless = [asyncio.create_task(call(f"endless-{n}", "endless")) for n in range(2)]
    for number in range(3):
        await call(f"posted-{number}", "posted")
        await call(f"throttled-{number}", "throttled")
    while writer.open_notes < len(endless):  # noqa: ASYNC110 - the outbox tells nobody
        await asyncio.sleep(0.001)
    death.marked = RequestId(f"{prefix}-marked")
    await call("marked", how)
    assert not keeping.done()
    die()


class LastLedger(MortalLedger):
    """The ledger of an adopter that dies after it has brought so many endings."""

    def __init__(self, ledger: RedisLedger, most: int) -> None:
        super().__init__(ledger, Death("never"))
        self.left = most

    async def post(self, ending: Any) -> Any:
        answer = await super().post(ending)
        self.left -= 1
        if not self.left:
            die()
        return answer


async def adopt(url: str, root: Path, most: int) -> None:
    """Adopts what it finds, and dies on the way."""
    ledger = LastLedger(RedisLedger(connect(url, timeout_s=5)), most)
    observer = RememberingObserver()
    replayer = OutboxReplayer(
        MemoryOutbox(), DeadWorkers(root, observer), ledger, observer, SystemClock()
    )
    await replayer.run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["live", url_, root_, book_, step_, how_, prefix_]:
            asyncio.run(live(url_, Path(root_), Path(book_), step_, how_, prefix_))
        case ["adopt", url_, root_, most_]:
            asyncio.run(adopt(url_, Path(root_), int(most_)))
